import Member
import TLS
import Testing
import martlet

/// Flags, environment and configuration file: what wins, what is refused, and in which words.
@Suite struct ConfigurationTests {
    private func read(
        _ arguments: [String], _ environment: [String: String] = [:], file: String? = nil
    ) -> Result<ConfigurationReader.Result, Refusal> {
        Result { () throws(Refusal) in
            try ConfigurationReader.read(
                arguments: arguments, environment: environment.map { (name: $0.key, value: $0.value) },
                readFile: { path throws(ValueError) in
                    guard let file, path == "c.yml" else {
                        throw ValueError("open \(path): no such file or directory")
                    }
                    return file
                })
        }
    }

    private func configuration(
        _ arguments: [String], _ environment: [String: String] = [:], file: String? = nil
    ) throws -> ServerConfiguration {
        guard case .serve(let configuration, _) = try read(arguments, environment, file: file).get() else {
            throw ValueError("nothing to serve")
        }
        return configuration
    }

    private func refusal(
        _ arguments: [String], _ environment: [String: String] = [:], file: String? = nil
    ) -> Refusal? {
        switch read(arguments, environment, file: file) {
        case .success: nil
        case .failure(let refusal): refusal
        }
    }

    @Test func defaults() throws {
        let it = try configuration([])
        #expect(it.name == "default")
        #expect(it.resolvedDataDirectory == "default.etcd")
        #expect(it.snapshotCount == 10_000)
        #expect(it.heartbeatMilliseconds == 100)
        #expect(it.electionMilliseconds == 1000)
        #expect(it.listenClientURLs.map(\.description) == ["http://localhost:2379"])
        #expect(it.maxRequestBytes == 1_572_864)
        #expect(it.maxConcurrentStreams == 4_294_967_295)
        #expect(it.keepaliveInterval == .seconds(7200))
        #expect(it.preVote && it.strictReconfigCheck && it.initialElectionTickAdvance)
        #expect(it.resolvedInitialCluster == "default=http://localhost:2380")
        #expect(it.corsOrigins == ["*"] && it.hostWhitelist == ["*"])
        #expect(it.listenMetricsURLs.isEmpty)
        #expect(it.warningApplyDuration == .milliseconds(100))
        #expect(it.explicit.isEmpty)
    }

