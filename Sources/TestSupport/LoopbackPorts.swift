import Foundation
import Synchronization

/// Ports on 127.0.0.1 for servers under test.
public enum LoopbackPorts {
    /// Below the range from which the kernel takes ports for outgoing connections on most machines nothing is sure
    /// either, so a port is only given out if nobody uses it right now.
    static let range = 33200..<33300

    private static let cursor = Mutex(Int(ProcessInfo.processInfo.processIdentifier) % range.count)

    /// A port that nobody listens on or is connected from, and that this process has not given out lately.
    public static func next() -> Int {
        let used = inUse()
        return cursor.withLock { cursor in
            for _ in range {
                cursor = (cursor + 1) % range.count
                let port = range.lowerBound + cursor
                if !used.contains(port) { return port }
            }
            preconditionFailure("all ports of \(range) are in use")
        }
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
