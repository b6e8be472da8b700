public import Base

/// What a message is about. The raw values are raftpb's.
public enum MessageType: UInt8, Sendable, Hashable, CaseIterable {
    /// Local: start an election.
    case hup = 0
    /// Local: send heartbeats.
    case beat = 1
    /// Entries for the leader to append.
    case propose = 2
    /// Entries of the leader behind the one at `index`, and its commit index.
    case append = 3
    /// The log is durable up to `index`, or does not have the entry before.
    case appendResponse = 4
    /// A candidate asks for a vote.
    case vote = 5
    /// A vote, or its refusal.
    case voteResponse = 6
    /// The leader's snapshot, for a peer whose next entry is compacted.
    case snapshot = 7
    /// The leader is there; with what is committed, as far as the peer has it.
    case heartbeat = 8
    /// The answer to it, with the same context.
    case heartbeatResponse = 9
    /// Local: messages to a peer did not arrive.
    case unreachable = 10
    /// Local: how the sending of a snapshot ended.
    case snapshotStatus = 11
    /// Local: step down unless a quorum was heard from.
    case checkQuorum = 12
    /// Asks the leader to hand leadership to the sender.
    case transferLeader = 13
    /// The leader asks a follower to take over at once.
    case timeoutNow = 14
    /// Asks the leader for an index at which a read may be served.
    case readIndex = 15
    /// The answer to it.
    case readIndexResponse = 16
    /// Asks whether a vote would be given.
    case preVote = 17
    /// Says whether it would.
    case preVoteResponse = 18
    /// Local: write to the storage.
    case storageAppend = 19
    /// Local: it is written.
    case storageAppendResponse = 20
    /// Local: apply to the state machine.
    case storageApply = 21
    /// Local: it is applied.
    case storageApplyResponse = 22
    /// Local: forget the leader.
    case forgetLeader = 23

    /// Whether only the node itself may originate it; such a message is refused when it comes from a peer.
    @inlinable public var isLocal: Bool {
        switch self {
        case .hup, .beat, .unreachable, .snapshotStatus, .checkQuorum, .forgetLeader, .storageAppend,
            .storageAppendResponse, .storageApply, .storageApplyResponse:
            true
        case .propose, .append, .appendResponse, .vote, .voteResponse, .snapshot, .heartbeat, .heartbeatResponse,
            .transferLeader, .timeoutNow, .readIndex, .readIndexResponse, .preVote, .preVoteResponse:
            false
        }
    }

    /// Whether it answers an earlier message, so that its sender must be a member we know.
    @inlinable public var isResponse: Bool {
        switch self {
        case .appendResponse, .voteResponse, .heartbeatResponse, .unreachable, .readIndexResponse, .preVoteResponse,
            .storageAppendResponse, .storageApplyResponse:
            true
        default:
            false
        }
    }

    /// Whether it may leave only after what came before it is durable.
    @inlinable var waitsForAppend: Bool {
        self == .appendResponse || self == .voteResponse || self == .preVoteResponse
    }

    /// Proposals and read requests are not bound to a term; everything else from a peer carries one.
    @inlinable var isTermless: Bool { self == .propose || self == .readIndex }
}

extension MemberID {
    /// The local target that makes log entries durable.
    @inlinable public static var localAppendThread: MemberID { MemberID(.max) }
    /// The local target that applies committed entries.
    @inlinable public static var localApplyThread: MemberID { MemberID(.max - 1) }
    /// Whether this is one of the two local storage targets, which no node may have as its ID.
    @inlinable public var isLocalThread: Bool { rawValue >= .max - 1 }
}

/// What two nodes, or a node and its storage, say to each other: the fields of raftpb's `Message`.
///
/// Which fields matter depends on the type; the others keep their zero values.
public struct Message: Sendable, Hashable {
    /// What it is about.
    public var type: MessageType
    /// The recipient.
    public var to: MemberID
    /// The sender; on `transferLeader`, the member that is to lead.
    public var from: MemberID
    /// The sender's term; zero on local messages, proposals and read requests.
    public var term: Term
    /// The term of the entry at `index`; on a rejection, of the entry at `rejectHint`.
    public var logTerm: Term
    /// The entry before the first of `entries`, the last of a log, or what is acknowledged, as the type has it.
    public var index: LogIndex
    /// How far the sender's log is committed.
    public var commit: LogIndex
    /// Only on `storageAppend`.
    public var vote: MemberID
    /// Whether a response is a refusal.
    public var reject: Bool
    /// On a rejected append: where the logs may agree.
    public var rejectHint: LogIndex
    /// The entries to append, to propose, to write or to apply; the context of a read.
    public var entries: [Entry]
    /// On `snapshot` and the local storage work.
    public var snapshot: Snapshot?
    /// The number of a read on heartbeats; why an election is held on requests for votes.
    public var context: [UInt8]
    /// Messages to deliver once the local storage work is done.
    public var responses: [Message]

    /// A message of these.
    @inlinable public init(
        type: MessageType, to: MemberID = .none, from: MemberID = .none, term: Term = .zero, logTerm: Term = .zero,
        index: LogIndex = .zero, entries: [Entry] = [], commit: LogIndex = .zero, vote: MemberID = .none,
        snapshot: Snapshot? = nil, reject: Bool = false, rejectHint: LogIndex = .zero, context: [UInt8] = [],
        responses: [Message] = []
    ) {
        self.type = type
        self.to = to
        self.from = from
        self.term = term
        self.logTerm = logTerm
        self.index = index
        self.entries = entries
        self.commit = commit
        self.vote = vote
        self.snapshot = snapshot
        self.reject = reject
        self.rejectHint = rejectHint
        self.context = context
        self.responses = responses
    }
}
