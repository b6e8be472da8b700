import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport
import Testing

/// Members that find each other by a token with a discovery service: a released etcd, or Martlet.
@Suite(.serialized) struct DiscoveryTests {
    enum Service: String, Sendable, CaseIterable {
        case etcd
        case martlet

        func program(for purpose: String) -> ServerProgram? {
            self == .etcd ? Programs.etcd35(for: purpose) : Programs.martlet(for: purpose)
        }
    }

    /// A service over TLS that demands certificates: with the right files, without, and with wrong ones.
    @Test(arguments: Service.allCases) func speaksTLS(_ service: Service) async throws {
        guard let program = service.program(for: "discovery over TLS"),
            let martlet = Programs.martlet(for: "discovery over TLS")
        else { return }
        try await withDirectory { directory in
            guard let authority = try await TestAuthority.make(in: directory, for: "discovery over TLS") else { return }
            let pair = try await authority.issue("client", commonName: "member")
            let security = TestSecurity(
                authority: authority.certificate,
                server: try await authority.issue("server", commonName: "service"), client: pair)
            var serviceOptions = ServerProcess.Options(dataDirectory: directory + "/service")
            serviceOptions.security = security
            let server = try await ServerProcess.start(program, serviceOptions)
            try await put("/_etcd/registry/tok/_config/size", "1", to: server)

            let shown = ["--discovery-cert", pair.certificate, "--discovery-key", pair.key]
            let trusted = ["--discovery-cacert", authority.certificate]
            let nowhere = ["--discovery-cacert", directory + "/nowhere"]
            try await expectRefusal(
                options(directory, token: "tok", endpoints: server.endpoint, more: nowhere),
                saying: "\(directory)/nowhere: no such file or directory (--discovery-cacert)")
            // Nobody that the system knows vouches for the service; it knows nobody without a certificate; and it
            // speaks no plain text.
            let missing = service == .etcd ? "tls: bad certificate" : "CERTIFICATE_REQUIRED"
            for (flags, endpoint, text) in [
                (shown, "https://\(server.endpoint)", "tls: failed to verify certificate"),
                (trusted, server.endpoint, missing),
                (shown + trusted, "http://\(server.endpoint)", "retry connecting to discovery service"),
            ] {
                let member = try ServerProcess(
                    martlet, options(directory, token: "tok", endpoints: endpoint, more: flags))
                let deadline = ContinuousClock.now + .seconds(20)
                while !member.log.contains(text), ContinuousClock.now < deadline {
                    try await Task.sleep(for: .milliseconds(20))
                }
                #expect(member.log.contains(text), "\(flags): \(member.log.suffix(1000))")
                #expect(!member.log.contains("ready to serve"))
                await member.crash()
            }
            for (name, flags, endpoint) in [
                ("verified", shown + trusted, server.endpoint),
                ("trusting", shown + ["--discovery-insecure-skip-tls-verify"], "https://\(server.endpoint)"),
            ] {
                try await put("/_etcd/registry/\(name)/_config/size", "1", to: server)
                try FileManager.default.createDirectory(
                    atPath: "\(directory)/\(name)", withIntermediateDirectories: true)
                let member = try await ServerProcess.start(
                    martlet, options("\(directory)/\(name)", token: name, endpoints: endpoint, more: flags))
                #expect(member.log.contains("discovery joined cluster successfully"))
                await member.stop()
            }
            await server.stop()
        }
    }

    private func put(_ key: String, _ value: String, to server: ServerProcess) async throws {
        let client = try await UnaryClient.connect(to: server)
        _ = try await client.call(EdgeCase.put(key, value: value))
        await client.close()
    }

    private func options(
        _ directory: String, token: String, endpoints: String, more: [String] = []
    ) -> ServerProcess.Options {
        var options = ServerProcess.Options(
            dataDirectory: directory + "/data",
            arguments: ["--discovery-token", token, "--discovery-endpoints", endpoints] + more)
        options.discovers = true
        return options
    }

    private func withDirectory(_ body: (String) async throws -> Void) async throws {
        let directory = try PackageFiles.temporaryDirectory("token")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try await body(directory)
    }

    /// A start that must fail with code 1 and one of these words.
    private func expectRefusal(_ options: ServerProcess.Options, saying text: String) async throws {
        guard let martlet = Programs.martlet(for: "refusals of discovery") else { return }
        let server = try ServerProcess(martlet, options)
        let end = await server.waitForEnd(timeout: .seconds(30))
        #expect(end?.status == 1 && end?.signalled == false, "\(server.log.suffix(1000))")
        #expect(server.log.contains(text), "\(server.log.suffix(1000))")
        #expect(!FileManager.default.fileExists(atPath: options.dataDirectory + "/member"), "it has left data")
        await server.crash()
    }

