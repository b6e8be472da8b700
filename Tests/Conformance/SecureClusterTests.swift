import EtcdProto
import Foundation
import NIOCore
import SwiftProtobuf
import TestSupport
import Testing

/// Members and clients that speak TLS, of Martlet alone and mixed with etcd; and everybody who must be kept out.
@Suite(.serialized) struct SecureClusterTests {
    private static func hasCurl(for purpose: String) -> Bool {
        if FileManager.default.isExecutableFile(atPath: curlPath) { return true }
        print("skipped: \(purpose) (no curl; get it with `apt-get install curl`)")
        return false
    }

    /// An authority with certificates for servers and clients in a directory of the test's.
    private struct Certificates {
        var directory: String
        var authority: TestAuthority
        var security: TestSecurity
    }

    private func withCertificates(_ purpose: String, _ body: (Certificates) async throws -> Void) async throws {
        let directory = try PackageFiles.temporaryDirectory("certificates")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        guard let authority = try await TestAuthority.make(in: directory, for: purpose) else { return }
        let security = TestSecurity(
            authority: authority.certificate, server: try await authority.issue("server", commonName: "member"),
            client: try await authority.issue("client", commonName: "alice"))
        try await body(Certificates(directory: directory, authority: authority, security: security))
    }

    @Test func threeMembersOverTLS() async throws {
        guard let martlet = Programs.martlet(for: "a cluster over TLS") else { return }
        try await withCertificates("a cluster over TLS") { certificates in
            try await ClusterUnderTest.with(
                [martlet, martlet, martlet], arguments: ["--peer-cert-allowed-cn=member"],
                security: certificates.security
            ) { cluster in
                for i in cluster.running { try await cluster.put("at/\(i)", "\(i)", at: i) }
                for i in cluster.running {
                    for j in cluster.running { #expect(try await cluster.get("at/\(j)", at: i) == "\(j)") }
                }
                let leader = try await cluster.leader()
                await cluster.crash(leader)
                try await cluster.wait("another leader") {
                    guard let other = cluster.running.first else { return false }
                    return (try? await cluster.put("after", "crash", at: other, timeout: .seconds(2))) != nil
                }
                try await cluster.restart(leader)
                try await cluster.wait("the former leader") { try await cluster.get("after", at: leader) == "crash" }
                try await cluster.expectEqualHashes()
            }
        }
    }

    /// Founded by etcd; each newcomer gets all data as a snapshot from a leader of the other program.
    @Test func mixedMembersOverTLS() async throws {
        guard let martlet = Programs.martlet(for: "a mixed cluster over TLS"),
            let etcd = Programs.etcd35(for: "a mixed cluster over TLS")
        else { return }
        try await withCertificates("a mixed cluster over TLS") { certificates in
            try await ClusterUnderTest.with([etcd], security: certificates.security) { cluster in
                // Beyond the entries that a leader keeps.
                try await cluster.fill(7000, bytes: 64, at: 0)
                let joined = try await cluster.join(martlet)
                #expect(try await cluster.get("fill/17", at: joined)?.isEmpty == false)
                try await cluster.moveLeadership(to: joined)
                try await cluster.put("led by", "martlet", at: 0)
                try await cluster.fill(7000, bytes: 64, at: joined)
                let second = try await cluster.join(etcd)
                #expect(try await cluster.get("fill/17", at: second)?.isEmpty == false)
                #expect(try await cluster.get("led by", at: second) == "martlet")
                try await cluster.expectEqualHashes()
            }
        }
    }

    @Test func etcdctlSpeaksTLS() async throws {
        guard let martlet = Programs.martlet(for: "etcdctl over TLS"),
            let path = Programs.etcdctl("3.5", for: "etcdctl over TLS")
        else { return }
        try await withCertificates("etcdctl over TLS") { certificates in
            try await withSecureMember(martlet, certificates) { server in
                let etcdctl = EtcdCtl(path: path, endpoint: server.endpoint, security: certificates.security)
                #expect(try await etcdctl.run(["put", "a", "1"]).text == "OK\n")
                #expect(try await etcdctl.run(["get", "a"]).text == "a\n1\n")
                let list = try await etcdctl.run(["member", "list"]).text
                #expect(list.contains("https://127.0.0.1:\(server.options.peerPort)"), "\(list)")
                let save = certificates.directory + "/saved"
                #expect(try await etcdctl.run(["snapshot", "save", save]).status == 0)
                #expect(FileManager.default.fileExists(atPath: save))
                // Prior knowledge of HTTP/2 reaches the services on the peer port, too.
                let peer = EtcdCtl(
                    path: path, endpoint: "127.0.0.1:\(server.options.peerPort)", security: certificates.security)
                #expect(try await peer.run(["get", "a"]).text == "a\n1\n")
            }
        }
    }

    /// etcd up to 3.5 answers gRPC at its peer ports, which shows only without TLS: with it, etcd 3.5.1 expects a
    /// second handshake inside of the first.
    @Test func peerPortsAnswerGRPC() async throws {
        guard let path = Programs.etcdctl("3.5", for: "gRPC on peer ports"), Self.hasCurl(for: "gRPC on peer ports")
        else { return }
        for case let program? in [
            Programs.martlet(for: "gRPC on peer ports"), Programs.etcd35(for: "gRPC on peer ports"),
        ] {
            try await withServer(program) { server in
                let etcdctl = EtcdCtl(path: path, endpoint: "127.0.0.1:\(server.options.peerPort)")
                #expect(try await etcdctl.run(["put", "a", "1"]).text == "OK\n", "\(program)")
                #expect(try await etcdctl.run(["get", "a"]).text == "a\n1\n", "\(program)")
                let members = try await curl(["http://127.0.0.1:\(server.options.peerPort)/members"])
                #expect(members.text.contains("peerURLs"), "\(program)")
            }
        }
    }

    @Test func thePlainEndpointsOverTLS() async throws {
        guard let martlet = Programs.martlet(for: "endpoints over TLS"), Self.hasCurl(for: "endpoints over TLS") else {
            return
        }
        try await withCertificates("endpoints over TLS") { certificates in
            let metrics = LoopbackPorts.next()
            try await withSecureMember(
                martlet, certificates,
                ["--listen-metrics-urls", "https://127.0.0.1:\(metrics)", "--host-whitelist=nobody"]
            ) { server in
                let trust = certificates.security.clientArguments
                // Names of hosts count on plain connections alone.
                for version in [["--http1.1"], []] {
                    for url in ["https://\(server.endpoint)/health", "https://127.0.0.1:\(metrics)/health"] {
                        let answer = try await curl(version + trust + [url])
                        #expect(
                            answer.text == #"{"health":"true","reason":""}"#, "\(version) \(url) \(answer.errorText)")
                    }
                }
                #expect(
                    try await curl(trust + ["https://127.0.0.1:\(metrics)/metrics"]).text.contains(
                        "etcd_server_has_leader 1"))
                let members = "https://127.0.0.1:\(server.options.peerPort)/members"
                #expect(try await curl(trust + [members]).text.contains("peerURLs"))
            }
        }
    }

