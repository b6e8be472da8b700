public import Base

/// How a leader makes sure that it still leads before it answers a read.
public enum ReadOnlyOption: UInt8, Sendable, Hashable {
    /// By a heartbeat round to a quorum. Depends on no clock.
    case safe = 0
    /// By the election timeout since it last heard from a quorum. Only as good as the clocks; needs `checkQuorum`.
    case leaseBased = 1
}

/// The settings of a node. `validate()` says which combinations are refused.
public struct Config: Sendable {
    /// Who this node is: neither zero nor one of the two highest numbers.
    public var id: MemberID
    /// Ticks without hearing from a leader before an election starts; each node draws from this to twice this.
    public var electionTicks: Int
    /// Ticks between heartbeats of a leader.
    public var heartbeatTicks: Int
    /// The index up to which the application has already applied the log when it restarts.
    public var applied: LogIndex = .zero
    /// Whether `Ready` hands out append and apply work that is acknowledged later instead of `advance(_:)`.
    public var asyncStorageWrites = false
    /// The most bytes of encoded entries in one append message; one entry is always sent. Zero: one entry per message.
    public var maxSizePerMessage: UInt64 = 1 << 20
    /// The most bytes of encoded entries handed out for applying and not yet acknowledged. Zero: `maxSizePerMessage`.
    public var maxCommittedSizePerReady: UInt64 = 0
    /// The most payload bytes of a leader's entries that wait for commitment. Zero: no limit.
    public var maxUncommittedSize: UInt64 = 0
    /// The most append messages in flight to one peer.
    public var maxInflightMessages = 256
    /// The most payload bytes in flight to one peer, exceeded by at most one message. Zero: no limit.
    public var maxInflightBytes: UInt64 = 0
    /// Whether a leader steps down when it has not heard from a quorum for an election timeout.
    public var checkQuorum = false
    /// Whether a leader checks its quorum at every tick, so that it steps down one election timeout after it last heard
    /// from one, and then asks another voter to take over. Otherwise it looks back once in an election timeout, and
    /// notices after one to two. Needs `checkQuorum`.
    public var checksQuorumEachTick = false
    /// Whether followers that lose their leader campaign in turn (`ElectionTurn`) instead of each after a time that it
    /// draws. A campaign that fails, and one without a former leader, waits for a drawn time as ever.
    public var campaignsInTurn = false
    /// Whether a leader that finds a peer alive, but has no answer to its probe yet, repeats the probe without entries.
    /// Otherwise each heartbeat's answer brings the peer all entries of the probe once more, up to `maxSizePerMessage`:
    /// a flood, if it comes back and answers all the heartbeats that have waited for it.
    public var repeatsProbesEmpty = false
    /// Whether a node asks for votes before it raises its term, so that a partitioned one disrupts nobody.
    public var preVote = false
    /// How a leader makes sure of its place before it answers a read.
    public var readOnly: ReadOnlyOption = .safe
    /// Whether a follower refuses proposals instead of sending them on to the leader.
    public var disableProposalForwarding = false
    /// Whether configuration changes are appended unchecked: for applications that validate them themselves.
    public var disableConfChangeValidation = false
    /// Whether a leader that is removed or becomes a learner steps down at once.
    public var stepDownOnRemoval = false
    /// Seeds the election timeouts. Nodes of one cluster should differ in it or in their IDs.
    public var seed: UInt64 = 0
    /// Receives log lines; nil: none are built.
    public var log: LogSink?
    /// Receives transitions; nil: none are built.
    public var trace: TraceSink?
    #if DEBUG
        /// A mistake to make, for the tests of the checkers.
        package var fault: SeededFault?
    #endif

    /// Settings with their defaults.
    public init(id: MemberID, electionTicks: Int = 10, heartbeatTicks: Int = 1) {
        self.id = id
        self.electionTicks = electionTicks
        self.heartbeatTicks = heartbeatTicks
    }

    /// - Throws: the first rule that is broken.
    public func validate() throws(ConfigError) {
        if id == .none { throw .noID }
        if id.isLocalThread { throw .localTargetID }
        if heartbeatTicks <= 0 { throw .heartbeatTicks }
        if electionTicks <= heartbeatTicks { throw .electionTicks }
        if maxInflightMessages <= 0 { throw .maxInflightMessages }
        if maxInflightBytes != 0 && maxInflightBytes < maxSizePerMessage { throw .maxInflightBytes }
        if readOnly == .leaseBased && !checkQuorum { throw .leaseWithoutCheckQuorum }
        if checksQuorumEachTick && !checkQuorum { throw .eachTickWithoutCheckQuorum }
    }
}

/// Why a node could not be made.
public enum ConfigError: Error, Hashable {
    /// The ID is zero.
    case noID
    /// The ID is one of the two that stand for local storage.
    case localTargetID
    /// Heartbeats need at least one tick.
    case heartbeatTicks
    /// Elections must take longer than heartbeats.
    case electionTicks
    /// At least one message must be allowed in flight.
    case maxInflightMessages
    /// A message would not fit into what may be in flight.
    case maxInflightBytes
    /// A lease is only kept by a leader that checks its quorum.
    case leaseWithoutCheckQuorum
    /// Nothing is checked at each tick if nothing is checked.
    case eachTickWithoutCheckQuorum
    /// The stored commit index lies behind the end of the stored log: entries are missing.
    case commitOutOfRange(commit: LogIndex, lastIndex: LogIndex)
    /// `applied` lies outside what is stored.
    case appliedOutOfRange(applied: LogIndex, firstApplied: LogIndex, lastIndex: LogIndex)
    /// The stored membership breaks the rules of a configuration.
    case confState(ConfChangeError)
    /// `bootstrap(_:)` on a log that is not empty.
    case notEmpty(lastIndex: LogIndex)
}

extension ConfigError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noID: "cannot use none as id"
        case .localTargetID: "cannot use local target as id"
        case .heartbeatTicks: "heartbeat tick must be greater than 0"
        case .electionTicks: "election tick must be greater than heartbeat tick"
        case .maxInflightMessages: "max inflight messages must be greater than 0"
        case .maxInflightBytes: "max inflight bytes must be >= max message size"
        case .leaseWithoutCheckQuorum: "CheckQuorum must be enabled when ReadOnlyOption is ReadOnlyLeaseBased"
        case .eachTickWithoutCheckQuorum: "CheckQuorum must be enabled when it is to be checked at each tick"
        case .commitOutOfRange(let commit, let last):
            "stored commit \(commit) is beyond the last stored entry \(last)"
        case .appliedOutOfRange(let applied, let first, let last):
            "applied \(applied) is out of range [\(first), \(last)]"
        case .confState(let error): "stored membership: \(error)"
        case .notEmpty(let last): "cannot bootstrap a log that has entries up to \(last)"
        }
    }
}