    @Test(arguments: Service.allCases) func threeFoundAFourthIsToldThatItIsFull(_ service: Service) async throws {
        guard let program = service.program(for: "discovery"), let martlet = Programs.martlet(for: "discovery") else {
            return
        }
        try await withServer(program) { server in
            try await put("/_etcd/registry/tok/_config/size", "3", to: server)
            let flags = ["--discovery-token", "tok", "--discovery-endpoints", "127.0.0.1:1,\(server.endpoint)"]
            let prepare = { (options: inout [ServerProcess.Options]) in
                for i in options.indices {
                    options[i].discovers = true
                    options[i].arguments += flags
                }
            }
            try await ClusterUnderTest.with([martlet, martlet, martlet], prepare: prepare) { cluster in
                for i in cluster.running { try await cluster.put("at/\(i)", "\(i)", at: i) }
                for i in cluster.running {
                    for j in cluster.running { #expect(try await cluster.get("at/\(j)", at: i) == "\(j)") }
                }
                let client = try await UnaryClient.connect(to: server)
                let members = EdgeCase.range("/_etcd/registry/tok/members", end: "/_etcd/registry/tok/membert")
                guard case .range(let response) = try await client.call(members) else {
                    Issue.record("the service does not answer")
                    return
                }
                await client.close()
                let found = Dictionary(
                    uniqueKeysWithValues: response.kvs.map {
                        (String(decoding: $0.key, as: UTF8.self), String(decoding: $0.value, as: UTF8.self))
                    })
                let expected = cluster.members.map {
                    (
                        "/_etcd/registry/tok/members/" + String($0.id, radix: 16),
                        "\($0.options.name)=\($0.options.peerURL)"
                    )
                }
                #expect(found == Dictionary(uniqueKeysWithValues: expected))
                try await withDirectory { directory in
                    try await expectRefusal(
                        options(directory, token: "tok", endpoints: server.endpoint),
                        saying: "failed to join discovery cluster (discovery: cluster is full)")
                }
                // With data nobody is asked any more.
                await server.crash()
                await cluster.stop(0)
                try await cluster.restart(0)
                #expect(try #require(cluster.members[0].server).log.contains("discovery is ignored"))
                #expect(try await cluster.get("at/1", at: 0) == "1")
            }
        }
    }

    @Test func refusesWithoutASize() async throws {
        guard let martlet = Programs.martlet(for: "size of a cluster to be discovered") else { return }
        try await withServer(martlet) { server in
            try await put("/_etcd/registry/bad/_config/size", "many", to: server)
            try await withDirectory { directory in
                try await expectRefusal(
                    options(directory, token: "other", endpoints: server.endpoint),
                    saying: "discovery: size key not found; put the number of members under "
                        + "/_etcd/registry/other/_config/size")
                try await expectRefusal(
                    options(directory, token: "bad", endpoints: server.endpoint),
                    saying: "discovery: size key is bad")
                var joining = options(directory, token: "bad", endpoints: server.endpoint)
                joining.joins = true
                try await expectRefusal(
                    joining, saying: "discovery endpoints should not be set when joining existing initial cluster")
            }
        }
    }

    /// Nobody there: it says so, tries again, and ends at once when it is told to.
    @Test func waitsForTheServiceAndCanBeEnded() async throws {
        guard let martlet = Programs.martlet(for: "a discovery service that is not there") else { return }
        try await withDirectory { directory in
            let endpoint = "127.0.0.1:\(LoopbackPorts.next())"
            let server = try ServerProcess(martlet, options(directory, token: "t", endpoints: endpoint))
            let deadline = ContinuousClock.now + .seconds(20)
            while !server.log.contains("\"retry\":\"2\""), ContinuousClock.now < deadline {
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(server.log.contains("retry connecting to discovery service"), "\(server.log)")
            #expect(server.log.contains("\"retry\":\"2\"") && server.log.contains(endpoint), "\(server.log)")
            let end = await server.stop()
            #expect(end?.signalled == true && end?.status == ChildProcess.Signal.terminate.rawValue)
            #expect(!FileManager.default.fileExists(atPath: directory + "/data/member"))
        }
    }

    /// A service with users: the right password, a wrong one, and a user without rights.
    @Test func authenticates() async throws {
        guard let martlet = Programs.martlet(for: "discovery with a user"),
            let etcd = Programs.etcd35(for: "a discovery service with users"),
            let ctl = Programs.etcdctl("3.5", for: "adding users to a discovery service")
        else { return }
        try await withServer(etcd) { server in
            try await put("/_etcd/registry/tok/_config/size", "1", to: server)
            let etcdctl = EtcdCtl(path: ctl, endpoint: server.endpoint)
            for step in [
                "user add root:secret", "user add member:word", "user add guest:word", "role add founding",
                "role grant-permission founding --prefix=true readwrite /_etcd/registry/tok/",
                "user grant-role member founding", "auth enable",
            ] {
                let result = try await etcdctl.run(step.split(separator: " ").map(String.init))
                #expect(result.status == 0, "\(step): \(result.errorText)")
            }
            try await withDirectory { directory in
                let refusals = [
                    (["--discovery-user", "member:wrong"], "authentication failed, invalid user ID or password"),
                    (["--discovery-user", "guest", "--discovery-password", "word"], "permission denied"),
                    ([], "user name is empty"),
                ]
                for (flags, text) in refusals {
                    try await expectRefusal(
                        options(directory, token: "tok", endpoints: server.endpoint, more: flags), saying: text)
                }
                let member = try await ServerProcess.start(
                    martlet,
                    options(
                        directory, token: "tok", endpoints: server.endpoint,
                        more: ["--discovery-user", "member:word"]))
                await member.stop()
            }
        }
    }
}