    @Test func limitsOfTheClusterReachTheMember() throws {
        let plain = try configuration([]).member
        #expect(plain.learnerLimit == 1)
        #expect(plain.snapshotCatchUpEntries == 5000)
        let set = try configuration(["--max-learners=3", "--snapshot-catchup-entries", "70"]).member
        #expect(set.learnerLimit == 3)
        #expect(set.snapshotCatchUpEntries == 70)
        #expect(try configuration([], ["ETCD_MAX_LEARNERS": "2"]).member.learnerLimit == 2)
        // As 3.6 called them.
        let former = try configuration(
            ["--experimental-max-learners=3"], ["ETCD_EXPERIMENTAL_SNAPSHOT_CATCHUP_ENTRIES": "70"]
        ).member
        #expect(former.learnerLimit == 3)
        #expect(former.snapshotCatchUpEntries == 70)
        #expect(
            try configuration(["--config-file=c.yml"], file: "snapshot-catchup-entries: 9").member
                .snapshotCatchUpEntries == 9)
        #expect(try configuration(["--snapshot-catchup-entries=0"]).member.snapshotCatchUpEntries == 5000)
        #expect(try configuration(["--max-learners=-1"]).member.learnerLimit == -1)
    }

    @Test func downgradeCheckTime() throws {
        #expect(try configuration([]).member.downgradeCheckInterval == .seconds(5))
        #expect(try configuration(["--downgrade-check-time=200ms"]).member.downgradeCheckInterval == .milliseconds(200))
        #expect(
            try configuration([], ["ETCD_DOWNGRADE_CHECK_TIME": "1m"]).member.downgradeCheckInterval == .seconds(60))
        #expect(
            try configuration(["--config-file=c.yml"], file: "downgrade-check-time: 3s").member.downgradeCheckInterval
                == .seconds(3))
        // As 3.5 and 3.6 call it.
        #expect(
            try configuration(["--experimental-downgrade-check-time=7s"]).member.downgradeCheckInterval == .seconds(7))
        for never in ["0s", "-1s"] {
            #expect(try configuration(["--downgrade-check-time", never]).member.downgradeCheckInterval == nil)
        }
        #expect(refusal(["--downgrade-check-time=soon"]) != nil)
    }

    @Test func speedOfSnapshots() throws {
        #expect(try configuration([]).snapshotSendBytesPerSecond == 0)
        #expect(
            try configuration(["--snapshot-send-bytes-per-second=10000000"]).snapshotSendBytesPerSecond == 10_000_000)
        #expect(
            refusal(["--snapshot-send-bytes-per-second=16383"])
                == .invalid("--snapshot-send-bytes-per-second must be 0 or at least 16384 (set to 16383)"))
    }

    /// Every default of the table is a value of its kind, and the struct says the same.
    @Test func tableAgreesWithItself() throws {
        for flag in FlagTable.all { _ = try flag.kind.parse(flag.defaultText) }
        var plain = ServerConfiguration()
        let read = try configuration([])
        plain.listenPeerURLs = read.listenPeerURLs
        plain.listenClientURLs = read.listenClientURLs
        plain.initialAdvertisePeerURLs = read.initialAdvertisePeerURLs
        plain.advertiseClientURLs = read.advertiseClientURLs
        #expect(plain == read)
    }

    @Test(arguments: [
        ["--name=a", "--max-txn-ops=7", "--pre-vote=false"],
        ["-name", "a", "-max-txn-ops", "7", "-pre-vote=false"],
        ["-name=a", "--max-txn-ops", "0x7", "--pre-vote=F"],
    ])
    func goSyntax(_ arguments: [String]) throws {
        let it = try configuration(arguments)
        #expect(it.name == "a")
        #expect(it.maxTxnOperations == 7)
        #expect(!it.preVote)
        #expect(it.explicit == ["name", "max-txn-ops", "pre-vote"])
    }

    /// An empty text is no URL, nor the default: it leaves what was there before.
    @Test func emptyURLsLeaveWhatWasGiven() throws {
        let default2380 = try ServerURL.list("http://localhost:2380")
        #expect(try configuration(["--listen-peer-urls="]).listenPeerURLs == default2380)
        let given = "http://127.0.0.1:1"
        let it = try configuration(["--listen-peer-urls", given, "--listen-peer-urls", ""])
        #expect(it.listenPeerURLs == (try ServerURL.list(given)))
        #expect(try configuration(["--initial-advertise-peer-urls="]).initialAdvertisePeerURLs == default2380)
        #expect(try configuration(["--listen-metrics-urls", given, "--listen-metrics-urls="]).listenMetricsURLs == [])
        // It counts as given.
        #expect(
            refusal(["--listen-client-urls="])
                == .invalid("--advertise-client-urls is required when --listen-client-urls is set explicitly"))
        #expect(
            refusal(["--listen-peer-urls=,"])
                == .usage(
                    "invalid value \",\" for flag -listen-peer-urls: URL scheme must be http, https, unix, or unixs: "))
    }

    @Test func lastFlagWins() throws {
        #expect(try configuration(["--name=a", "--name=b"]).name == "b")
        #expect(try configuration(["--unsafe-no-fsync"]).unsafeNoFsync)
    }

    @Test(arguments: [
        (["--nope"], "flag provided but not defined: -nope"),
        (["--heartbeat-interval=abc"], "invalid value \"abc\" for flag -heartbeat-interval: parse error"),
        (["--snapshot-count"], "flag needs an argument: -snapshot-count"),
        (["--pre-vote=maybe"], "invalid boolean value \"maybe\" for -pre-vote: parse error"),
        (["--initial-cluster-state", "foo"], "invalid value \"foo\" for flag -initial-cluster-state: invalid value"),
        (["--max-snapshots", "-1"], "invalid value \"-1\" for flag -max-snapshots: parse error"),
        (["--backend-batch-interval", "5"], "invalid value \"5\" for flag -backend-batch-interval: parse error"),
        (["---name"], "bad flag syntax: ---name"),
        (["--=x"], "bad flag syntax: --=x"),
        (
            ["--listen-client-urls", "foo"],
            "invalid value \"foo\" for flag -listen-client-urls: URL scheme must be http, https, unix, or unixs: foo"
        ),
        (
            ["--listen-client-urls", "http://h"],
            "invalid value \"http://h\" for flag -listen-client-urls: "
                + "URL address does not have the form \"host:port\": http://h"
        ),
        (
            ["--advertise-client-urls", "http://h:1/x"],
            "invalid value \"http://h:1/x\" for flag -advertise-client-urls: URL must not contain a path: http://h:1/x"
        ),
        (
            ["--discovery", "x"],
            "flag provided but not defined: -discovery (etcd 3.7 removed v2 discovery)"
        ),
        (
            ["--experimental-compaction-batch-limit=2"],
            "flag provided but not defined: -experimental-compaction-batch-limit "
                + "(etcd 3.7 removed its experimental flags; use --compaction-batch-limit)"
        ),
        (
            ["--feature-gates", "Unheard=true"],
            "invalid value \"Unheard=true\" for flag -feature-gates: unrecognized feature gate: Unheard"
        ),
        (
            ["--feature-gates=InitialCorruptCheck"],
            "invalid value \"InitialCorruptCheck\" for flag -feature-gates: "
                + "missing bool value for feature gate InitialCorruptCheck"
        ),
    ])
    func badFlags(_ arguments: [String], _ words: String) {
        let refusal = refusal(arguments)
        #expect(refusal == .usage(words))
        #expect(refusal?.exitCode == 2)
    }

    @Test(arguments: [
        (
            ["--election-timeout", "10"],
            "--election-timeout[10ms] should be at least as 5 times as --heartbeat-interval[100ms]"
        ),
        (["--election-timeout=60000"], "--election-timeout[60000ms] is too long, and should be set less than 50000ms"),
        (
            ["--feature-gates=LeaseCheckpointPersist=true"],
            "enabling feature gate LeaseCheckpointPersist requires enabling feature gate LeaseCheckpoint"
        ),
        (["--compact-hash-check-time=0"], "--compact-hash-check-time must be >0"),
        (
            ["--feature-gates=PriorityRequest=true"],
            "the feature gate PriorityRequest is one of etcd's that Martlet does not support yet; leave it at its "
                + "default"
        ),
        (["--heartbeat-interval=0"], "--heartbeat-interval must be >0 (set to 0ms)"),
        (
            ["--listen-client-urls", "http://127.0.0.1:1"],
            "--advertise-client-urls is required when --listen-client-urls is set explicitly"
        ),
        (
            ["--listen-client-urls=http://example.com:1", "--advertise-client-urls=http://x:1"],
            "expected IP in URL for binding (http://example.com:1)"
        ),
        (["positional"], "'positional' is not a valid flag"),
        (["--name", "a", "b"], "'b' is not a valid flag"),
        (["--config-file", "none.yml"], "open none.yml: no such file or directory"),
        (["--log-format=xml"], "unknown log format: xml, supported values json, console"),
        (["--log-outputs="], "couldn't open sink \"\": open : no such file or directory"),
        (
            ["--memory-mlock"],
            "--memory-mlock is a setting of etcd that Martlet does not support yet; remove it, or leave it at its default (false)"
        ),
        (
            ["--initial-cluster=a=http://h:1", "--discovery-srv=d"],
            "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \"discovery-endpoints\" or "
                + "\"discovery-srv\""
        ),
        (
            ["--discovery-srv=d", "--discovery-token=t", "--discovery-endpoints=h:1"],
            "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", \"discovery-endpoints\" or "
                + "\"discovery-srv\""
        ),
        (["--discovery-token=t"], "both --discovery-token and --discovery-endpoints must be set"),
        (["--discovery-endpoints=h:1"], "both --discovery-token and --discovery-endpoints must be set"),
        (
            ["--discovery-token=t", "--discovery-endpoints=h:1, ,h:2"],
            "--discovery-endpoints must not contain empty endpoints"
        ),
        (
            ["--discovery-cert=c"],
            "--discovery-cert, --discovery-key: KeyFile and CertFile must both be present[key: , cert: c]"
        ),
        (["--discovery-dial-timeout=0s"], "--discovery-dial-timeout must be >0 (set to 0s)"),
        (
            ["--discovery-fallback=proxy"],
            "--discovery-fallback=proxy: etcd's v2 proxy is gone, as v2 discovery is; leave it at its default (exit)"
        ),
    ])
    func badSettings(_ arguments: [String], _ words: String) {
        let refusal = refusal(arguments)
        #expect(refusal == .invalid(words))
        #expect(refusal?.exitCode == 1)
    }

    /// Only a member that has never run looks at the list.
    @Test(arguments: [
        ("a=http://h:1,b", "empty URL given for \"b\""),
        ("a=ftp://h:1", "URL scheme must be http, https, unix, or unixs: ftp://h:1"),
        ("a=http://h", "URL address does not have the form \"host:port\": http://h"),
    ])
    func unreadableClusters(_ list: String, _ words: String) throws {
        let it = try configuration(["--initial-cluster", list])
        #expect(it.member.initialCluster.isEmpty)
        #expect(throws: ValueError("error setting up initial cluster: \(words)")) { try it.founders }
    }

    @Test(arguments: [
        ["--enable-grpc-gateway"], ["--raft-read-timeout=5000ms"], ["--auth-token", "simple"],
        ["--compaction-batch-limit=0"], ["--enable-pprof=false"],
    ])
    func acceptsDefaultsOfWhatIsNotThere(_ arguments: [String]) throws {
        let plain = try configuration([])
        #expect(try configuration(arguments) == plain)
    }

    /// How 3.5 and 3.7 spell the comparisons of the members' data.
    @Test func checksOfTheData() throws {
        let plain = try configuration([])
        #expect(!plain.checksDataAtStart && !plain.checksCompactions && plain.corruptCheckTime == .zero)
        let new = try configuration([
            "--feature-gates", "InitialCorruptCheck=true,CompactHashCheck=true", "--corrupt-check-time=5s",
            "--compact-hash-check-time=7s", "--resync-corrupt-member",
        ])
        #expect(new.checksDataAtStart && new.checksCompactions && new.resyncCorruptMember)
        #expect(new.member.quarantinesByRollingHash)
        #expect(try configuration(["--quarantine-by-rolling-hash=false"]).member.quarantinesByRollingHash == false)
        #expect(new.corruptCheckTime == .seconds(5) && new.compactHashCheckTime == .seconds(7))
        let old = try configuration([
            "--experimental-initial-corrupt-check", "--experimental-compact-hash-check-enabled=true",
            "--experimental-corrupt-check-time", "5s", "--experimental-compact-hash-check-time=7s",
        ])
        #expect(old.checksDataAtStart && old.checksCompactions && !old.resyncCorruptMember)
        #expect(old.corruptCheckTime == .seconds(5) && old.compactHashCheckTime == .seconds(7))
        let alpha = try configuration(["--feature-gates=AllAlpha=true,CompactHashCheck=false"])
        #expect(alpha.checksDataAtStart && !alpha.checksCompactions)
    }

    @Test func helpAndVersionComeFirst() throws {
        #expect(try read(["--help"]).get() == .help)
        #expect(try read(["-h", "junk"]).get() == .help)
        #expect(try read(["--version"]).get() == .version)
        #expect(refusal(["--nope", "--help"]) == .usage("flag provided but not defined: -nope"))
    }

    @Test func warnsOfLeftovers() throws {
        guard case .serve(_, let notes) = try read(["--snapshot", "--peer-heartbeat-interval", "5"]).get() else {
            Issue.record("nothing to serve")
            return
        }
        #expect(notes.map { $0.fields["flag"] } == ["--snapshot", "--peer-heartbeat-interval"])
        #expect(notes.allSatisfy { $0.isWarning })
    }

    @Test func environment() throws {
        let it = try configuration(["--max-wals=1"], ["ETCD_NAME": "x", "ETCD_SNAPSHOT_COUNT": "7", "PATH": "/bin"])
        #expect(it.name == "x" && it.snapshotCount == 7 && it.maxWALs == 1)
        // An empty variable is none.
        #expect(try configuration([], ["ETCD_NAME": ""]).name == "default")
        guard case .serve(_, let notes) = try read([], ["ETCD_FOO": "bar", "ETCD_NAME": "x"]).get() else {
            Issue.record("nothing to serve")
            return
        }
        #expect(notes.map(\.isWarning) == [true, false])
        #expect(
            notes.map(\.message) == [
                "unrecognized environment variable", "recognized and used environment variable",
            ])
        #expect(notes[0].fields == ["environment-variable": "ETCD_FOO=bar"])
        #expect(notes[1].fields == ["variable-name": "ETCD_NAME", "variable-value": "x"])
    }

    @Test func badEnvironment() {
        #expect(
            refusal([], ["ETCD_SNAPSHOT_COUNT": "abc"])
                == .invalid("invalid value \"abc\" for ETCD_SNAPSHOT_COUNT: parse error"))
        let conflict = refusal(["--name=bar"], ["ETCD_NAME": "foo"])
        guard case .fatal(let words, let fields)? = conflict else {
            Issue.record("\(String(describing: conflict))")
            return
        }
        #expect(words.hasPrefix("conflicting environment variable is shadowed by corresponding command-line flag"))
        #expect(fields == ["environment-variable": "ETCD_NAME"])
        #expect(conflict?.exitCode == 1)
    }

    @Test func configurationFile() throws {
        let text = """
            # a member
            name: n1
            data-dir: /data
            snapshot-count: 500
            heartbeat-interval: 50
            listen-client-urls: http://127.0.0.1:1,http://127.0.0.1:2
            pre-vote: false
            backend-batch-interval: 20000000
            grpc-keepalive-min-time: 3s
            log-outputs: [stderr, stdout]
            cors: "*"
            quota-backend-bytes: -1
            socket-options:
              reuse-port: true
            client-transport-security:
              cert-file: ""
            """
        // Everything else is ignored, even what would be refused.
        let it = try configuration(["--config-file=c.yml", "--name=x", "--auto-tls"], ["ETCD_NAME": "y"], file: text)
        #expect(it.name == "n1" && it.dataDirectory == "/data" && it.snapshotCount == 500)
        #expect(it.listenClientURLs.map(\.port) == [1, 2])
        #expect(!it.preVote && it.socketReusePort)
        #expect(it.backendBatchInterval == .milliseconds(20) && it.keepaliveMinTime == .seconds(3))
        #expect(it.logOutputs == ["stderr", "stdout"])
        #expect(it.quotaBackendBytes == -1)
        // By variable, and in JSON.
        #expect(try configuration([], ["ETCD_CONFIG_FILE": "c.yml"], file: #"{"name":"j"}"#).name == "j")
        #expect(try configuration(["--config-file=c.yml"], file: "").name == "default")
    }

    @Test(arguments: [
        ("nope: 1", "unknown key \"nope\" in configuration file c.yml"),
        ("heartbeat-interval: abc", "\"heartbeat-interval\" should be uint, found \"abc\""),
        ("pre-vote: 1", "\"pre-vote\" should be bool, found \"1\""),
        ("name: {a: 1}", "unknown key \"name.a\" in configuration file c.yml"),
        ("[1, 2]", "the configuration file is no mapping of keys"),
        (
            "initial-cluster-state: zzz",
            "invalid value \"zzz\" for \"initial-cluster-state\" in configuration file c.yml: invalid value"
        ),
        (
            "auto-compaction-retention: 5m",
            "\"auto-compaction-retention\" in configuration file c.yml is a setting of etcd that Martlet does not support "
                + "yet; remove it, or leave it at its default (0)"
        ),
    ])
    func badConfigurationFile(_ text: String, _ words: String) {
        #expect(refusal(["--config-file=c.yml"], file: text) == .invalid(words))
    }

    @Test func malformedConfigurationFile() {
        guard case .invalid(let words)? = refusal(["--config-file=c.yml"], file: "name: [1") else {
            Issue.record("accepted")
            return
        }
        #expect(words.hasPrefix("error converting YAML to JSON: "))
    }

    @Test func clusterFollowsTheName() throws {
        #expect(
            try configuration(["--name=n", "--initial-advertise-peer-urls=http://b:2,http://a:1"])
                .resolvedInitialCluster
                == "n=http://a:1,n=http://b:2")
        #expect(
            try configuration(["--name=n", "--initial-cluster=n=http://c:1"]).resolvedInitialCluster == "n=http://c:1")
    }

    @Test func discovery() throws {
        let flags = ["--discovery-token=t", "--discovery-endpoints=h:1,http://h:2", "--discovery-user=u:p:q"]
        let it = try configuration(flags).discovery
        #expect(it.token == "t" && it.endpoints == ["h:1", "http://h:2"])
        #expect(it.dialTimeout == .seconds(2) && it.requestTimeout == .seconds(5))
        #expect(it.credentials?.user == "u" && it.credentials?.password == "p:q")
        #expect(try configuration(flags).resolvedInitialCluster == "")
        let both = try configuration(["--discovery-user=u:x", "--discovery-password=p"]).discovery.credentials
        #expect(both?.user == "u:x" && both?.password == "p")
        #expect(try configuration(["--discovery-user=u"]).discovery.credentials == nil)
        let text = """
            discovery-config:
              token: t
              client:
                endpoints: [h:1]
                request-timeout: 7s
                auth: {username: u, password: p}
            """
        let file = try configuration(["--config-file=c.yml"], file: text).discovery
        #expect(file.endpoints == ["h:1"] && file.requestTimeout == .seconds(7) && file.credentials?.password == "p")
        #expect(!file.prefersTLS)
        // Only files can say this.
        let named = try configuration(
            ["--config-file=c.yml"], file: text + "\n    secure: {server-name: registry.example}"
        ).discovery
        #expect(named.tls.serverName == "registry.example" && named.prefersTLS)
        #expect(throws: Refusal.self) { try configuration(["--discovery-server-name=registry.example"]) }
    }

    @Test func helpNamesEveryFlag() {
        let help = HelpText.help
        for flag in FlagTable.all { #expect(help.contains("--\(flag.name)")) }
        #expect(help.split(separator: "\n").allSatisfy { $0.count <= 160 })
        #expect(HelpText.version(swift: "6", platform: "linux/amd64").hasPrefix("etcd Version: 3.7.1\n"))
    }
}

