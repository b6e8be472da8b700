public import Base

/// What a message is about. The raw values are raftpb's.
public enum MessageType: UInt8, Sendable, Hashable, CaseIterable {
    case hup = 0
    case beat = 1
    case propose = 2
    case append = 3
    case appendResponse = 4
    case vote = 5
    case voteResponse = 6
    case snapshot = 7
    case heartbeat = 8
    case heartbeatResponse = 9
    case unreachable = 10
    case snapshotStatus = 11
    case checkQuorum = 12
    case transferLeader = 13
    case timeoutNow = 14
    case readIndex = 15
    case readIndexResponse = 16
    case preVote = 17
    case preVoteResponse = 18
    case storageAppend = 19
    case storageAppendResponse = 20
    case storageApply = 21
    case storageApplyResponse = 22
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
    public var type: MessageType
    public var to: MemberID
    public var from: MemberID
    /// The sender's term; zero on local messages, proposals and read requests.
    public var term: Term
    /// The term of the entry at `index`; on a rejection, of the entry at `rejectHint`.
    public var logTerm: Term
    public var index: LogIndex
    public var commit: LogIndex
    /// Only on `storageAppend`.
    public var vote: MemberID
    public var reject: Bool
    public var rejectHint: LogIndex
    public var entries: [Entry]
    public var snapshot: Snapshot?
    public var context: [UInt8]
    /// Messages to deliver once the local storage work is done.
    public var responses: [Message]

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
