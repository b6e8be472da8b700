internal import Glibc
public import Platform

/// Reads the numbers from `/proc`.
extension ProcessStatistics {
    /// Reads them all: a handful of system calls.
    public static func current() -> ProcessStatistics {
        var result = ProcessStatistics()
        result.readStat(text("/proc/self/stat"), bootTime: bootTime(text("/proc/stat")))
        result.readNetwork(text("/proc/self/net/dev"))
        // The listing itself holds one descriptor.
        result.openDescriptors = max(0, ((try? LinuxDisk().list("/proc/self/fd"))?.count ?? 0) - 1)
        result.descriptorLimit = softLimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue))
        result.virtualLimit = softLimit(__rlimit_resource_t(RLIMIT_AS.rawValue))
        return result
    }

    /// The fields behind the command name, which stands in parentheses and may itself contain spaces; see proc(5).
    mutating func readStat(_ text: String, bootTime: Double) {
        guard let nameEnd = text.lastIndex(of: ")") else { return }
        let fields = text[text.index(after: nameEnd)...].split(separator: " ")
        // fields[0] is proc(5)'s field 3, the state.
        guard fields.count > 21 else { return }
        let ticksPerSecond = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
        cpuSeconds = ((Double(fields[11]) ?? 0) + (Double(fields[12]) ?? 0)) / ticksPerSecond
        startTime = bootTime + (Double(fields[19]) ?? 0) / ticksPerSecond
        virtualBytes = UInt64(fields[20]) ?? 0
        residentBytes = (UInt64(fields[21]) ?? 0) * UInt64(max(1, sysconf(Int32(_SC_PAGESIZE))))
    }

    /// Lines of `name: received bytes, 7 more numbers, sent bytes, …` below two lines of headings.
    mutating func readNetwork(_ text: String) {
        for line in text.split(separator: "\n").dropFirst(2) {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { continue }
            let numbers = parts[1].split(separator: " ")
            guard numbers.count >= 9, parts[0].split(separator: " ").first != "lo" else { continue }
            networkReceivedBytes &+= UInt64(numbers[0]) ?? 0
            networkSentBytes &+= UInt64(numbers[8]) ?? 0
        }
    }

    private static func bootTime(_ text: String) -> Double {
        for line in text.split(separator: "\n") where line.hasPrefix("btime ") {
            return Double(line.dropFirst(6)) ?? 0
        }
        return 0
    }

    private static func softLimit(_ resource: __rlimit_resource_t) -> UInt64 {
        var limit = rlimit()
        return getrlimit(resource, &limit) == 0 ? UInt64(limit.rlim_cur) : 0
    }

    /// A file of `/proc`, whole; their sizes are not known beforehand.
    private static func text(_ path: String) -> String {
        guard let file = try? LinuxDisk().open(path, .read), let bytes = try? file.read(at: 0, count: 1 << 18) else {
            return ""
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
