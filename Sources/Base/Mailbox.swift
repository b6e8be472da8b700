public import Synchronization

/// A bounded queue with many senders and one receiver, at the edge of a thread that owns its state.
///
/// A sender puts in a whole batch under one lock; the receiver swaps the buffers, so a steady state allocates nothing.
/// `wake` is called outside the lock, and only by the sender that found the mailbox empty: a receiver that has been
/// woken and has not drained yet is not woken again.
///
/// Inlinable, because senders and receivers stand in other modules and would otherwise run it unspecialised.
public final class Mailbox<Element: Sendable>: Sendable {
    @usableFromInline struct State: Sendable {
        @usableFromInline var elements: [Element] = []
        @usableFromInline var closed = false

        @inlinable init() {}
    }

    /// The most elements that may wait.
    public let limit: Int
    @usableFromInline let state = Mutex(State())
    @usableFromInline let wake: @Sendable () -> Void

    /// - Parameters:
    ///   - limit: the most elements that may wait; more are refused.
    ///   - wake: tells the receiver that the mailbox is no longer empty. Called on the sender's thread.
    @inlinable public init(limit: Int, wake: @escaping @Sendable () -> Void) {
        precondition(limit > 0)
        self.limit = limit
        self.wake = wake
    }

    /// Puts one element in.
    /// - Returns: false, and keeps nothing, when the mailbox is full or closed: the caller sheds load.
    @inlinable @discardableResult
    public func post(_ element: consuming sending Element) -> Bool {
        let element = element
        return post(contentsOf: CollectionOfOne(element))
    }

    /// Puts all elements in, in order, or none.
    /// - Returns: false, and keeps nothing, when they do not all fit or the mailbox is closed.
    @inlinable @discardableResult
    public func post(contentsOf batch: some Collection<Element>) -> Bool {
        if batch.isEmpty { return true }
        let placed = put(contentsOf: batch)
        if placed == .first { wake() }
        return placed != .refused
    }

    /// What became of elements that were put in.
    @frozen public enum Placed: Sendable {
        /// They do not all fit, or the mailbox is closed; it kept none.
        case refused
        /// The mailbox was empty: nobody has been told of them.
        case first
        /// Others wait already, and who put the first of them in sees to it that the receiver looks.
        case behindOthers
    }

    /// Puts all elements in, in order, or none, and leaves it to the caller to tell the receiver.
    @inlinable public func put(contentsOf batch: some Collection<Element>) -> Placed {
        state.withLock { state in
            guard !state.closed, state.elements.count + batch.count <= limit else { return .refused }
            let wasEmpty = state.elements.isEmpty
            state.elements.append(contentsOf: batch)
            return wasEmpty ? .first : .behindOthers
        }
    }

    /// Moves everything that waits into `batch`, which must be empty; its capacity serves the next senders.
    @inlinable public func drain(into batch: inout [Element]) {
        precondition(batch.isEmpty)
        state.withLock { swap(&$0.elements, &batch) }
    }

    @inlinable public var isEmpty: Bool { state.withLock { $0.elements.isEmpty } }

    /// Refuses all further elements; what waits can still be drained.
    public func close() { state.withLock { $0.closed = true } }
}
