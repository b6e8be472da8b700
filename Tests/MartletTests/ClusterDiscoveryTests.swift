import Base
import Logging
import Synchronization
import Testing
import martlet

/// A discovery service in memory. Each call first takes the next failure from a list, if there is one, and members
/// come by themselves at the looks that the test names.
private final class FakeService: DiscoveryService {
    struct State {
        var rows: [String: DiscoveryRegistry.Row] = [:]
        var revision: Int64 = 1
        var failures: [DiscoveryFailure?] = []
        /// Members that register while the member sleeps for the nth time.
        var arrivals: [Int: [(key: String, value: String)]] = [:]
        var sleeps: [Duration] = []
    }

    let state: Mutex<State>

    init(_ prepare: (inout State) -> Void = { _ in }) {
        var state = State()
        prepare(&state)
        self.state = Mutex(state)
    }

    private func takeFailure() throws(DiscoveryFailure) {
        let failure = state.withLock { $0.failures.isEmpty ? nil : $0.failures.removeFirst() }
        if let failure { throw failure }
    }

    func rows(_ key: String, isPrefix: Bool) async throws(DiscoveryFailure) -> [DiscoveryRegistry.Row] {
        try takeFailure()
        return state.withLock { state in
            state.rows.values.filter { isPrefix ? $0.key.hasPrefix(key) : $0.key == key }.sorted { $0.key < $1.key }
        }
    }

    func put(_ key: String, _ value: String) async throws(DiscoveryFailure) {
        try takeFailure()
        state.withLock { Self.put(key, value, in: &$0) }
    }

    static func put(_ key: String, _ value: String, in state: inout State) {
        state.revision += 1
        let created = state.rows[key]?.createRevision ?? state.revision
        state.rows[key] = DiscoveryRegistry.Row(key: key, value: value, createRevision: created)
    }

    func sleep(_ time: Duration) {
        state.withLock { state in
            state.sleeps.append(time)
            for arrival in state.arrivals[state.sleeps.count] ?? [] { Self.put(arrival.key, arrival.value, in: &state) }
        }
    }
}

@Suite struct ClusterDiscoveryTests {
    private static let size = "/_etcd/registry/tok/_config/size"
    private static let own = MemberID(0xa1)

    private static func member(_ id: String) -> String { "/_etcd/registry/tok/members/\(id)" }

    private func join(_ service: FakeService) async -> String {
        let discovery = ClusterDiscovery(
            token: "tok", service: service, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            sleep: { service.sleep($0) })
        do {
            return try await discovery.join(Self.own, as: "m1=http://h1:1").map(\.description).joined(separator: ",")
        } catch {
            return "\(error)"
        }
    }

    @Test(arguments: [
        ("tok", "/_etcd/registry/tok"), ("a/b", "/_etcd/registry/a/b"), ("/a//b/", "/_etcd/registry/a/b"),
        ("./a/../b", "/_etcd/registry/b"),
    ])
    func keys(token: String, prefix: String) {
        let registry = DiscoveryRegistry(token: token)
        #expect(registry.sizeKey == prefix + "/_config/size")
        #expect(registry.membersPrefix == prefix + "/members")
        #expect(registry.memberKey(MemberID(0xabc)) == prefix + "/members/abc")
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var size: String? = "3"
        /// Who has registered before, first come first.
        var before: [(id: String, value: String)] = []
        var result: String
        var testDescription: String { name }
    }

    static let cases: [Case] = [
        Case(name: "alone", size: "1", result: "m1=http://h1:1"),
        Case(
            name: "the last of three", before: [("c", "m3=http://h3:1,m3=http://h3:2"), ("b", "m2=http://h2:1")],
            result: "m3=http://h3:1,m3=http://h3:2,m2=http://h2:1,m1=http://h1:1"),
        Case(
            name: "registered before, and started again", size: "2",
            before: [("a1", "m1=http://h1:1"), ("b", "m2=http://h2:1"), ("c", "m3=http://h3:1")],
            result: "m1=http://h1:1,m2=http://h2:1"),
        Case(
            name: "full", size: "2", before: [("b", "m2=http://h2:1"), ("c", "m3=http://h3:1")],
            result: "discovery: cluster is full"),
        Case(
            name: "registered, but too late", size: "2",
            before: [("b", "m2=http://h2:1"), ("c", "m3=http://h3:1"), ("a1", "m1=http://h1:1")],
            result: "discovery: cluster is full"),
        Case(
            name: "what is no member does not count", size: "2",
            before: [("x", "nonsense"), ("b", " m2=http://h2:1\n")],
            result: "m2=http://h2:1,m1=http://h1:1"),
        Case(
            name: "no size", size: nil,
            result:
                "discovery: size key not found; put the number of members under /_etcd/registry/tok/_config/size, or "
                + "correct --discovery-token"),
        Case(
            name: "no number", size: "three",
            result: "discovery: size key is bad: /_etcd/registry/tok/_config/size is \"three\""),
        Case(
            name: "nobody", size: "0", result: "discovery: size key is bad: /_etcd/registry/tok/_config/size is \"0\""),
        Case(
            name: "a URL that is none", size: "2", before: [("b", "m2=h2")],
            result: "discovery: invalid peer URL: /_etcd/registry/tok/members/b is \"m2=h2\""),
        Case(
            name: "one name twice", size: "2", before: [("b", "m1=http://h2:1")],
            result: "discovery: two members are called \"m1\"; give each its own --name, and found the cluster with "
                + "another token"),
    ]

