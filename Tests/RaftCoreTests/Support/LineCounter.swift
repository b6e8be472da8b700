import Synchronization

/// Counts from inside of sinks, which may be called on any thread.
final class LineCounter: Sendable {
    private let lines = Mutex(0)
    var count: Int { lines.withLock { $0 } }
    func add() { lines.withLock { $0 += 1 } }
}
