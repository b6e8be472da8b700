import Base
import ClientAPI
import EtcdProto
import MVCC
import Member
import NIOCore
import NIOEmbedded
import Platform
import Synchronization
import Testing

/// The endpoints over plain HTTP, answered by a member that a test makes up.
@Suite struct PlainEndpointTests {
    private let loop = EmbeddedEventLoop()
    private let member = FakeMember()
    private let record = HealthRecord()

    private func ask(
        _ target: String, method: String = "GET", host: String? = "localhost:2379", origin: String? = nil,
        scope: PlainEndpoints.Scope? = nil
    ) throws -> PlainResponse {
        let service = makeService(loop, member)
        let endpoints = PlainEndpoints(
            scope: scope ?? .client(AccessControl(hosts: [], origins: [])), serverVersion: "3.7.1", record: record,
            processStatistics: { ProcessStatistics() }, logger: silent)
        let answer = endpoints.answer(
            PlainRequest(method: method, target: target, host: host, origin: origin), service)
        var response: PlainResponse?
        answer.assumeIsolated().whenSuccess { response = $0 }
        loop.run()
        return try #require(response)
    }

    private func become(_ change: (inout MemberStatistics) -> Void) {
        member.state.withLock { state in
            var statistics = MemberStatistics()
            statistics.memberID = MemberID(0xABC)
            statistics.leader = MemberID(0xABC)
            statistics.clusterVersion = "3.7.0"
            statistics.storageVersion = "3.7.0"
            change(&statistics)
            state.statistics = statistics
            state.probeAnswer = { _ in nil }
        }
    }

    private func header(_ name: String, _ response: PlainResponse) -> String? {
        response.headers.first { $0.name == name }?.value
    }

    @Test func version() throws {
        become { _ in }
        let response = try ask("/version")
        #expect(response.status == 200)
        #expect(response.body == #"{"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#)
        #expect(header("Content-Type", response) == "application/json")
        become { $0.clusterVersion = "" }
        #expect(try ask("/version").body.contains(#""etcdcluster":"not_decided""#))
    }

    @Test func health() throws {
        become { _ in }
        let healthy = try ask("/health")
        #expect(healthy.status == 200)
        #expect(healthy.body == #"{"health":"true","reason":""}"#)
        #expect(header("Content-Type", healthy) == "text/plain; charset=utf-8")

        become { $0.leader = .none }
        #expect(try ask("/health") == unhealthy("RAFT NO LEADER"))
        #expect(try ask("/health?serializable=true").status == 200)

        become { statistics in
            statistics.leader = .none
            statistics.alarms = [
                .init(member: MemberID(1), kind: .noSpace), .init(member: MemberID(1), kind: .corrupt),
                .init(member: MemberID(1), kind: .init(rawValue: 9)),
            ]
        }
        #expect(try ask("/health") == unhealthy("ALARM NOSPACE"))
        #expect(try ask("/health?exclude=NOSPACE") == unhealthy("ALARM CORRUPT"))
        #expect(try ask("/health?exclude=NOSPACE&exclude=CORRUPT") == unhealthy("ALARM UNKNOWN"))
        #expect(try ask("/health?exclude=NOSPACE&exclude=CORRUPT&exclude=%39") == unhealthy("RAFT NO LEADER"))

        become { _ in }
        member.state.withLock { $0.probeAnswer = { $0 ? .timeout : nil } }
        #expect(try ask("/health") == unhealthy("RANGE ERROR:etcdserver: request timed out"))
        #expect(try ask("/health?serializable=true").status == 200)
        #expect(record.counters.succeeded == 3)
        #expect(record.counters.failed == 6)
    }

