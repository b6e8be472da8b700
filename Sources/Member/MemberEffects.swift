internal import Base
package import MVCC
package import Platform
package import RaftCore

/// What one turn of a member asks of the world. Carried out in the order of the fields.
package struct MemberEffects {
    /// For the peers; leaves before the log is written.
    package var peers = PeerWork()
    /// For the log's thread.
    package var log: [LogWork] = []
    /// For the backend's thread: at most one batch is under way.
    package var commit: CommitBatch?
    /// For the backend's thread: clients who get a copy of its file.
    package var copies: [BackendCopyOrder] = []
    /// For the backend's thread, behind the commit: its file is copied for peers.
    package var copiesDatabase = false
    /// For the backend's thread, behind the commit: the database that came with this snapshot becomes the member's.
    package var install: Snapshot?
    /// For the backend's thread: another member's database becomes the member's.
    package var replace: FetchedDatabase?
    /// For the backend's thread: databases of other members that are not needed any more, to be removed.
    package var unwantedDatabases: [String] = []
    /// For the sinks, one batch each.
    package var responses: [(sink: SinkID, batch: ResponseBatch)] = []
    package var statistics: [(reply: @Sendable (MemberStatistics) -> Void, value: MemberStatistics)] = []
    package var lines: [LogLine] = []
    /// The member has published itself: clients may be served.
    package var becameReady = false
    /// Leadership has been handed over, or there is nobody to take it: the member may be stopped.
    package var hasLeft = false
    /// The member is no part of the cluster any more; it should be stopped.
    package var isRemoved = false
    /// The member cannot go on; nothing further may be asked of it.
    package var failure: MemberError?
    /// Entries were applied; how long that took is to be told.
    package var hasApplied = false
    /// When the next turn is due even if nothing comes in.
    package var wakeAt: Instant

    package init(wakeAt: Instant) { self.wakeAt = wakeAt }
}
