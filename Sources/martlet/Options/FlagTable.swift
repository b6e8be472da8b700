/// Every flag of etcd 3.7, by the headings of the help text. What Martlet does not have yet is listed too, so that it
/// can be told apart from a typing error.
package enum FlagTable {
    package static let sections: [FlagSection] = [
        member, cluster, security, auth, monitoring, logging, tracing, feature, unsafety, own,
    ]

    package static let all: [Flag] = sections.flatMap(\.flags)

    /// What versions before 3.7 called some flags, taken without a line in the help text.
    package static let former: [Flag] = [
        .signed("experimental-max-learners", "1", \.maxLearners, ""),
        .unsigned("experimental-snapshot-catchup-entries", "5000", \.snapshotCatchUpEntries, ""),
        .duration("experimental-downgrade-check-time", "5s", \.downgradeCheckTime, ""),
        .bool("experimental-initial-corrupt-check", "false", \.formerInitialCorruptCheck, ""),
        .duration("experimental-corrupt-check-time", "0s", \.corruptCheckTime, ""),
        .bool("experimental-compact-hash-check-enabled", "false", \.formerCompactHashCheck, ""),
        .duration("experimental-compact-hash-check-time", "1m0s", \.compactHashCheckTime, ""),
    ]

    /// What only a configuration file can say; the names are for errors alone.
    private static let fileOnly: [Flag] = [
        .text(
            "discovery-server-name", "", \.discovery.serverName,
            fileKey: "discovery-config.client.secure.server-name", "")
    ]

    /// All that can be given as a flag or a variable.
    package static let known = all + former

    private static let byName = Dictionary(uniqueKeysWithValues: known.map { ($0.name, $0) })
    private static let byFileKey = Dictionary(
        uniqueKeysWithValues: (known + fileOnly).filter { !$0.fileKey.isEmpty }.map { ($0.fileKey, $0) })

    package static func flag(named name: String) -> Flag? { byName[name] }
    package static func flag(fileKey: String) -> Flag? { byFileKey[fileKey] }

    /// Leftovers from before 3.0: accepted and ignored, with a warning.
    package static let ignored: Set<String> = [
        "cluster-active-size", "cluster-remove-delay", "cluster-sync-interval", "config", "force", "max-result-buffer",
        "max-retry-attempts", "peer-heartbeat-interval", "peer-election-timeout", "retry-interval", "snapshot", "v",
        "vv", "test.coverprofile", "test.outputdir",
    ]

    /// Of those, the ones that stand without a value.
    package static let ignoredBooleans: Set<String> = ["force", "snapshot", "v", "vv"]

    private static let member = FlagSection(
        title: "Member",
        flags: [
            .text("name", "default", \.name, "Name of this member; also what is looked up in --initial-cluster."),
            .text("data-dir", "", \.dataDirectory, "Directory of all data; empty is '<name>.etcd' here."),
            .text(
                "wal-dir", "", \.walDirectory, "Directory of the write-ahead log; empty is inside the data directory."),
            .unsigned("snapshot-count", "10000", \.snapshotCount, "Applied entries between two snapshot files."),
            .unsigned(
                "heartbeat-interval", "100", \.heartbeatMilliseconds, "Raft tick and heartbeat, in milliseconds."),
            .unsigned(
                "election-timeout", "1000", \.electionMilliseconds,
                "Milliseconds without a leader before an election; at least 5 heartbeats, at most 50000."),
            .bool(
                "initial-election-tick-advance", "true", \.initialElectionTickAdvance,
                "Skip most of the first election timeout after a start."),
            .urls(
                "listen-peer-urls", "http://localhost:2380", \.listenPeerURLs,
                "Addresses for traffic between members."),
            .urls(
                "listen-client-urls", "http://localhost:2379", \.listenClientURLs,
                "Addresses for clients, gRPC and HTTP; needs --advertise-client-urls."),
            .notYet(.urlsOrNone, "listen-client-http-urls", "", "Addresses for client HTTP alone."),
            .unsigned("max-snapshots", "5", \.maxSnapshots, "Snapshot files kept; 0 keeps all."),
            .unsigned("max-wals", "5", \.maxWALs, "Write-ahead log files kept; 0 keeps all."),
            .notYet(.bool, "memory-mlock", "false", "Lock memory pages into RAM."),
            .signed(
                "quota-backend-bytes", "0", \.quotaBackendBytes,
                "Size of the backend at which writes are refused; 0 is 2 GiB, negative is no limit."),
            .notYet(.text, "backend-bbolt-freelist-type", "map", "Kind of free-page list of the backend."),
            .duration(
                "backend-batch-interval", "0s", \.backendBatchInterval,
                "Longest wait before the backend commits; 0 is 100ms."),
            .signed(
                "backend-batch-limit", "0", \.backendBatchLimit,
                "Operations before the backend commits; 0 is 10000."),
            .unsigned("max-txn-ops", "128", \.maxTxnOperations, "Operations in one list of a transaction."),
            .unsigned("max-request-bytes", "1572864", \.maxRequestBytes, "Size of the largest request of a client."),
            .unsigned(
                "max-concurrent-streams", "4294967295", \.maxConcurrentStreams, kind: .unsigned32,
                "Open HTTP/2 streams for each client connection."),
            .duration(
                "grpc-keepalive-min-time", "5s", \.keepaliveMinTime, "Shortest time between two pings of a client."),
            .duration(
                "grpc-keepalive-interval", "2h", \.keepaliveInterval,
                "Idle time before the server pings a client; 0 never does."),
            .duration(
                "grpc-keepalive-timeout", "20s", \.keepaliveTimeout,
                "Wait for the answer to a ping before the connection is closed."),
            .bool(
                "socket-reuse-port", "false", \.socketReusePort, fileKey: "socket-options.reuse-port",
                "Set SO_REUSEPORT on listeners."),
            .bool(
                "socket-reuse-address", "false", \.socketReuseAddress, fileKey: "socket-options.reuse-address",
                "Set SO_REUSEADDR on listeners; always on, as Go sets it too."),
            .notYet(.bool, "enable-grpc-gateway", "true", "Serve the JSON gateway below /v3/."),
            .notYet(.duration, "raft-read-timeout", "5s", fileKey: "", "Read timeout of peer connections."),
            .notYet(.duration, "raft-write-timeout", "5s", fileKey: "", "Write timeout of peer connections."),
            .gates(
                "feature-gates", \.featureGates,
                "Switches Name=true|false, …: CompactHashCheck, InitialCorruptCheck, LeaseCheckpoint, "
                    + "LeaseCheckpointPersist."),
        ])

    private static let cluster = FlagSection(
        title: "Clustering",
        flags: [
            .urls(
                "initial-advertise-peer-urls", "http://localhost:2380", \.initialAdvertisePeerURLs,
                "Peer URLs that the other members are told; must match the own entry of --initial-cluster."),
            .text(
                "initial-cluster", "default=http://localhost:2380", \.initialCluster,
                "The founding members: name=URL,name=URL,…"),
            .text(
                "initial-cluster-state", "new", \.initialClusterState, kind: .choice(["new", "existing"]),
                "Found a cluster, or join an existing one; only read while there is no data."),
            .text(
                "initial-cluster-token", "etcd-cluster", \.initialClusterToken,
                "Keeps apart clusters that are founded with the same URLs."),
            .urls(
                "advertise-client-urls", "http://localhost:2379", \.advertiseClientURLs,
                "Client URLs that the member list names for this member."),
            .bool(
                "strict-reconfig-check", "true", \.strictReconfigCheck,
                "Refuse changes of the membership that endanger the quorum."),
            .bool("pre-vote", "true", \.preVote, "Ask for votes before a term is raised."),
            .text(
                "discovery-token", "", \.discovery.token, fileKey: "discovery-config.token",
                "Discovery: token of the cluster; needs --discovery-endpoints."),
            .list(
                "discovery-endpoints", "", \.discovery.endpoints, fileKey: "discovery-config.client.endpoints",
                "Discovery: endpoints of the discovery service."),
            .duration(
                "discovery-dial-timeout", "2s", \.discovery.dialTimeout,
                fileKey: "discovery-config.client.dial-timeout", "Discovery: timeout of a connect."),
            .duration(
                "discovery-request-timeout", "5s", \.discovery.requestTimeout,
                fileKey: "discovery-config.client.request-timeout", "Discovery: timeout of a request."),
            .duration(
                "discovery-keepalive-time", "2s", \.discovery.keepaliveTime,
                fileKey: "discovery-config.client.keepalive-time", "Discovery: time between pings; at least 10s."),
            .duration(
                "discovery-keepalive-timeout", "6s", \.discovery.keepaliveTimeout,
                fileKey: "discovery-config.client.keepalive-timeout", "Discovery: wait for the answer to a ping."),
            .bool(
                "discovery-insecure-transport", "true", \.discovery.insecureTransport,
                fileKey: "discovery-config.client.secure.insecure-transport", "Discovery: no TLS."),
            .bool(
                "discovery-insecure-skip-tls-verify", "false", \.discovery.insecureSkipVerify,
                fileKey: "discovery-config.client.secure.insecure-skip-tls-verify",
                "Discovery: do not verify the server's certificate."),
            .text(
                "discovery-cert", "", \.discovery.certFile, fileKey: "discovery-config.client.secure.cert",
                "Discovery: client certificate."),
            .text(
                "discovery-key", "", \.discovery.keyFile, fileKey: "discovery-config.client.secure.key",
                "Discovery: the certificate's key."),
            .text(
                "discovery-cacert", "", \.discovery.authoritiesFile, fileKey: "discovery-config.client.secure.cacert",
                "Discovery: bundle of trusted authorities."),
            .text(
                "discovery-user", "", \.discovery.user, fileKey: "discovery-config.client.auth.username",
                "Discovery: user or user:password."),
            .text(
                "discovery-password", "", \.discovery.password, fileKey: "discovery-config.client.auth.password",
                "Discovery: password."),
            .text(
                "discovery-fallback", "exit", \.discoveryFallback, kind: .choice(["exit", "proxy"]), fileKey: "",
                "What etcd did when v2 discovery failed; only 'exit' is left."),
            .text(
                "discovery-srv", "", \.discovery.domain, "DNS domain whose SRV records name the founding members."),
            .text("discovery-srv-name", "", \.discovery.serviceSuffix, "Suffix of the SRV records' service name."),
            .notYet(.text, "auto-compaction-retention", "0", "How much history automatic compaction keeps; 0 is off."),
            .notYet(.text, "auto-compaction-mode", "periodic", "Retention as a time (periodic) or in revisions."),
            .notYet(.text, "v2-deprecation", "write-only", "State of the removal of the v2 store; has no effect."),
        ])

    private static let auth = FlagSection(
        title: "Auth",
        flags: [
            .notYet(.text, "auth-token", "simple", "Kind of token: simple, or jwt with its options."),
            .notYet(.unsigned, "bcrypt-cost", "10", "Cost of hashing a password, 4 to 31."),
            .notYet(.unsigned, "auth-token-ttl", "300", "Seconds that a simple token lives unused."),
        ])

    private static let monitoring = FlagSection(
        title: "Monitoring",
        flags: [
            .urls(
                "listen-metrics-urls", "", \.listenMetricsURLs, kind: .urlsOrNone,
                "Further addresses for /metrics and the health checks alone."),
            .notYet(.text, "metrics", "basic", "Amount of metrics: basic or extensive."),
            .notYet(.bool, "enable-pprof", "false", "Serve profiles below /debug/pprof."),
        ])

    private static let logging = FlagSection(
        title: "Logging",
        flags: [
            .list(
                "log-outputs", "default", \.logOutputs,
                "Where lines go: default (stderr), stderr, stdout, file paths."),
            .text(
                "log-level", "info", \.logLevel, kind: .choice(["debug", "info", "warn", "error", "panic", "fatal"]),
                "Lowest level that is logged."),
            .text("log-format", "json", \.logFormat, "Format of lines: json or console."),
            .duration(
                "warning-unary-request-duration", "300ms", \.warningUnaryRequestDuration,
                "Calls slower than this are logged."),
            .notYet(.text, "logger", "zap", "Kind of logger; zap is the only one."),
            .notYet(.bool, "enable-log-rotation", "false", "Rotate the log file."),
            .notYet(
                .text, "log-rotation-config-json",
                #"{"maxsize": 100, "maxage": 0, "maxbackups": 0, "localtime": false, "compress": false}"#,
                "How to rotate: MB, days, count."),
        ])

    private static let tracing = FlagSection(
        title: "Tracing",
        flags: [
            .notYet(.bool, "enable-distributed-tracing", "false", "Export OpenTelemetry spans."),
            .notYet(.text, "distributed-tracing-address", "localhost:4317", "Address of the collector."),
            .notYet(.text, "distributed-tracing-service-name", "etcd", "Name of the service in spans."),
            .notYet(.text, "distributed-tracing-instance-id", "", "ID of the instance in spans."),
            .notYet(.signed, "distributed-tracing-sampling-rate", "0", "Samples in a million."),
        ])

    private static let feature = FlagSection(
        title: "Feature",
        flags: [
            .duration(
                "warning-apply-duration", "100ms", \.warningApplyDuration,
                "Applies and reads slower than this are logged."),
            .duration(
                "corrupt-check-time", "0s", \.corruptCheckTime, "Interval of comparing the members' data; 0 is off."),
            .duration(
                "compact-hash-check-time", "1m0s", \.compactHashCheckTime,
                "Interval of comparing hashes of compactions; needs the gate CompactHashCheck."),
            .notYet(
                .signed, "compaction-batch-limit", "0", "Revisions removed in one step of a compaction; 0 is 1000."),
            .notYet(
                .duration, "compaction-sleep-interval", "0s", "Pause between the steps of a compaction; 0 is 10ms."),
            .notYet(.duration, "watch-progress-notify-interval", "0s", "Interval of progress messages; 0 is 10m."),
            .duration(
                "downgrade-check-time", "5s", \.downgradeCheckTime,
                "How often the leader looks whether a downgrade is complete; 0 never does."),
            .notYet(.unsigned, "bootstrap-defrag-threshold-megabytes", "0", "Megabytes to free by a defrag at start."),
            .signed(
                "max-learners", "1", \.maxLearners, "Learners that the cluster may have; the same on every member."),
            .unsigned(
                "snapshot-catchup-entries", "5000", \.snapshotCatchUpEntries,
                "Log entries kept behind a snapshot for slow followers; 0 is 5000."),
        ])

    private static let own = FlagSection(
        title: "Martlet's own",
        flags: [
            .bool(
                "raise-cluster-version", "false", \.raiseClusterVersion,
                "Take existing data to this version; older servers cannot open it afterwards."),
            .bool(
                "manual-nospace-disarm", "false", \.manualNoSpaceDisarm,
                "Leave the NOSPACE alarm to an operator even when there is space again, as etcd does."),
            .unsigned(
                "snapshot-send-bytes-per-second", "0", \.snapshotSendBytesPerSecond,
                "Bytes a second of all database snapshots that this member sends to others; 0 is no limit."),
            .bool(
                "resync-corrupt-member", "false", \.resyncCorruptMember,
                "Replace this member's data by another member's when a majority proves that they differ."),
            .bool(
                "quarantine-by-rolling-hash", "true", \.quarantineByRollingHash,
                "Serve no clients when entries had other effects here than on a majority; else compare rows then."),
        ])

    private static let unsafety = FlagSection(
        title: "Unsafe",
        flags: [
            .bool("unsafe-no-fsync", "false", \.unsafeNoFsync, "Never sync to disk: a power cut loses data."),
            .bool(
                "force-new-cluster", "false", \.forceNewCluster,
                "Start as a cluster of one from existing data; all other members are removed."),
        ])
}
