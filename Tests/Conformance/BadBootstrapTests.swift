import Foundation
import TestSupport
import Testing

/// Flags that found no cluster: Martlet and etcd 3.5.1 end with the same code, for the same reason, in the same words
/// where there is no cause for others.
@Suite(.serialized) struct BadBootstrapTests {
    /// Addresses on this machine that nobody listens at.
    struct Addresses: Sendable {
        var peer = "http://127.0.0.1:\(LoopbackPorts.next())"
        var otherPeer = "http://127.0.0.1:\(LoopbackPorts.next())"
        var client = "http://127.0.0.1:\(LoopbackPorts.next())"
    }

    struct Case: Sendable, CustomTestStringConvertible {
        /// How a program ends, and what it says at the end.
        struct End: Sendable {
            var status: Int32
            var words: String
        }

        var testDescription: String
        var etcd: End
        /// The same as etcd if nil.
        var martlet: End?
        /// What is given besides a name, two listeners and the advertised client URL.
        var arguments: @Sendable (Addresses) -> [String]

        init(
            _ name: String, _ status: Int32, _ words: String, martlet: End? = nil,
            _ arguments: @escaping @Sendable (Addresses) -> [String]
        ) {
            testDescription = name
            etcd = End(status: status, words: words)
            self.martlet = martlet
            self.arguments = arguments
        }
    }

    private static func founding(_ list: String, _ at: Addresses) -> [String] {
        ["--initial-advertise-peer-urls", at.peer, "--initial-cluster", list]
    }

    private static let scheme = "URL scheme must be http, https, unix, or unixs"
    private static let ways = "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\""
    private static let noV2Discovery = Case.End(
        status: 2, words: "flag provided but not defined: -discovery (etcd 3.7 removed v2 discovery)")

    static let cases: [Case] = [
        Case("own name missing", 1, "couldn't find local name \"m1\" in the initial cluster configuration") {
            founding("m2=\($0.peer)", $0)
        },
        Case("empty list", 1, "couldn't find local name \"m1\" in the initial cluster configuration") {
            founding("", $0)
        },
        Case("entry without a name", 1, "couldn't find local name \"m1\" in the initial cluster configuration") {
            founding("=\($0.peer)", $0)
        },
        Case("empty name", 1, "couldn't find local name \"\" in the initial cluster configuration") {
            founding("m1=\($0.peer)", $0) + ["--name", ""]
        },
        Case("one name twice", 1, "but missing from --initial-advertise-peer-urls=http://127.0.0.1:") {
            founding("m1=\($0.peer),m1=\($0.otherPeer)", $0)
        },
        Case("one URL twice", 1, "has duplicate url") { founding("m1=\($0.peer),m2=\($0.peer)", $0) },
        Case("other URL advertised", 1, "but missing from --initial-advertise-peer-urls=http://127.0.0.1:") {
            founding("m1=\($0.otherPeer)", $0)
        },
        Case("more advertised than listed", 1, "but missing from --initial-cluster=m1=http://127.0.0.1:") {
            founding("m1=\($0.peer)", $0) + ["--initial-advertise-peer-urls", "\($0.peer),\($0.otherPeer)"]
        },
        Case(
            "entry without a URL", 1, "error setting up initial cluster: \(scheme): ",
            martlet: .init(status: 1, words: "error setting up initial cluster: empty URL given for \"m1\"")
        ) { founding("m1", $0) },
        Case("scheme in the list", 1, "error setting up initial cluster: \(scheme): ftp://127.0.0.1:1") {
            founding("m1=ftp://127.0.0.1:1", $0)
        },
        Case("no port in the list", 1, "error setting up initial cluster: URL address does not have the form") {
            founding("m1=http://127.0.0.1", $0)
        },
        Case("path in the list", 1, "error setting up initial cluster: URL must not contain a path: ") {
            founding("m1=\($0.peer)/x", $0)
        },
        Case("state", 2, "invalid value \"old\" for flag -initial-cluster-state: invalid value") {
            founding("m1=\($0.peer)", $0) + ["--initial-cluster-state", "old"]
        },
        Case("nobody to join", 1, "cannot fetch cluster info from peer urls") {
            founding("m1=\($0.peer),m2=\($0.otherPeer)", $0) + ["--initial-cluster-state", "existing"]
        },
        Case("joins itself", 1, "cannot fetch cluster info from peer urls") {
            founding("m1=\($0.peer)", $0) + ["--initial-cluster-state", "existing"]
        },
        Case("list and v2 discovery", 1, ways, martlet: noV2Discovery) {
            founding("m1=\($0.peer)", $0) + ["--discovery", "http://127.0.0.1:1/x"]
        },
        Case("list and DNS", 1, ways) { founding("m1=\($0.peer)", $0) + ["--discovery-srv", "x.invalid"] },
        Case("both discoveries", 1, ways, martlet: noV2Discovery) { _ in
            ["--discovery", "http://127.0.0.1:1/x", "--discovery-srv", "x.invalid"]
        },
        Case("scheme of a listener", 2, "for flag -listen-peer-urls: \(scheme): ftp://127.0.0.1:1") { _ in
            ["--listen-peer-urls", "ftp://127.0.0.1:1"]
        },
        Case("listener without a port", 2, "for flag -listen-peer-urls: URL address does not have the form") { _ in
            ["--listen-peer-urls", "http://127.0.0.1"]
        },
        Case("listener with a path", 2, "for flag -listen-client-urls: URL must not contain a path: ") {
            ["--listen-client-urls", "\($0.client)/x"]
        },
        Case(
            "port out of range", 1, "listen tcp: address 99999: invalid port",
            martlet: .init(status: 2, words: "URL address does not have the form \"host:port\": http://127.0.0.1:99999")
        ) { founding("m1=\($0.peer)", $0) + ["--listen-peer-urls", "http://127.0.0.1:99999"] },
        Case("listener by name", 1, "expected IP in URL for binding (http://example.com:1)") { _ in
            ["--listen-peer-urls", "http://example.com:1"]
        },
        Case("election too short", 1, "--election-timeout[400ms] should be at least as 5 times as") { _ in
            ["--heartbeat-interval", "100", "--election-timeout", "400"]
        },
        Case("election too long", 1, "--election-timeout[50001ms] is too long") { _ in
            ["--election-timeout", "50001"]
        },
        Case("no heartbeat", 1, "--heartbeat-interval must be >0 (set to 0ms)") { _ in ["--heartbeat-interval", "0"] },
        Case("no election", 1, "--election-timeout must be >0 (set to 0ms)") { _ in ["--election-timeout", "0"] },
        Case("heartbeat with a unit", 2, "invalid value \"1s\" for flag -heartbeat-interval: parse error") { _ in
            ["--heartbeat-interval", "1s"]
        },
        Case("https without a certificate", 1, "must be provided for client url https://127.0.0.1:1 with HTTPS") {
            founding("m1=\($0.peer)", $0) + ["--listen-client-urls", "https://127.0.0.1:1"]
        },
        Case("no such flag", 2, "flag provided but not defined: -nope") { _ in ["--nope"] },
        Case("no flag at all", 1, "'x' is not a valid flag") { _ in ["x"] },
    ]

