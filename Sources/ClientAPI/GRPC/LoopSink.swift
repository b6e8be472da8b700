internal import Base
package import Member
package import NIOCore

/// Brings the answers of the member's thread to one event loop. However many batches come while the loop is busy, it is
/// woken once for them.
package final class LoopSink: ResponseSink {
    private let mailbox: Mailbox<ResponseBatch>

    /// - Parameters:
    ///   - limit: the most batches that may wait. As each answers a call at least, the number of calls that may be
    ///     under way is enough, and none is ever refused.
    ///   - receive: called on `eventLoop` when batches wait.
    package init(eventLoop: any EventLoop, limit: Int, receive: @escaping @Sendable () -> Void) {
        mailbox = Mailbox(limit: limit) { eventLoop.execute(receive) }
    }

    package func deliver(_ batch: consuming ResponseBatch) {
        if batch.responses.isEmpty { return }
        let accepted = mailbox.post(batch)
        precondition(accepted, "more batches than calls under way")
    }

    /// Moves all that wait into `batches`, which must be empty.
    package func drain(into batches: inout [ResponseBatch]) {
        mailbox.drain(into: &batches)
    }
}
