internal import Base
package import MVCC
package import Platform
package import RaftCore

/// What one turn of a member asks of the world. Carried out in the order of the fields.
package struct MemberEffects {
    /// For the log's thread.
    package var log: [LogWork] = []
    /// For the peers; may leave before anything is durable.
    package var messages: [Message] = []
    /// For the backend's thread: at most one batch is under way.
    package var commit: CommitBatch?
    /// Who gets a copy of the backend file as it is now.
    package var copies: [BackendCopyOrder] = []
    /// For the sinks, one batch each.
    package var responses: [(sink: SinkID, batch: ResponseBatch)] = []
    package var statistics: [(reply: @Sendable (MemberStatistics) -> Void, value: MemberStatistics)] = []
    package var lines: [LogLine] = []
    /// The member has published itself: clients may be served.
    package var becameReady = false
    /// The member cannot go on; nothing further may be asked of it.
    package var failure: MemberError?
    /// When the next turn is due even if nothing comes in.
    package var wakeAt: Instant

    package init(wakeAt: Instant) { self.wakeAt = wakeAt }
}