    /// Each must fail and end, on client and peer port, and afterwards the good ones get through as before.
    @Test func everybodyElseIsKeptOut() async throws {
        guard let martlet = Programs.martlet(for: "refusals over TLS"), Self.hasCurl(for: "refusals over TLS") else {
            return
        }
        try await withCertificates("refusals over TLS") { certificates in
            let other = try #require(
                try await TestAuthority.make(in: certificates.directory, name: "other", for: "refusals over TLS"))
            let foreign = try await other.issue("foreign", commonName: "member")
            let expired = try await certificates.authority.issue("expired", commonName: "member", days: -1)
            let stranger = try await certificates.authority.issue("stranger", commonName: "stranger")
            let elsewhere = try await certificates.authority.issue(
                "elsewhere", commonName: "member", names: ["IP:10.1.2.3"])
            let security = certificates.security
            try await withSecureMember(martlet, certificates, ["--peer-cert-allowed-cn=member"]) { server in
                let client = try await UnaryClient.connect(to: server)
                func trust(_ pair: TestAuthority.KeyPair?, _ authority: String = security.authority) -> [String] {
                    ["--cacert", authority] + (pair.map { ["--cert", $0.certificate, "--key", $0.key] } ?? [])
                }
                func isServed(_ arguments: [String]) async throws -> Bool {
                    let answer = try await curl(arguments)
                    return answer.status == 0 && answer.text.contains(":")
                }
                let health = "https://\(server.endpoint)/health"
                let members = "https://127.0.0.1:\(server.options.peerPort)/members"
                for (what, arguments) in [
                    ("no certificate", trust(nil)), ("foreign certificate", trust(foreign)),
                    ("expired certificate", trust(expired)),
                    ("foreign server", trust(security.client, other.certificate)),
                ] {
                    for url in [health, members] {
                        #expect(try await !isServed(arguments + [url]), "\(what) at \(url)")
                    }
                }
                #expect(try await !isServed(trust(stranger) + [members]), "another common name")
                #expect(try await !isServed(trust(elsewhere) + [members]), "another address")
                #expect(try await isServed(trust(stranger) + [health]), "common names count between members alone")
                for url in [health, members] {
                    #expect(try await !isServed(["http" + url.dropFirst(5)]), "plain HTTP at \(url)")
                    let name = url.replacing("127.0.0.1", with: "elsewhere.example")
                    #expect(
                        try await !isServed(
                            trust(security.client) + [
                                name, "--resolve", "elsewhere.example:\(port(of: url)):127.0.0.1",
                            ]),
                        "another name at \(url)")
                }
                #expect(try await isServed(trust(security.client) + [health]))
                #expect(try await isServed(trust(security.server) + [members]))
                let answer = try await client.call(.put(Etcdserverpb_PutRequest.with { $0.key = Data("a".utf8) }))
                guard case .put = answer else {
                    Issue.record("\(answer.text)")
                    return
                }
                await client.close()
                #expect(server.log.contains("rejected connection"))
                #expect(server.log.contains(#""remote-addr":"127.0.0.1:"#))
            }
            // TLS at a plain port.
            try await withServer(martlet) { server in
                for url in [
                    "https://\(server.endpoint)/health", "https://127.0.0.1:\(server.options.peerPort)/members",
                ] {
                    let secure = try await curl(["--cacert", security.authority, url])
                    let plain = try await curl(["http" + url.dropFirst(5)])
                    #expect(secure.status != 0 && plain.status == 0)
                }
            }
        }
    }

    @Test func membersMakeTheirOwnCertificates() async throws {
        guard let martlet = Programs.martlet(for: "auto TLS"), Self.hasCurl(for: "auto TLS") else { return }
        let directory = try PackageFiles.temporaryDirectory("auto-tls")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var options = ServerProcess.Options(dataDirectory: directory + "/data")
        let client = "https://127.0.0.1:\(options.clientPort)"
        let peer = "https://127.0.0.1:\(options.peerPort)"
        options.initialCluster = "m1=\(peer)"
        // The last of a flag counts.
        options.arguments = [
            "--listen-client-urls", client, "--advertise-client-urls", client, "--listen-peer-urls", peer,
            "--initial-advertise-peer-urls", peer, "--auto-tls", "--peer-auto-tls",
        ]
        let server = try await ServerProcess.start(martlet, options)
        let certificate = directory + "/data/fixtures/client/cert.pem"
        let answer = try await curl(["--cacert", certificate, client + "/health"])
        #expect(answer.text == #"{"health":"true","reason":""}"#, "\(answer.errorText)")
        #expect(FileManager.default.fileExists(atPath: directory + "/data/fixtures/peer/key.pem"))
        await server.stop()
    }

    /// In etcd's words, before anything is written.
    @Test func filesThatCannotBeUsedAreNamed() async throws {
        guard let martlet = Programs.martlet(for: "bad certificates") else { return }
        try await withCertificates("bad certificates") { certificates in
            for (change, words) in [
                ({ $0.server.certificate = "/nowhere" }, "open /nowhere: no such file or directory (--cert-file)"),
                ({ $0.server.key = $0.client.key }, "tls: private key does not match public key"),
                ({ $0.authority = $0.client.key }, "(--trusted-ca-file): tls: failed to find any PEM data"),
            ] as [((inout TestSecurity) -> Void, String)] {
                var options = ServerProcess.Options(dataDirectory: certificates.directory + "/data")
                var security = certificates.security
                change(&security)
                options.security = security
                do {
                    let server = try await ServerProcess.start(martlet, options)
                    await server.crash()
                    Issue.record("started with \(words)")
                } catch let failure as ServerProcess.NotReady {
                    #expect(failure.end?.status == 1 && failure.end?.signalled == false, "\(failure)")
                    #expect(failure.log.contains(words), "\(failure)")
                    #expect(!FileManager.default.fileExists(atPath: options.dataDirectory))
                }
            }
        }
    }

    private func withSecureMember(
        _ program: ServerProgram, _ certificates: Certificates, _ arguments: [String] = [],
        _ body: (ServerProcess) async throws -> Void
    ) async throws {
        let directory = try PackageFiles.temporaryDirectory("secure-member")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var options = ServerProcess.Options(dataDirectory: directory + "/data", arguments: arguments)
        options.security = certificates.security
        let server = try await ServerProcess.start(program, options)
        do {
            try await body(server)
            await server.stop()
        } catch {
            print(server.log.suffix(3000))
            await server.crash()
            throw error
        }
    }

    private static let curlPath = "/usr/bin/curl"

    private func curl(_ arguments: [String]) async throws -> Subprocess.Result {
        try await Subprocess.run(
            Self.curlPath, ["--silent", "--show-error", "--max-time", "8"] + arguments, timeout: .seconds(20))
    }

    private func port(of url: String) -> Substring {
        url.split(separator: ":").last?.prefix { $0.isNumber } ?? ""
    }
}