@Suite struct NotationTests {
    @Test(arguments: [
        ("0", 0), ("0s", 0), ("100ms", 100_000_000), ("1m30s", 90_000_000_000), ("1.5h", 5_400_000_000_000),
        ("2h", 7_200_000_000_000), ("1us", 1000), ("1µs", 1000), ("7ns", 7), ("-1s", -1_000_000_000),
        (".5s", 500_000_000), ("1h0m0s", 3_600_000_000_000), ("0.0000000019s", 1),
    ])
    func durations(_ text: String, _ nanoseconds: Int64) {
        #expect(GoDuration.parse(text) == .nanoseconds(nanoseconds))
    }

    @Test(arguments: ["", "5", "s", "1", "1x", "1 s", "--1s", ".s", "1.2.3s", "9999999999h", "1s2", "+", "1e3s"])
    func badDurations(_ text: String) {
        #expect(GoDuration.parse(text) == nil)
    }

    @Test(arguments: [
        (0, "0s"), (100_000_000, "100ms"), (1_000_000_000, "1s"), (60_000_000_000, "1m0s"),
        (7_200_000_000_000, "2h0m0s"), (1_500_000_000, "1.5s"), (1_543_312, "1.543312ms"), (-5_000, "-5µs"),
    ])
    func formatsDurations(_ nanoseconds: Int64, _ text: String) {
        #expect(GoDuration.format(.nanoseconds(nanoseconds)) == text)
    }

    @Test(arguments: [
        ("127.0.0.1", true), ("::1", true), ("fe80::1%eth0", true), ("2001:db8:0:0:0:0:0:1", true),
        ("::ffff:1.2.3.4", true), ("1.2.3", false), ("256.1.1.1", false), ("example.com", false), ("1::2::3", false),
        ("", false), ("12345::", false),
    ])
    func addresses(_ text: String, _ isAddress: Bool) throws {
        var configuration = ServerConfiguration()
        configuration.listenClientURLs = [try ServerURL("http://\(text.contains(":") ? "[\(text)]" : text):1")]
        let accepted = (try? configuration.validate(fromFile: true)) != nil
        #expect(accepted == isAddress)
    }

    @Test func urlsAreSortedAndUnique() throws {
        let urls = try ServerURL.list("http://b:1, http://a:2,http://b:1,unix:///run/x.sock")
        #expect(urls.map(\.description) == ["http://a:2", "http://b:1", "unix:///run/x.sock"])
        #expect(urls[2].host == "/run/x.sock")
        #expect(try ServerURL("http://[::1]:5").address == "[::1]:5")
    }
}