    private func unhealthy(_ reason: String) -> PlainResponse {
        PlainResponse(
            503,
            [
                ("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff"),
                ("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE"),
                ("Access-Control-Allow-Origin", "*"),
                ("Access-Control-Allow-Headers", "accept, content-type, authorization"),
            ], #"{"health":"false","reason":"\#(reason)"}"# + "\n")
    }

    @Test(arguments: [
        ("/livez", 200, "ok\n"),
        ("/livez?verbose", 200, "[+]serializable_read ok\nok\n"),
        ("/livez/serializable_read", 200, "ok\n"),
        (
            "/readyz", 503,
            "[-]data_corruption failed: alarm activated: CORRUPT\n[+]serializable_read ok\n"
                + "[-]linearizable_read failed: etcdserver: no leader\n[-]non_learner failed: not supported for learner\n\n"
        ),
        ("/readyz?exclude=data_corruption&exclude=linearizable_read&exclude=non_learner&exclude=what", 200, "ok\n"),
        ("/readyz/serializable_read?verbose=1", 200, "[+]serializable_read ok\nok\n"),
        ("/readyz/linearizable_read", 503, "[-]linearizable_read failed: etcdserver: no leader\n\n"),
        ("/readyz/nope", 404, "404 page not found\n"),
        ("/livez/linearizable_read", 404, "404 page not found\n"),
        ("/livez/", 404, "404 page not found\n"),
    ])
    func checks(_ target: String, _ status: Int, _ body: String) throws {
        become { statistics in
            statistics.isLearner = true
            statistics.alarms = [.init(member: MemberID(1), kind: .corrupt)]
        }
        member.state.withLock { $0.probeAnswer = { $0 ? .noLeader : nil } }
        let response = try ask(target)
        #expect(response.status == status)
        #expect(response.body == body)
    }

    /// A restart would mend nothing, so the process counts as alive.
    @Test func aMemberInQuarantineLivesAndIsNotReady() throws {
        become { $0.quarantine = "other rows" }
        let text = EtcdError.quarantined.message
        #expect(try ask("/health") == unhealthy("RANGE ERROR:\(text)"))
        #expect(try ask("/health?serializable=true") == unhealthy("RANGE ERROR:\(text)"))
        let ready = try ask("/readyz")
        #expect(ready.status == 503 && ready.body.hasPrefix("[-]data_corruption failed: \(text)\n"), "\(ready.body)")
        #expect(try ask("/livez").status == 200)
    }

    @Test(arguments: [
        ("/version", "POST", 405), ("/health", "HEAD", 405), ("/readyz", "DELETE", 405), ("/livez", "PUT", 405),
        ("/nope", "GET", 404), ("/", "GET", 404), ("/v2/keys", "GET", 404), ("/v3/kv/range", "POST", 404),
        ("/members", "GET", 404), ("/debug/pprof/", "GET", 404), ("/anything", "OPTIONS", 200),
    ])
    func verbsAndPaths(_ target: String, _ method: String, _ status: Int) throws {
        become { _ in }
        let response = try ask(target, method: method)
        #expect(response.status == status)
        #expect((header("Allow", response) == "GET") == (status == 405))
        #expect(header("Access-Control-Allow-Origin", response) == "*")
        switch status {
        case 404: #expect(response.body == "404 page not found\n")
        case 405: #expect(response.body == "Method Not Allowed\n")
        default: #expect(response.body.isEmpty)
        }
    }

    @Test func hosts() throws {
        become { _ in }
        let scope = PlainEndpoints.Scope.client(AccessControl(hosts: ["localhost", "::1"], origins: []))
        for host in ["localhost", "localhost:2379", "[::1]:2379"] {
            #expect(try ask("/version", host: host, scope: scope).status == 200)
        }
        for host in ["evil.com", "evil.com:2379", "", nil] {
            let response = try ask("/version", host: host, scope: scope)
            #expect(response.status == 421)
            #expect(response.body.contains("--host-whitelist"))
        }
    }

    @Test func origins() throws {
        become { _ in }
        let scope = PlainEndpoints.Scope.client(AccessControl(hosts: ["*"], origins: ["http://a"]))
        let own = try ask("/version", origin: "http://a", scope: scope)
        #expect(header("Access-Control-Allow-Origin", own) == "http://a")
        for origin in ["http://b", nil] {
            let foreign = try ask("/version", origin: origin, scope: scope)
            #expect(foreign.status == 200)
            #expect(header("Access-Control-Allow-Origin", foreign) == nil)
        }
    }

    @Test func metricsListenerServesMetricsAndHealthAlone() throws {
        become { _ in }
        for (target, status) in [("/metrics", 200), ("/health", 200), ("/readyz", 200), ("/version", 404)] {
            let response = try ask(target, host: "any", scope: .metrics)
            #expect(response.status == status)
            #expect(header("Access-Control-Allow-Origin", response) == nil)
        }
    }

    @Test func aStoppedMember() throws {
        member.state.withLock { $0.statistics = nil }
        let service = makeService(loop, member)
        let endpoints = PlainEndpoints(
            scope: .metrics, serverVersion: "3.7.1", record: record, processStatistics: { ProcessStatistics() },
            logger: silent)
        var responses: [PlainResponse] = []
        for target in ["/health", "/metrics", "/readyz/data_corruption"] {
            endpoints.answer(PlainRequest(method: "GET", target: target), service).assumeIsolated().whenSuccess {
                responses.append($0)
            }
        }
        loop.advanceTime(by: .seconds(8))
        #expect(responses.map(\.status) == [503, 503, 503])
        #expect(responses.allSatisfy { $0.body.contains("etcdserver: request timed out") })
    }
}

@Suite struct MetricsTests {
    @Test(arguments: [
        (0, "0"), (1, "1"), (-1, "-1"), (0.5, "0.5"), (0.001, "0.001"), (8.192, "8.192"), (0.0001, "0.0001"),
        (52.4288, "52.4288"), (8_388_608, "8.388608e+06"), (2_147_483_648, "2.147483648e+09"), (819_200, "819200"),
        (1_000_000, "1e+06"), (100_000, "100000"), (0.00001, "1e-05"),
        (1.8446744073709552e19, "1.8446744073709552e+19"),
        (1e100, "1e+100"), (0.1 + 0.2, "0.30000000000000004"), (123.25, "123.25"), (.infinity, "+Inf"),
        (26_820_608, "2.6820608e+07"), (1_795_473_981.29, "1.79547398129e+09"),
    ])
    func floats(_ value: Double, _ text: String) {
        #expect(goFloat(value) == text)
    }

