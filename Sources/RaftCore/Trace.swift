public import Base

/// The severity of a log line.
public enum LogLevel: Int, Sendable, Hashable, Comparable {
    /// What a reader of the code wants to see: flow control, messages that are refused.
    case debug
    /// What changes the cluster's course: elections, terms, configurations.
    case info
    /// What an operator should look at.
    case warning
    /// What should not happen.
    case error

    public static func < (a: LogLevel, b: LogLevel) -> Bool { a.rawValue < b.rawValue }
}

/// Where log lines go. A line below `level` is not even put together.
public struct LogSink: Sendable {
    /// The lowest that is written.
    public var level: LogLevel
    /// Called on the thread that drives the node, in the middle of a step: it must not call back into the node.
    public var write: @Sendable (LogLevel, String) -> Void

    /// A sink for lines of this level and above.
    public init(level: LogLevel = .info, write: @escaping @Sendable (LogLevel, String) -> Void) {
        self.level = level
        self.write = write
    }
}

/// A transition of one node. Together they are enough to follow its state from outside, and so to check a run against a
/// specification of Raft.
public enum TraceEvent: Sendable, Hashable {
    /// The node starts from its storage. `applied` is what the application said; the log reaches to `last`.
    case started(HardState, applied: LogIndex, last: LogIndex, configuration: ConfState)
    /// With no vote if the term is new.
    case becameFollower(term: Term, leader: MemberID)
    /// Neither term nor vote change.
    case becamePreCandidate(term: Term)
    /// With a vote for itself.
    case becameCandidate(term: Term)
    /// `lastIndex` is the end of the log before the entry with which the term begins.
    case becameLeader(term: Term, lastIndex: LogIndex)
    /// A follower has heard from a leader that it did not know, or has forgotten the one that it knew.
    case leaderChanged(MemberID)
    /// A vote was given; it counts once the hard state is durable.
    case voted(term: Term, candidate: MemberID)
    /// Entries after `previous` up to `last` entered the log; a conflicting tail was cut off before. `term` is that of
    /// the last.
    case appended(previous: LogIndex, last: LogIndex, term: Term)
    /// The log is durable up to an index. Reported as often as the storage does.
    case stable(LogIndex)
    /// The commit index has grown.
    case committed(LogIndex)
    /// The application has reported what it applied, perhaps nothing new.
    case applied(LogIndex)
    /// The log was replaced by a snapshot, which is committed and not applied yet.
    case restoredSnapshot(index: LogIndex, term: Term)
    /// A configuration change was applied, or restored with a snapshot.
    case configurationChanged(ConfState)
    /// To a peer, or a promise to this node itself; it may leave later.
    case sent(Message)
    /// From a peer, from this node itself, or from its storage.
    case received(Message)
}

/// Where transitions go. Not evaluated when absent.
public struct TraceSink: Sendable {
    /// Called on the thread that drives the node, in the middle of a step: it must not call back into the node.
    public var record: @Sendable (MemberID, TraceEvent) -> Void

    /// A sink that calls this with the node and the event.
    public init(record: @escaping @Sendable (MemberID, TraceEvent) -> Void) { self.record = record }
}
