public import Base
public import MVCC

/// What a member can tell about itself at one moment: the source of `/metrics`, `/version`, `/health` and of `Status`.
///
/// A plain copy, taken in the member's turn. Counters run from the start of the process.
public struct MemberStatistics: Sendable {
    // MARK: Identity and membership

    public var clusterID = ClusterID(0)
    public var memberID = MemberID.none
    public var name = ""
    public var isLearner = false
    /// All members of the cluster, ordered by ID.
    public var members: [Member] = []
    /// The lowest version that all members can speak, such as `3.7.0`; empty until it has been decided.
    public var clusterVersion = ""
    /// The version of the backend's schema, such as `3.7.0`; empty while unknown.
    public var storageVersion = ""
    /// The members are to be replaced by those of the minor version below.
    public var isDowngrading = false

    // MARK: Consensus

    /// Hashes over the effects of the last windows of the log, which every member must have alike.
    public var effects: [EffectsHash.Window] = []
    /// Up to where other members were seen to have the same effects, ordered by ID.
    public var effectsAgreed: [(member: MemberID, through: LogIndex)] = []
    /// How often windows were held against another member's.
    public var effectsComparisons: UInt64 = 0
    /// Members that have come apart from this one, ordered by ID.
    public var divergences: [Divergence] = []
    /// How many were found since the start.
    public var divergencesFound: UInt64 = 0
    public var term = Term.zero
    /// `.none` while no leader is known.
    public var leader = MemberID.none
    public var committedIndex = LogIndex.zero
    public var appliedIndex = LogIndex.zero
    public var proposalsPending = 0
    public var proposalsFailed: UInt64 = 0
    public var leaderChanges: UInt64 = 0
    public var readIndexesFailed: UInt64 = 0
    public var readIndexesSlow: UInt64 = 0
    /// Reads with a bound on the state's age: answered when they came, after a confirmation, and refused.
    public var boundedReadsAtOnce: UInt64 = 0
    public var boundedReadsAfterRound: UInt64 = 0
    public var boundedReadsRefused: UInt64 = 0
    /// Heartbeats that left late because the leader was busy.
    public var heartbeatsFailed: UInt64 = 0

    /// Learners that this member has promoted, and refusals to, by their text in order of first occurrence.
    public var learnerPromotions: UInt64 = 0
    public var refusedPromotions: [(reason: String, count: UInt64)] = []
    /// Whether a leader's snapshot is being taken over.
    public var isInstallingSnapshot = false

    // MARK: Network

    /// Filled in by whoever knows the transport.
    public var network = NetworkStatistics()

    // MARK: Store

    public var revision: Int64 = 1
    /// −1 when the store was never compacted.
    public var compactRevision: Int64 = -1
    public var keys = 0
    /// Sizes in bytes.
    public var databaseSize: Int64 = 0
    public var databaseSizeInUse: Int64 = 0
    /// The quota in force, in bytes; 0 when there is none.
    public var quota: Int64 = 0
    public var openReadTransactions = 0
    public var puts: UInt64 = 0
    public var deletes: UInt64 = 0
    public var ranges: UInt64 = 0
    /// Transactions with more than one change.
    public var txns: UInt64 = 0
    /// Bytes of all stored key-value pairs put so far.
    public var putBytes: UInt64 = 0
    public var compactedKeys: UInt64 = 0
    /// Seconds since 1970 of the last compaction; 0 when there was none since the start.
    public var lastCompaction: Double = 0
    /// Alarms that are raised, of any member, ordered by member and kind.
    public var alarms: [Alarm] = []
    public var slowApplies: UInt64 = 0
    /// Why this member serves no clients: its data were proven to differ from the others'. Nil if it does.
    public var quarantine: String?
    /// Comparisons of the members' data that this member has begun.
    public var corruptionChecks: UInt64 = 0

    // MARK: Leases

    public var leases = LeaseFigures()

    // MARK: Durations, in seconds unless named otherwise

    public var walFsync = Histogram(from: 0.001, doubling: 14)
    public var walWrite = Histogram(from: 0.001, doubling: 14)
    public var walBytes: UInt64 = 0
    public var backendCommit = Histogram(from: 0.001, doubling: 14)
    public var backendCommitRebalance = Histogram(from: 0.001, doubling: 14)
    public var backendCommitSpill = Histogram(from: 0.001, doubling: 14)
    public var backendCommitWrite = Histogram(from: 0.001, doubling: 14)
    public var snapshotSave = Histogram(from: 0.001, doubling: 14)
    public var snapshotMarshal = Histogram(from: 0.001, doubling: 14)
    public var snapshotFsync = Histogram(from: 0.001, doubling: 14)
    public var hashKV = Histogram(from: 0.01, doubling: 15)
    /// Milliseconds.
    public var compactionPause = Histogram(from: 1, doubling: 13)
    /// Milliseconds.
    public var compactionTotal = Histogram(from: 100, doubling: 14)
    /// Milliseconds.
    public var indexCompactionPause = Histogram(from: 0.5, doubling: 14)
    /// Applying one committed request, by its name (`Put`, `Txn`, …), in order of first use.
    public var applies: [Labelled] = []
    /// Answering a range, by success.
    public var rangeSucceeded = Histogram(from: 0.0001, doubling: 20)
    public var rangeFailed = Histogram(from: 0.0001, doubling: 20)
    /// A client's request from its arrival to its answer, by its name (`Range`, `ReadonlyTxn`, `Put`, …).
    public var requests: [Labelled] = []

    public init() {}

    public var isLeader: Bool { leader != .none && leader == memberID }
    public var hasLeader: Bool { leader != .none }

    /// Durations of one kind of operation with one outcome.
    public struct Labelled: Sendable {
        public var operation: String
        public var success: Bool
        public var durations: Histogram

        public init(operation: String, success: Bool, durations: Histogram) {
            self.operation = operation
            self.success = success
            self.durations = durations
        }
    }

    /// What became of leases since the start of the process.
    public struct LeaseFigures: Sendable {
        public var granted: UInt64 = 0
        public var revoked: UInt64 = 0
        /// While this member led.
        public var renewed: UInt64 = 0
        public var expired: UInt64 = 0
        /// Seconds.
        public var grantedTTL = Histogram(from: 1, doubling: 24)

        public init() {}
    }

    /// One entry of the member list.
    public struct Member: Sendable, Equatable {
        public var id: MemberID
        /// Empty until the member has published itself.
        public var name: String
        public var peerURLs: [String]
        public var clientURLs: [String]
        public var isLearner: Bool

        public init(id: MemberID, name: String, peerURLs: [String], clientURLs: [String], isLearner: Bool) {
            self.id = id
            self.name = name
            self.peerURLs = peerURLs
            self.clientURLs = clientURLs
            self.isLearner = isLearner
        }
    }

    /// A raised alarm.
    public struct Alarm: Sendable, Hashable {
        public var member: MemberID
        public var kind: Kind

        public init(member: MemberID, kind: Kind) {
            self.member = member
            self.kind = kind
        }

        /// The number of etcd's `AlarmType`; other numbers than these can be stored too.
        public struct Kind: Sendable, Hashable {
            public let rawValue: Int32
            public init(rawValue: Int32) { self.rawValue = rawValue }
            public static let noSpace = Kind(rawValue: 1)
            public static let corrupt = Kind(rawValue: 2)
            /// As in etcd's API: `NOSPACE`, `CORRUPT`, or the number.
            public var name: String {
                switch self {
                case .noSpace: "NOSPACE"
                case .corrupt: "CORRUPT"
                default: String(rawValue)
                }
            }
        }
    }
}