    private func page() -> String {
        var member = MemberStatistics()
        member.memberID = MemberID(0xABC)
        member.leader = MemberID(0xABC)
        member.clusterVersion = "3.7.0"
        member.quota = 2_147_483_648
        member.walFsync.observe(0.003)
        member.walFsync.observe(100)
        member.alarms = [.init(member: MemberID(5), kind: .noSpace)]
        let window = EffectsHash.Window(index: LogIndex(3000), hash: 1)
        member.effects = [window]
        member.quarantine = "other rows"
        var peer = NetworkStatistics.Peer(MemberID(5))
        peer.clockDifference = -0.25
        peer.roundTrips.observe(0.001)
        member.network.peers = [peer, NetworkStatistics.Peer(MemberID(6))]
        member.corruptionChecks = 3
        member.divergencesFound = 2
        member.divergences = [
            Divergence(
                member: MemberID(5), local: window, remote: EffectsHash.Window(index: LogIndex(3000), hash: 2))
        ]
        member.members = [.init(id: MemberID(0xABC), name: "n", peerURLs: [], clientURLs: [], isLearner: false)]
        var puts = Histogram(from: 0.0001, doubling: 20)
        puts.observe(0.0002)
        member.applies = [.init(operation: "Put", success: true, durations: puts)]
        var requests = Histogram(from: 0.001, doubling: 14)
        requests.observe(0.5)
        member.requests = [.init(operation: "Range", success: false, durations: requests)]
        var calls = CallCounters()
        calls.start(.put, bytes: 10, version: calls.version("3.\"7"))
        calls.finish(.put, .invalidArgument)
        return MetricsPage(
            member: member, calls: calls, health: HealthCounters(), process: ProcessStatistics(), serverVersion: "3.7.1"
        ).text
    }

