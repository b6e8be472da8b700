public import Base
internal import Leasing
public import Membership
internal import Platform

/// How a member is set up. Names and defaults are those of etcd's flags.
public struct MemberConfiguration: Sendable {
    /// `--name`.
    public var name = "default"
    /// `--data-dir`.
    public var dataDirectory = "default.etcd"
    /// `--wal-dir`; nil for `member/wal` in the data directory.
    public var walDirectory: String?
    /// `--initial-advertise-peer-urls`.
    public var peerURLs = ["http://localhost:2380"]
    /// `--advertise-client-urls`, published to the cluster.
    public var clientURLs = ["http://localhost:2379"]
    /// `--initial-cluster`: the founding members' names and peer URLs; a name may repeat.
    public var initialCluster = [FoundingMember(name: "default", peerURL: "http://localhost:2380")]
    /// `--initial-cluster-token`.
    public var initialClusterToken = "etcd-cluster"
    /// URLs with the addresses that their host names stand for, so that both ways to write one can be compared. URLs
    /// that are not here are compared as they are.
    public var resolvedURLs: [String: String] = [:]
    /// `--initial-cluster-state existing`: the cluster that a new member joins, as its members describe it.
    public var joining: JoinedCluster?
    /// `--strict-reconfig-check`.
    public var strictReconfigurationCheck = true
    /// `--max-learners`.
    public var learnerLimit = RaftCluster.defaultLearnerLimit

    /// `--heartbeat-interval`: the length of a raft tick.
    public var heartbeatInterval: Duration = .milliseconds(100)
    /// `--election-timeout`; at least five heartbeat intervals.
    public var electionTimeout: Duration = .milliseconds(1000)
    /// `--initial-election-tick-advance`.
    public var advancesInitialElectionTicks = true
    /// `--pre-vote`.
    public var preVote = true

    /// `--snapshot-count`: applied entries between two snapshots on disk.
    public var snapshotCount: UInt64 = 10_000
    /// `--snapshot-catchup-entries`: entries kept in memory behind a snapshot for slow followers.
    public var snapshotCatchUpEntries: UInt64 = 5000
    /// `--max-wals`, `--max-snapshots`: files kept; 0 for all.
    public var maxWALs = 5
    public var maxSnapshots = 5

    /// `--quota-backend-bytes`; nil for no limit.
    public var quotaBytes: Int64? = 2_147_483_648
    /// `--backend-batch-interval`: how long applied changes may wait for their commit to the backend file.
    public var backendBatchInterval: Duration = .milliseconds(100)
    /// `--backend-batch-limit`: how many of them may.
    public var backendBatchLimit = 10_000
    /// `--max-request-bytes`: the largest encoded raft request.
    public var maxRequestBytes = 1_572_864
    /// `--warning-apply-duration`.
    public var warningApplyDuration: Duration = .milliseconds(100)
    /// `--force-new-cluster`: the member throws all others out and goes on alone.
    public var forcesNewCluster = false
    /// `--raise-cluster-version`: whether an existing cluster is taken to Martlet's own version, from where the older
    /// programs cannot take it back.
    public var raisesClusterVersion = false
    /// Without `--manual-nospace-disarm`: whether the member takes its own NOSPACE alarm back when there is space
    /// again.
    public var clearsNoSpaceAlarm = true
    /// `--feature-gates LeaseCheckpoint`: the leader tells the others how much is left of long leases.
    public var checkpointsLeases = false
    /// How often. Tests do it more often.
    package var leaseCheckpointInterval: Duration = LessorLimits.checkpointInterval
    /// `--feature-gates LeaseCheckpointPersist`: that reaches the file below cluster version 3.6, too.
    public var persistsLeaseCheckpoints = false
    /// `--downgrade-check-time`: how often the leader looks whether all members run the older program; nil for never.
    public var downgradeCheckInterval: Duration? = .seconds(5)
    /// `--corrupt-check-time`: how often the leader compares all members' data; nil for never.
    public var corruptionCheckInterval: Duration?
    /// `--compact-hash-check-time`, with the gate CompactHashCheck: how often the leader compares what the members'
    /// compactions recorded; nil for never.
    public var compactionHashCheckInterval: Duration?
    /// `--resync-corrupt-member`: whether a member whose data are proven to differ takes another's database.
    public var resyncsCorruptMember = false
    /// `--quarantine-by-rolling-hash`: whether a majority on which entries had other effects puts a member into
    /// quarantine; if not, its rows are compared then.
    public var quarantinesByRollingHash = true
    /// `--unsafe-no-fsync`.
    public var unsafeNoSync = false
    /// Bytes after which a segment of the log is full; etcd's value. Tests make it smaller.
    package var logSegmentBytes: Int64 = 64_000_000
    /// Bytes of address space reserved for the backend file; the file cannot grow beyond it.
    public var backendMapCapacity = 1 << 38

