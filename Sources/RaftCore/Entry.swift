public import Base

/// What an entry of the log holds. The raw values are raftpb's.
public enum EntryType: UInt8, Sendable, Hashable {
    /// A command of the state machine.
    case normal = 0
    /// A `ConfChange`.
    case confChange = 1
    /// A `ConfChangeV2`.
    case confChangeV2 = 2
}

/// An entry of the raft log.
public struct Entry: Sendable, Hashable {
    /// What `data` is.
    public var type: EntryType
    /// The term of the leader that appended it.
    public var term: Term
    /// Its place in the log, from 1.
    public var index: LogIndex
    /// The command of the state machine, or an encoded configuration change; empty for the entry of a new leader.
    public var data: [UInt8]

    /// An entry of these; a proposal leaves term and index zero.
    @inlinable public init(type: EntryType = .normal, term: Term, index: LogIndex, data: [UInt8] = []) {
        self.type = type
        self.term = term
        self.index = index
        self.data = data
    }
}

/// What a node must have on disk before it answers: its term, its vote in that term, and (only as a hint) its commit.
public struct HardState: Sendable, Hashable {
    /// The latest term that the node has seen.
    public var term: Term
    /// To whom it gave its vote in that term.
    public var vote: MemberID
    /// How far the log is known to be committed.
    public var commit: LogIndex

    /// A state of these; empty without arguments.
    @inlinable public init(term: Term = .zero, vote: MemberID = .none, commit: LogIndex = .zero) {
        self.term = term
        self.vote = vote
        self.commit = commit
    }

    /// True before the first election: nothing to write.
    @inlinable public var isEmpty: Bool { self == HardState() }
}
