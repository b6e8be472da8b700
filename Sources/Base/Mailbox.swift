import Synchronization

/// A bounded queue with many senders and one receiver, at the edge of a thread that owns its state.
///
/// A sender puts in a whole batch under one lock; the receiver swaps the buffers, so a steady state allocates nothing.
/// `wake` is called outside the lock, and only by the sender that found the mailbox empty: a receiver that has been
/// woken and has not drained yet is not woken again.
public final class Mailbox<Element: Sendable>: Sendable {
    private struct State {
        var elements: [Element] = []
        var closed = false
    }

    /// The most elements that may wait.
    public let limit: Int
    private let state = Mutex(State())
    private let wake: @Sendable () -> Void

    /// - Parameters:
    ///   - limit: the most elements that may wait; more are refused.
    ///   - wake: tells the receiver that the mailbox is no longer empty. Called on the sender's thread.
    public init(limit: Int, wake: @escaping @Sendable () -> Void) {
        precondition(limit > 0)
        self.limit = limit
        self.wake = wake
    }

    /// Puts one element in.
    /// - Returns: false, and keeps nothing, when the mailbox is full or closed: the caller sheds load.
    @discardableResult
    public func post(_ element: consuming sending Element) -> Bool {
        let element = element
        return post(contentsOf: CollectionOfOne(element))
    }

    /// Puts all elements in, in order, or none.
    /// - Returns: false, and keeps nothing, when they do not all fit or the mailbox is closed.
    @discardableResult
    public func post(contentsOf batch: some Collection<Element>) -> Bool {
        if batch.isEmpty { return true }
        let outcome = state.withLock { state -> (accepted: Bool, wasEmpty: Bool) in
            guard !state.closed, state.elements.count + batch.count <= limit else { return (false, false) }
            let wasEmpty = state.elements.isEmpty
            state.elements.append(contentsOf: batch)
            return (true, wasEmpty)
        }
        if outcome.accepted && outcome.wasEmpty { wake() }
        return outcome.accepted
    }

    /// Moves everything that waits into `batch`, which must be empty; its capacity serves the next senders.
    public func drain(into batch: inout [Element]) {
        precondition(batch.isEmpty)
        state.withLock { swap(&$0.elements, &batch) }
    }

    public var isEmpty: Bool { state.withLock { $0.elements.isEmpty } }

    /// Refuses all further elements; what waits can still be drained.
    public func close() { state.withLock { $0.closed = true } }
}
