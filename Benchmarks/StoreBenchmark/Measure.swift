internal import Foundation

/// A directory for one measurement, removed at its end.
struct Scratch {
    let path: String

    init(below parent: String) throws {
        var isDirectory: ObjCBool = false
        let exists = FileManager.default.fileExists(atPath: parent, isDirectory: &isDirectory)
        path = (exists && isDirectory.boolValue ? parent : ".") + "/store-benchmark-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    func remove() { try? FileManager.default.removeItem(atPath: path) }
}

func seconds(_ body: () throws -> Void) rethrows -> Double {
    let duration = try ContinuousClock().measure(body)
    return Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}

func fileSize(_ path: String) throws -> Int {
    (try FileManager.default.attributesOfItem(atPath: path)[.size] as? Int) ?? 0
}

/// Memory of this process that is not of files, in bytes.
func anonymousBytes() throws -> Int {
    let text = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = text.split(separator: "\n").first { $0.hasPrefix("RssAnon:") }
    return (line?.split(separator: " ").compactMap { Int($0) }.first ?? 0) << 10
}

/// Durations, for their percentiles.
struct Timings {
    fileprivate var nanoseconds: [UInt64] = []

    var count: Int { nanoseconds.count }

    @discardableResult
    mutating func measure<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
        let start = DispatchTime.now().uptimeNanoseconds
        defer { nanoseconds.append(DispatchTime.now().uptimeNanoseconds - start) }
        return try body()
    }

    var nanosecondsInAll: UInt64 { nanoseconds.reduce(0, +) }
    var longest: String { String(format: "%.1f ms", Double(nanoseconds.max() ?? 0) / 1e6) }

    /// `n 100, p50 0.1 ms, p99 0.2 ms, p99.9 0.3 ms, longest 0.4 ms`
    var summary: String {
        let sorted = nanoseconds.sorted()
        guard let longest = sorted.last else { return "none" }
        func text(_ value: UInt64) -> String { String(format: "%.3f ms", Double(value) / 1e6) }
        func at(_ part: Double) -> String { text(sorted[min(sorted.count - 1, Int(part * Double(sorted.count)))]) }
        return "n \(sorted.count), p50 \(at(0.5)), p99 \(at(0.99)), p99.9 \(at(0.999)), longest \(text(longest))"
    }
}

extension Timings {
    /// Nanoseconds that this thread has had a processor: what others take of it does not count.
    static func threadTime() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    mutating func append(_ duration: UInt64) { nanoseconds.append(duration) }
    mutating func append(_ other: Timings) { nanoseconds.append(contentsOf: other.nanoseconds) }
}