    public init() {}

    /// Election timeout in ticks.
    public var electionTicks: Int {
        Int(electionTimeout.inNanoseconds / heartbeatInterval.inNanoseconds)
    }

    /// Shorter leases than one and a half election timeouts, in whole seconds, are granted this much.
    public var minimumLeaseTTL: Int64 {
        let nanoseconds = Int64(3 * electionTicks / 2) * heartbeatInterval.inNanoseconds
        return (nanoseconds + 999_999_999) / 1_000_000_000
    }

    /// How long a request may take: 5 s and two election timeouts.
    public var requestTimeout: Duration { .seconds(5) + electionTimeout * 2 }

    public var memberDirectory: String { "\(dataDirectory)/member" }
    public var snapshotDirectory: String { "\(memberDirectory)/snap" }
    public var backendPath: String { "\(snapshotDirectory)/db" }
    public var effectiveWALDirectory: String { walDirectory ?? "\(memberDirectory)/wal" }
}

/// A running cluster that a member is to join.
public struct JoinedCluster: Sendable, Equatable {
    public var id: ClusterID
    public var members: [ClusterMember]

    public init(id: ClusterID, members: [ClusterMember]) {
        self.id = id
        self.members = members
    }
}

/// One `name=URL` pair of `--initial-cluster`.
public struct FoundingMember: Sendable, Equatable {
    public var name: String
    public var peerURL: String

    public init(name: String, peerURL: String) {
        self.name = name
        self.peerURL = peerURL
    }
}

/// The named limits of a member's queues. What is over one is refused with etcd's error.
public enum MemberLimits {
    /// Events that may wait for the member's loop. A batch of requests is one event.
    public static let mailboxEvents = 16_384
    /// Requests of clients that may be under way: proposed and not yet applied, or waiting for a read index.
    public static let pendingRequests = 65_536
    /// How long a client may wait for a change of the membership, or for leadership to move, if it says that it would.
    public static let membershipWait: Duration = .seconds(60)
    /// Committed entries that may wait to be applied before proposals are refused (etcd's value).
    public static let unappliedEntries = 5000
    /// Bytes of proposals that may be in the log and not committed.
    public static let uncommittedLogBytes: UInt64 = 256 << 20
    /// Bytes of committed entries that are applied in one go.
    public static let appliedBytesPerReady: UInt64 = 64 << 20
    /// The NOSPACE alarm is taken back when live bytes have fallen to this part of the quota.
    public static let clearedQuotaPercent: Int64 = 90
    /// Bytes of the backend file that one reader may keep from being reused before the log names it.
    public static let reportedReaderBytes: Int64 = 256 << 20
    /// How often it is named.
    public static let readerReportInterval: Duration = .seconds(30)
    /// Hashes of the store that may be waited for.
    public static let awaitedHashes = 64
    /// Reads of many keys that may be under way in slices.
    public static let slicedRanges = 64
    /// Batches that may wait for the log's thread.
    public static let logWork = 65_536
}

/// The versions this server stands for.
public enum ServerVersion {
    /// The level of etcd's API.
    public static let etcd = SemanticVersion(major: 3, minor: 7, patch: 1)
    /// Martlet's own.
    public static let martlet = SemanticVersion(major: 0, minor: 1, patch: 0)
}
