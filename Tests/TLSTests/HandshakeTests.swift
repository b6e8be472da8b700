import Foundation
import Logging
import NIOCore
import NIOPosix
import Platform
import PlatformLinux
import Synchronization
import TLS
import TestSupport
import Testing

/// Servers and clients over loopback: who gets through, who does not, and that nobody else notices.
@Suite(.serialized) struct HandshakeTests {
    @Test(arguments: [TLSProtocol.tls12, .tls13])
    func certificatesAreVerifiedBothWays(_ version: TLSProtocol) async throws {
        try await TLSFiles.with("handshakes") { files in
            let server = try await echoServer(files.settings { $0.maximumVersion = version })
            let good = try await files.authority.issue("good", commonName: "alice")
            #expect(try await talk(to: server.port, client(files.settings(good))) == "hello")
            #expect(server.commonNames == ["alice"])

            let other = try #require(try await TestAuthority.make(in: files.directory, name: "other", for: ""))
            let foreign = try await other.issue("foreign", commonName: "mallory")
            let expired = try await files.authority.issue("expired", commonName: "alice", days: -1)
            var none = files.settings()
            none.certificateFile = ""
            none.keyFile = ""
            for (what, settings) in [
                ("foreign certificate", files.settings(foreign)), ("expired certificate", files.settings(expired)),
                ("no certificate", none), ("foreign server", files.settings(good, authority: other.certificate)),
            ] {
                let client = try client(settings)
                await #expect(throws: (any Error).self, "\(what)") { try await talk(to: server.port, client) }
            }
            await #expect(throws: (any Error).self, "wrong name") {
                try await talk(to: server.port, client(files.settings(good)), host: "elsewhere.example")
            }
            // An alert, which is no greeting.
            #expect((try? await talk(to: server.port, nil)) != "hello")
            // The others are none the worse for it, and nothing of those above got through.
            #expect(try await talk(to: server.port, client(files.settings(good)), host: "localhost") == "hello")
            #expect(server.commonNames == ["alice", "alice"])
            await server.close()
        }
    }

    @Test func withoutAuthoritiesClientsNeedNoCertificate() async throws {
        try await TLSFiles.with("a server for all") { files in
            let server = try await echoServer(files.settings(authority: ""))
            var settings = files.settings()
            settings.certificateFile = ""
            settings.keyFile = ""
            #expect(try await talk(to: server.port, client(settings)) == "hello")
            #expect(server.commonNames == ["-"])
            await server.close()
        }
    }

    @Test func versionsAndSuites() async throws {
        try await TLSFiles.with("versions of TLS") { files in
            let new = try await echoServer(files.settings { $0.minimumVersion = .tls13 })
            await #expect(throws: (any Error).self) {
                try await talk(to: new.port, client(files.settings { $0.maximumVersion = .tls12 }))
            }
            #expect(try await talk(to: new.port, client(files.settings())) == "hello")
            await new.close()
            for suite in CipherSuites.names where !suite.contains("_RSA_") {
                let suited = try await echoServer(files.settings { $0.cipherSuites = [suite] })
                #expect(try await talk(to: suited.port, client(files.settings())) == "hello", "\(suite)")
                await suited.close()
            }
            let ecdsa = try await echoServer(
                files.settings { $0.cipherSuites = ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"] })
            await #expect(throws: (any Error).self) {
                try await talk(
                    to: ecdsa.port,
                    client(
                        files.settings {
                            $0.cipherSuites = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"]
                            $0.maximumVersion = .tls12
                        }))
            }
            await ecdsa.close()
        }
    }

    @Test func namesAreDemanded() async throws {
        try await TLSFiles.with("allowed names") { files in
            let alice = try await files.authority.issue("alice", commonName: "alice", names: ["DNS:a.example"])
            let bob = try await files.authority.issue("bob", commonName: "bob", names: ["DNS:b.example"])
            for change: (inout TLSSettings) -> Void in [
                { $0.allowedCommonNames = ["carol", "alice"] }, { $0.allowedHostNames = ["a.example"] },
            ] {
                let server = try await echoServer(files.settings(nil, authority: nil, change))
                #expect(try await talk(to: server.port, client(files.settings(alice))) == "hello")
                await #expect(throws: (any Error).self) {
                    try await talk(to: server.port, client(files.settings(bob)))
                }
                #expect(server.commonNames == ["alice"])
                await server.close()
            }
            // Whoever demands a name demands it of those it dials, too.
            let server = try await echoServer(files.settings())
            await #expect(throws: (any Error).self) {
                try await talk(to: server.port, client(files.settings(alice) { $0.allowedCommonNames = ["alice"] }))
            }
            await server.close()
        }
    }

    private struct Names: HostNames {
        func addresses(of name: String) -> [String] { name == "here.example" ? ["127.0.0.1"] : [] }
        func name(of address: String) -> String? { nil }
    }

    @Test(arguments: [
        (["IP:127.0.0.1"], true), (["IP:10.0.0.1"], false), ([], true), (["DNS:here.example"], true),
        (["DNS:there.example"], false), (["IP:10.0.0.1", "DNS:here.example"], true),
    ])
    func addressesAreChecked(_ names: [String], _ passes: Bool) async throws {
        try await TLSFiles.with("addresses of clients") { files in
            let server = try await echoServer(files.settings { $0.checksClientAddress = true }, names: Names())
            let client = try client(files.settings(try await files.authority.issue("c", commonName: "c", names: names)))
            if passes {
                #expect(try await talk(to: server.port, client) == "hello")
            } else {
                await #expect(throws: (any Error).self) { try await talk(to: server.port, client) }
                #expect(server.commonNames.isEmpty)
            }
            await server.close()
        }
    }

    @Test(arguments: [true, false])
    func revokedCertificatesAreRefused(_ isPEM: Bool) async throws {
        try await TLSFiles.with("revocation") { files in
            let good = try await files.authority.issue("good", commonName: "good")
            let bad = try await files.authority.issue("bad", commonName: "bad")
            let list = try await files.authority.revoke([bad], file: "list", isPEM: isPEM)
            let server = try await echoServer(files.settings { $0.revocationListFile = list })
            #expect(try await talk(to: server.port, client(files.settings(good))) == "hello")
            await #expect(throws: (any Error).self) { try await talk(to: server.port, client(files.settings(bad))) }
            // The list is read again when it is replaced.
            _ = try await files.authority.revoke([bad, good], file: "list", isPEM: isPEM)
            await #expect(throws: (any Error).self) { try await talk(to: server.port, client(files.settings(good))) }
            #expect(server.commonNames == ["good"])
            await server.close()
        }
    }

    @Test func renewedCertificatesAreTakenOver() async throws {
        try await TLSFiles.with("renewed certificates") { files in
            let pair = try await files.authority.issue("renewed", commonName: "first")
            let server = try await echoServer(files.settings())
            let client = try client(files.settings(pair))
            #expect(try await talk(to: server.port, client) == "hello")
            // Half of a renewal: the former pair stays in use.
            let next = try await files.authority.issue("next", commonName: "second")
            try replace(pair.certificate, by: next.certificate)
            #expect(try await talk(to: server.port, client) == "hello")
            try replace(pair.key, by: next.key)
            #expect(try await talk(to: server.port, client) == "hello")
            #expect(server.commonNames == ["first", "first", "second"])

            // The server's, too: to one of an authority that the client does not know.
            let other = try #require(try await TestAuthority.make(in: files.directory, name: "other", for: ""))
            let foreign = try await other.issue("foreign", commonName: "foreign")
            try replace(files.server.certificate, by: foreign.certificate)
            try replace(files.server.key, by: foreign.key)
            await #expect(throws: (any Error).self) { try await talk(to: server.port, client) }
            await server.close()
        }
    }

    private func replace(_ path: String, by other: String) throws {
        try Data(contentsOf: URL(fileURLWithPath: other)).write(to: URL(fileURLWithPath: path), options: .atomic)
    }

    @Test func ownCertificates() async throws {
        try await TLSFiles.with("certificates of one's own") { files in
            let directory = files.directory + "/a/b"
            func make() throws -> (certificate: String, key: String) {
                try SelfSignedCertificate.files(
                    in: directory, hosts: ["127.0.0.1", "::1", "m.example"], years: 1, disk: LinuxDisk(),
                    clock: LinuxClock(), entropy: LinuxEntropy())
            }
            let made = try make()
            let text = try await Subprocess.run(
                "/usr/bin/openssl", ["x509", "-in", made.certificate, "-noout", "-text", "-checkend", "31000000"]
            ).text
            for part in [
                "O = martlet", "DNS:m.example", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1",
                "TLS Web Server Authentication", "CA:FALSE", "Certificate will not expire",
            ] { #expect(text.contains(part), "\(part) in \(text)") }
            let permissions = try FileManager.default.attributesOfItem(atPath: made.key)[.posixPermissions] as? Int
            #expect(permissions == 0o600)
            let before = try Data(contentsOf: URL(fileURLWithPath: made.certificate))
            _ = try make()
            #expect(try Data(contentsOf: URL(fileURLWithPath: made.certificate)) == before)

            let pair = TestAuthority.KeyPair(certificate: made.certificate, key: made.key)
            let server = try await echoServer(files.settings(pair, authority: ""))
            let trusting = try client(files.settings(pair, authority: "") { $0.trustsAllServers = true })
            #expect(try await talk(to: server.port, trusting) == "hello")
            #expect(
                try await talk(to: server.port, client(files.settings(pair, authority: pair.certificate))) == "hello")
            await #expect(throws: (any Error).self) { try await talk(to: server.port, client(files.settings())) }
            await server.close()
        }
    }

    @Test func badFilesAreNamed() async throws {
        try await TLSFiles.with("errors of files") { files in
            let other = try await files.authority.issue("other", commonName: "other")
            let list = files.authority.certificate
            for (change, words) in [
                ({ $0.certificateFile = "/nowhere" }, ["open /nowhere: no such file", "--peer-cert-file"]),
                ({ $0.keyFile = "/nowhere" }, ["open /nowhere: no such file", "--peer-key-file"]),
                ({ $0.trustedCAFile = "/nowhere" }, ["open /nowhere: no such file", "--peer-trusted-ca-file"]),
                ({ $0.revocationListFile = "/nowhere" }, ["open /nowhere: no such file", "--peer-crl-file"]),
                ({ $0.revocationListFile = list }, [list, "no certificate revocation list"]),
                ({ $0.certificateFile = files.server.key }, [files.server.key, "--peer-cert-file", "PEM"]),
                ({ $0.keyFile = files.server.certificate }, [files.server.certificate, "--peer-key-file", "PEM"]),
                ({ $0.trustedCAFile = files.server.key }, [files.server.key, "--peer-trusted-ca-file", "PEM"]),
                ({ $0.keyFile = other.key }, ["private key does not match public key", other.key]),
                ({ $0.clientCertificateFile = "x" }, ["ClientKeyFile and ClientCertFile must both be present"]),
            ] as [((inout TLSSettings) -> Void, [String])] {
                var settings = files.settings()
                settings.flags = .peers
                change(&settings)
                do {
                    _ = try ServerTLS(
                        settings, offering: [], disk: LinuxDisk(), names: LinuxHostNames(), logger: .silent)
                    Issue.record("accepted: \(words)")
                } catch {
                    for word in words { #expect("\(error)".contains(word), "\(error)") }
                }
            }
        }
    }

    /// One that says nothing keeps a connection for a while; others are served meanwhile.
    @Test func silentClientsDelayNobody() async throws {
        try await TLSFiles.with("silent clients") { files in
            let server = try await echoServer(files.settings())
            let silent = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(host: "127.0.0.1", port: server.port).get()
            #expect(try await talk(to: server.port, client(files.settings())) == "hello")
            #expect(silent.isActive)
            try await silent.close()
            await server.close()
        }
    }
}