    /// Every line is a comment or a sample; each family is typed once, before its samples, and they are sorted.
    @Test func isWellFormed() throws {
        let sample = /([a-z_]+)(?:\{((?:[A-Za-z_]+="(?:[^"\\]|\\.)*",?)*)\})? ([0-9.e+-]+|\+Inf)/
        var families: [String] = []
        for line in page().split(separator: "\n") {
            if line.hasPrefix("# HELP ") { continue }
            if line.hasPrefix("# TYPE ") {
                families.append(String(line.split(separator: " ")[2]))
                continue
            }
            let match = try #require(try sample.wholeMatch(in: line), "\(line)")
            let name = String(match.output.1)
            let family = try #require(families.last)
            #expect([family, "\(family)_bucket", "\(family)_sum", "\(family)_count"].contains(name), "\(line)")
        }
        #expect(families == families.sorted())
        #expect(Set(families).count == families.count)
    }

    @Test(arguments: [
        "# TYPE etcd_disk_wal_fsync_duration_seconds histogram",
        #"etcd_disk_wal_fsync_duration_seconds_bucket{le="0.002"} 0"#,
        #"etcd_disk_wal_fsync_duration_seconds_bucket{le="0.004"} 1"#,
        #"etcd_disk_wal_fsync_duration_seconds_bucket{le="8.192"} 1"#,
        #"etcd_disk_wal_fsync_duration_seconds_bucket{le="+Inf"} 2"#,
        "etcd_disk_wal_fsync_duration_seconds_sum 100.003",
        "etcd_disk_wal_fsync_duration_seconds_count 2",
        "# TYPE etcd_server_has_leader gauge", "etcd_server_has_leader 1", "etcd_server_is_leader 1",
        "# TYPE etcd_server_leader_changes_seen_total counter",
        "# TYPE etcd_server_proposals_applied_total gauge",
        "etcd_server_quota_backend_bytes 2.147483648e+09",
        "etcd_debugging_mvcc_compact_revision -1",
        #"etcd_server_version{server_version="3.7.1"} 1"#, #"etcd_cluster_version{cluster_version="3.7"} 1"#,
        #"etcd_server_id{server_id="abc"} 1"#, #"etcd_network_known_peers{Local="abc",Remote="abc"} 1"#,
        #"etcd_debugging_server_alarms{server_id="5",alarm_type="NOSPACE"} 1"#,
        "martlet_server_quarantined 1", "martlet_server_corruption_checks_total 3",
        #"etcd_server_apply_duration_seconds_bucket{version="v3",op="Put",success="true",le="0.0002"} 1"#,
        #"etcd_server_apply_duration_seconds_bucket{version="v3",op="Put",success="true",le="52.4288"} 1"#,
        #"etcd_server_request_duration_seconds_count{type="Range",success="false"} 1"#,
        #"etcd_server_client_requests_total{type="unary",client_api_version="3.\"7"} 1"#,
        #"grpc_server_started_total{grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1"#,
        #"grpc_server_handled_total{grpc_code="InvalidArgument",grpc_method="Put",grpc_service="etcdserverpb.KV",grpc_type="unary"} 1"#,
        #"grpc_server_handled_total{grpc_code="OK",grpc_method="Range",grpc_service="etcdserverpb.KV",grpc_type="unary"} 0"#,
        "etcd_network_client_grpc_received_bytes_total 10",
        #"promhttp_metric_handler_requests_total{code="200"} 0"#,
        "martlet_effects_index 3000", "martlet_divergences_found_total 2",
        #"martlet_diverged_index{remote="5"} 3000"#,
        #"etcd_network_peer_round_trip_time_seconds_count{To="5"} 1"#,
        #"martlet_network_peer_clock_difference_seconds{To="5"} -0.25"#,
    ])
    func contains(_ line: String) {
        #expect(page().split(separator: "\n").contains { $0 == line })
    }

    /// The bounds of the other histograms, by their number and their last.
    @Test(arguments: [
        ("etcd_disk_backend_commit_duration_seconds", 14, "8.192"),
        ("etcd_disk_wal_write_duration_seconds", 14, "8.192"),
        ("etcd_debugging_snap_save_total_duration_seconds", 14, "8.192"),
        ("etcd_snap_fsync_duration_seconds", 14, "8.192"),
        ("etcd_mvcc_hash_rev_duration_seconds", 15, "163.84"),
        ("etcd_server_range_duration_seconds", 20, "52.4288"),
        ("etcd_debugging_mvcc_db_compaction_pause_duration_milliseconds", 13, "4096"),
        ("etcd_debugging_mvcc_db_compaction_total_duration_milliseconds", 14, "819200"),
        ("etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds", 14, "4096"),
    ])
    func buckets(_ name: String, _ count: Int, _ last: String) throws {
        let lines = page().split(separator: "\n").filter { $0.hasPrefix("\(name)_bucket{") }
        #expect(lines.count == count + 1)
        #expect(lines[count - 1].contains("le=\"\(last)\""))
    }
}
