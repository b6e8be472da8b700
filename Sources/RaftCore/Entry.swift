public import Base

/// What an entry of the log holds. The raw values are raftpb's.
public enum EntryType: UInt8, Sendable, Hashable {
    case normal = 0
    case confChange = 1
    case confChangeV2 = 2
}

/// An entry of the raft log.
public struct Entry: Sendable, Hashable {
    public var type: EntryType
    public var term: Term
    public var index: LogIndex
    /// The command of the state machine, or an encoded configuration change; empty for the entry of a new leader.
    public var data: [UInt8]

    @inlinable public init(type: EntryType = .normal, term: Term, index: LogIndex, data: [UInt8] = []) {
        self.type = type
        self.term = term
        self.index = index
        self.data = data
    }
}

/// What a node must have on disk before it answers: its term, its vote in that term, and (only as a hint) its commit.
public struct HardState: Sendable, Hashable {
    public var term: Term
    public var vote: MemberID
    public var commit: LogIndex

    @inlinable public init(term: Term = .zero, vote: MemberID = .none, commit: LogIndex = .zero) {
        self.term = term
        self.vote = vote
        self.commit = commit
    }

    /// True before the first election: nothing to write.
    @inlinable public var isEmpty: Bool { self == HardState() }
}
