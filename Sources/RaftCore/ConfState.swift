public import Base

/// A membership as a snapshot records it. Each list ascending and without repetition.
public struct ConfState: Sendable, Hashable {
    /// Voters of the incoming (or only) configuration.
    public var voters: [MemberID]
    /// Members that do not vote.
    public var learners: [MemberID]
    /// Voters of the outgoing configuration; empty unless in a joint one.
    public var votersOutgoing: [MemberID]
    /// Voters of the outgoing configuration that become learners when the joint one is left.
    public var learnersNext: [MemberID]
    /// Whether a joint configuration is left by itself once it is applied.
    public var autoLeave: Bool

    /// A membership of these; empty without arguments.
    @inlinable public init(
        voters: [MemberID] = [], learners: [MemberID] = [], votersOutgoing: [MemberID] = [],
        learnersNext: [MemberID] = [], autoLeave: Bool = false
    ) {
        self.voters = voters
        self.learners = learners
        self.votersOutgoing = votersOutgoing
        self.learnersNext = learnersNext
        self.autoLeave = autoLeave
    }
}

/// Where in the log a snapshot stands, and who was a member there.
public struct SnapshotMetadata: Sendable, Hashable {
    /// The membership at `index`.
    public var confState: ConfState
    /// The last entry that the snapshot includes.
    public var index: LogIndex
    /// The term of the entry at `index`.
    public var term: Term

    /// Metadata of these; empty without arguments.
    @inlinable public init(confState: ConfState = ConfState(), index: LogIndex = .zero, term: Term = .zero) {
        self.confState = confState
        self.index = index
        self.term = term
    }
}

/// The state of the application up to an index.
public struct Snapshot: Sendable, Hashable {
    /// The state, in a form that only the application knows.
    public var data: [UInt8]
    /// Where in the log it stands.
    public var metadata: SnapshotMetadata

    /// A snapshot of these; empty without arguments.
    @inlinable public init(data: [UInt8] = [], metadata: SnapshotMetadata = SnapshotMetadata()) {
        self.data = data
        self.metadata = metadata
    }

    /// Whether it stands for nothing: at index zero.
    @inlinable public var isEmpty: Bool { metadata.index == .zero }
}
