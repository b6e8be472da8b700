import Foundation
import Glibc
import Synchronization

/// Ports on 127.0.0.1 for servers under test.
public enum LoopbackPorts {
    /// Below the range from which the kernel takes ports for outgoing connections on most machines.
    static let range = 22000..<22800

    private static let cursor = Mutex(Int(ProcessInfo.processInfo.processIdentifier) * 7 % range.count)

    /// A port that nobody listens on or is connected from, and that neither this process nor another run of the tests
    /// has given out lately.
    public static func next() -> Int { next(with: [0]) }

    /// The lowest of several such ports.
    /// - Parameter offsets: how far above it each of them is, itself included; ascending.
    public static func next(with offsets: [Int]) -> Int {
        let used = inUse()
        return cursor.withLock { cursor in
            for _ in range {
                cursor = (cursor + 1) % range.count
                let ports = offsets.map { range.lowerBound + cursor + $0 }
                guard ports.allSatisfy({ range.contains($0) && !used.contains($0) && reserve($0) }) else { continue }
                cursor += offsets.last ?? 0
                return ports[0]
            }
            preconditionFailure("all ports of \(range) are in use")
        }
    }

    /// A file of this machine's test runs; byte N is locked by the process that has given out port N. It stays open:
    /// a process loses its locks when it closes the file.
    private static let locks = open(NSTemporaryDirectory() + "/martlet-test-ports", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)

    /// Keeps other test processes of this machine away from the port while this process runs. A port that this process
    /// has locked may be given out again once nobody uses it.
    private static func reserve(_ port: Int) -> Bool {
        var lock = flock(
            l_type: Int16(F_WRLCK), l_whence: Int16(SEEK_SET), l_start: off_t(port), l_len: 1, l_pid: 0)
        // Where no lock can be had, the look at the kernel's table has to do.
        return locks < 0 || fcntl(locks, F_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES)
    }

    /// The local ports of all TCP sockets, from the kernel's tables.
    private static func inUse() -> Set<Int> {
        var ports: Set<Int> = []
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            guard let text = try? String(contentsOfFile: table, encoding: .utf8) else { continue }
            for line in text.split(separator: "\n").dropFirst() {
                let columns = line.split(separator: " ")
                guard columns.count > 1, let hex = columns[1].split(separator: ":").last else { continue }
                if let port = Int(hex, radix: 16) { ports.insert(port) }
            }
        }
        return ports
    }
}
