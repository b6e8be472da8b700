internal import Base
package import Member
package import NIOCore
internal import Synchronization

/// Brings the answers of the member to one event loop. However many batches come while the loop is busy, it is woken
/// once for them; not at all for those that come while the loop itself takes a turn of the member, because it looks
/// afterwards.
package final class LoopSink: ResponseSink {
    private let mailbox: Mailbox<ResponseBatch>
    private let eventLoop: any EventLoop
    private let receive: @Sendable () -> Void
    /// Set and cleared on the loop.
    private let isAttended = Atomic<Bool>(false)

    /// - Parameters:
    ///   - limit: the most batches that may wait. As each answers a call at least, the number of calls that may be
    ///     under way is enough, and none is ever refused.
    ///   - receive: called on `eventLoop` when batches have come from another thread.
    package init(eventLoop: any EventLoop, limit: Int, receive: @escaping @Sendable () -> Void) {
        mailbox = Mailbox(limit: limit, wake: {})
        self.eventLoop = eventLoop
        self.receive = receive
    }

    package func deliver(_ batch: consuming ResponseBatch) {
        if batch.responses.isEmpty { return }
        switch mailbox.put(contentsOf: CollectionOfOne(batch)) {
        case .refused: preconditionFailure("more batches than calls under way")
        case .first:
            if isAttended.load(ordering: .relaxed) && eventLoop.inEventLoop { return }
            eventLoop.execute(receive)
        case .behindOthers: break
        }
    }

    /// Calls the member, on `eventLoop`. What is delivered on this thread meanwhile waits for the caller to drain it.
    package func attending<R>(_ body: () -> R) -> R {
        isAttended.store(true, ordering: .relaxed)
        defer { isAttended.store(false, ordering: .relaxed) }
        return body()
    }

    /// Moves all that wait into `batches`, which must be empty.
    package func drain(into batches: inout [ResponseBatch]) {
        mailbox.drain(into: &batches)
    }
}