    @Test(arguments: cases) func decides(_ it: Case) async {
        let service = FakeService { state in
            if let size = it.size { FakeService.put(Self.size, size, in: &state) }
            for (id, value) in it.before { FakeService.put(Self.member(id), value, in: &state) }
        }
        #expect(await join(service) == it.result)
        #expect(service.state.withLock { $0.sleeps } == [])
    }

    /// A member that finds the cluster full leaves nothing behind.
    @Test func doesNotRegisterInVain() async {
        let service = FakeService { state in
            FakeService.put(Self.size, "1", in: &state)
            FakeService.put(Self.member("b"), "m2=http://h2:1", in: &state)
        }
        #expect(await join(service) == "discovery: cluster is full")
        #expect(service.state.withLock { $0.rows.count } == 2)
    }

    @Test func waitsForTheOthers() async {
        let service = FakeService { state in
            FakeService.put(Self.size, "3", in: &state)
            state.arrivals = [5: [(Self.member("c"), "m3=http://h3:1")], 6: [(Self.member("b"), "m2=http://h2:1")]]
        }
        #expect(await join(service) == "m1=http://h1:1,m3=http://h3:1,m2=http://h2:1")
        // Less and less often, and again at once when somebody has come.
        let milliseconds = service.state.withLock { $0.sleeps.map { $0 / .milliseconds(1) } }
        #expect(milliseconds == [250, 500, 1000, 2000, 2000, 250])
    }

    /// Two came at the same time as this one, and the service took them first.
    @Test func othersWereFaster() async {
        let service = FakeService { state in
            FakeService.put(Self.size, "2", in: &state)
            FakeService.put(Self.member("b"), "m2=http://h2:1", in: &state)
            state.failures = [nil, nil, .unavailable("busy")]
            state.arrivals = [1: [(Self.member("c"), "m3=http://h3:1")]]
        }
        #expect(await join(service) == "discovery: cluster is full")
    }

    @Test func triesAgain() async {
        let service = FakeService { state in
            FakeService.put(Self.size, "1", in: &state)
            state.failures = [.unavailable("x"), .unavailable("y"), nil, nil, .unavailable("z")]
        }
        #expect(await join(service) == "m1=http://h1:1")
        #expect(service.state.withLock { $0.sleeps } == [.seconds(2), .seconds(4), .seconds(2)])
    }

    @Test func givesUp() async {
        let service = FakeService { $0.failures = Array(repeating: .unavailable("nobody"), count: 100) }
        #expect(await join(service) == "discovery: too many retries: nobody")
        #expect(service.state.withLock { $0.sleeps } == (1...ClusterDiscovery.maxRetries).map { .seconds(1 << $0) })
    }

    @Test func doesNotRepeatWhatIsRefused() async {
        let service = FakeService { $0.failures = [.refused("permission denied")] }
        #expect(await join(service) == "discovery: permission denied")
        #expect(service.state.withLock { $0.sleeps } == [])
    }

    @Test(arguments: [
        ("h:1", DiscoveryEndpoint.Place.tcp(host: "h", port: 1)), ("http://[::1]:2", .tcp(host: "::1", port: 2)),
        ("unix:///run/x.sock", .unix(path: "/run/x.sock")), ("https://h:3", .tcp(host: "h", port: 3)),
    ])
    func endpoints(text: String, place: DiscoveryEndpoint.Place) throws {
        #expect(try DiscoveryEndpoint(text).place == place)
    }

    /// The scheme says whether there is TLS; where it does not, the flags do.
    @Test(arguments: [
        ("h:1", DiscoveryEndpoint.Security.open, "h"), ("http://h:1", .none, "h"),
        ("https://[::1]:1", .required, "::1"),
        ("unix:///run/localhost:1", .open, "localhost"), ("unixs://localhost:1", .required, "localhost"),
    ])
    func securityOfEndpoints(text: String, security: DiscoveryEndpoint.Security, name: String) throws {
        let endpoint = try DiscoveryEndpoint(text)
        #expect(endpoint.security == security && endpoint.serverName == name)
        #expect(endpoint.isSecure(DiscoveryConfiguration()) == (security == .required))
        let asking: [(inout DiscoveryConfiguration) -> Void] = [
            { $0.insecureTransport = false }, { $0.insecureSkipVerify = true }, { $0.authoritiesFile = "ca" },
            {
                $0.certFile = "c"
                $0.keyFile = "k"
            },
        ]
        for ask in asking {
            var configuration = DiscoveryConfiguration()
            ask(&configuration)
            #expect(endpoint.isSecure(configuration) == (security != .none))
        }
    }
}
