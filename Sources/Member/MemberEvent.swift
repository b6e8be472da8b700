internal import Base
package import MVCC
internal import Platform
internal import RaftCore

/// Everything that can happen to a member, besides the passing of time. The loop and the simulator deliver the same
/// values, so neither can reach a state that the other cannot.
package enum MemberEvent: Sendable {
    case requests([ClientRequest], sink: SinkID)
    /// The log's thread has finished work.
    case logged(LogCompletion)
    /// The backend's thread has committed a batch.
    case committed(BackendCompletion)
    /// The network has something from or about the other members.
    case peer(PeerReport)
    /// The backend's thread has begun to copy its file.
    case copied(BackendCopy)
    /// Likewise, for a client.
    case copiedForClient(BackendCopyOrder, Result<BackendCopy, BackendError>)
    /// The backend's thread has opened the database of a leader's snapshot.
    case installed(InstalledSnapshot)
    /// The backend's thread has put another member's database in the place of the own one, or has not.
    case replaced(ReplacedDatabase)
    /// The process wants to end: leadership is handed over first.
    case leave
    case statistics(@Sendable (MemberStatistics) -> Void)
    /// A disk failed under a thread; the member cannot go on.
    case failed(MemberError)
}

/// A line for the log of the process, in etcd's wording.
package struct LogLine: Sendable, Equatable {
    package enum Level: Sendable { case debug, info, warn, error }
    package var level: Level
    package var message: String
    /// Names and values in the order in which they are printed.
    package var fields: [Field]

    package struct Field: Sendable, Equatable {
        package var name: String
        package var value: String
    }

    package init(_ level: Level, _ message: String, _ fields: KeyValuePairs<String, String> = [:]) {
        self.level = level
        self.message = message
        self.fields = fields.map { Field(name: $0.key, value: $0.value) }
    }
}