    private func expect(
        _ end: Case.End, of program: ServerProgram, _ addresses: Addresses, _ arguments: [String]
    ) async throws {
        let directory = try PackageFiles.temporaryDirectory("bootstrap")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let result = try await Subprocess.run(
            program.path,
            program.arguments + [
                "--name", "m1", "--data-dir", "\(directory)/data", "--listen-peer-urls", addresses.peer,
                "--listen-client-urls", addresses.client, "--advertise-client-urls", addresses.client,
            ] + arguments)
        let said = result.text + result.errorText
        // As it stands on the terminal, or within a line of JSON.
        let quoted = end.words.replacing("\"", with: "\\\"")
        #expect(said.contains(end.words) || said.contains(quoted), "\(program) says: \(said.suffix(1000))")
        #expect(result.status == end.status && !result.signalled, "\(program)")
    }

    @Test(arguments: cases) func ends(_ test: Case) async throws {
        let purpose = "bad bootstrap flags, \(test)"
        guard let martlet = Programs.martlet(for: purpose) else { return }
        let addresses = Addresses()
        let arguments = test.arguments(addresses)
        try await expect(test.martlet ?? test.etcd, of: martlet, addresses, arguments)
        guard let etcd = Programs.etcd35(for: purpose) else { return }
        try await expect(test.etcd, of: etcd, addresses, arguments)
        print("ran: \(purpose), beside \(etcd)")
    }

    /// What only matters for a first start is not looked at afterwards, as a file of flags may have aged.
    @Test(arguments: [
        ["--initial-cluster=m1=ftp://127.0.0.1:1"], ["--initial-cluster=m1"],
        ["--initial-cluster=m2=http://127.0.0.1:1"], ["--initial-cluster-state=existing"],
        ["--initial-cluster-token=other"],
    ])
    func countsForTheFirstStartOnly(_ arguments: [String]) async throws {
        let purpose = "bootstrap flags of a second start"
        for case let program? in [Programs.martlet(for: purpose), Programs.etcd35(for: purpose)] {
            let directory = try PackageFiles.temporaryDirectory("bootstrap")
            defer { try? FileManager.default.removeItem(atPath: directory) }
            var options = ServerProcess.Options(dataDirectory: "\(directory)/data")
            let first = try await ServerProcess.start(program, options)
            await first.stop()
            options.arguments = arguments
            let second = try await ServerProcess.start(program, options)
            await second.stop()
            print("ran: \(purpose), \(arguments[0]), \(program)")
        }
    }

    /// Empty lists of URLs leave what was given before.
    @Test func emptyURLsLeaveWhatWasGiven() async throws {
        let purpose = "empty lists of URLs"
        for case let program? in [Programs.martlet(for: purpose), Programs.etcd35(for: purpose)] {
            let flags = [
                "--listen-peer-urls=", "--listen-client-urls=", "--initial-advertise-peer-urls=",
                "--advertise-client-urls=", "--listen-metrics-urls=",
            ]
            try await withServer(program, arguments: flags) { server in
                let client = try await UnaryClient.connect(to: server)
                guard case .put = try await client.call(EdgeCase.put("a", value: "1")) else {
                    Issue.record("\(program) does not take a put")
                    return
                }
                await client.close()
            }
            print("ran: \(purpose), \(program)")
        }
    }

    /// A host of one's own that has no address yet is waited for, and not in silence.
    @Test func unknownHostIsTold() async throws {
        let purpose = "own host without an address"
        for case let program? in [Programs.martlet(for: purpose), Programs.etcd35(for: purpose)] {
            let directory = try PackageFiles.temporaryDirectory("bootstrap")
            defer { try? FileManager.default.removeItem(atPath: directory) }
            let server = try ServerProcess(
                program,
                ServerProcess.Options(
                    dataDirectory: "\(directory)/data",
                    arguments: ["--initial-advertise-peer-urls", "http://nobody.invalid:1"]))
            let deadline = ContinuousClock.now + .seconds(30)
            while !server.log.contains("failed to resolve URL Host"), ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(server.log.contains("failed to resolve URL Host"), "\(program): \(server.log.suffix(1000))")
            await server.crash()
            print("ran: \(purpose), \(program)")
        }
    }
}
