/// What the operator asked for, with etcd's names and defaults: the result of flags, environment or configuration file.
package struct ServerConfiguration: Sendable, Equatable {
    // MARK: Member

    package var name = "default"
    /// Empty means `<name>.etcd`; `resolvedDataDirectory` says which.
    package var dataDirectory = ""
    /// Empty means inside the data directory.
    package var walDirectory = ""
    package var snapshotCount: UInt64 = 10_000
    package var heartbeatMilliseconds: UInt64 = 100
    package var electionMilliseconds: UInt64 = 1_000
    package var initialElectionTickAdvance = true
    package var listenPeerURLs: [ServerURL] = []
    package var listenClientURLs: [ServerURL] = []
    /// Files kept; 0 keeps all.
    package var maxSnapshots: UInt64 = 5
    package var maxWALs: UInt64 = 5
    /// 0 is 2 GiB, negative is none.
    package var quotaBackendBytes: Int64 = 0
    /// 0 is 100 ms.
    package var backendBatchInterval = Duration.zero
    /// 0 is 10,000.
    package var backendBatchLimit: Int64 = 0
    package var maxTxnOperations: UInt64 = 128
    package var maxRequestBytes: UInt64 = 1_572_864
    package var maxConcurrentStreams: UInt64 = 4_294_967_295
    package var keepaliveMinTime = Duration.seconds(5)
    package var keepaliveInterval = Duration.seconds(7_200)
    package var keepaliveTimeout = Duration.seconds(20)
    package var socketReusePort = false
    package var socketReuseAddress = false

    // MARK: Cluster

    package var initialAdvertisePeerURLs: [ServerURL] = []
    /// `name=URL` pairs, comma separated; empty means this member alone with its advertised peer URLs.
    package var initialCluster = ""
    package var initialClusterState = "new"
    package var initialClusterToken = "etcd-cluster"
    package var discovery = DiscoveryConfiguration()
    package var discoveryFallback = "exit"
    package var advertiseClientURLs: [ServerURL] = []
    package var strictReconfigCheck = true
    package var preVote = true

    // MARK: Security

    package var clientSecurity = SecurityOptions()
    package var peerSecurity = SecurityOptions()
    /// Of certificates that are made at the start, in years.
    package var selfSignedCertificateYears: UInt64 = 1
    /// For clients and peers; empty is the library's choice.
    package var cipherSuites: [String] = []
    package var tlsMinimumVersion = "TLS1.2"
    /// Empty is the newest.
    package var tlsMaximumVersion = ""

    // MARK: Access, monitoring, logging, safety

    package var corsOrigins = ["*"]
    package var hostWhitelist = ["*"]
    package var listenMetricsURLs: [ServerURL] = []
    package var logOutputs = ["default"]
    package var logLevel = "info"
    package var logFormat = "json"
    package var warningUnaryRequestDuration = Duration.milliseconds(300)
    package var warningApplyDuration = Duration.milliseconds(100)
    package var unsafeNoFsync = false
    package var forceNewCluster = false
    package var raiseClusterVersion = false
    /// Zero, as in etcd, and less never look.
    package var downgradeCheckTime: Duration = .seconds(5)
    package var manualNoSpaceDisarm = false
    /// Negative is as good as 0.
    package var maxLearners: Int64 = 1
    /// 0 is 5000.
    package var snapshotCatchUpEntries: UInt64 = 5000
    /// 0 is no limit.
    package var snapshotSendBytesPerSecond: UInt64 = 0

    // MARK: Comparing the members' data

    package var featureGates = FeatureGates()
    /// 0 is never.
    package var corruptCheckTime = Duration.zero
    package var compactHashCheckTime = Duration.seconds(60)
    package var formerInitialCorruptCheck = false
    package var formerCompactHashCheck = false
    package var resyncCorruptMember = false
    package var quarantineByRollingHash = true

    package var checksDataAtStart: Bool { featureGates.isOn(.initialCorruptCheck) || formerInitialCorruptCheck }
    package var checksCompactions: Bool { featureGates.isOn(.compactHashCheck) || formerCompactHashCheck }

    /// The names of what was set by flag, variable or file, the rest being defaults.
    package var explicit: Set<String> = []

    package init() {}

    package var resolvedDataDirectory: String { dataDirectory.isEmpty ? "\(name).etcd" : dataDirectory }

    /// The founding members; when none are named, this one alone under its advertised peer URLs. Empty when they are to
    /// be discovered.
    package var resolvedInitialCluster: String {
        if explicit.contains("initial-cluster") { return initialCluster }
        if discovery.isUsed { return "" }
        // A member that keeps the default name keeps the default cluster too, as with etcd.
        guard name != "default" else { return "default=http://localhost:2380" }
        return initialAdvertisePeerURLs.map { "\(name)=\($0)" }.joined(separator: ",")
    }
}
