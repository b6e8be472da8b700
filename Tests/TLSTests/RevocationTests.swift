import Foundation
import NIOCore
import NIOPosix
import TLS
import TestSupport
import Testing

/// Certificates that were good once: each one that a client is verified by counts, at each connection.
@Suite(.serialized) struct RevocationTests {
    @Test(arguments: [TLSProtocol.tls12, .tls13])
    func authoritiesInTheMiddleCount(_ version: TLSProtocol) async throws {
        try await TLSFiles.with("revocation of intermediate authorities") { files in
            let bad = try await files.authority.intermediate("bad")
            let good = try await files.authority.intermediate("good")
            let below = try await good.intermediate("below")
            let list = try await files.authority.revoke([], file: "list")
            let server = try await echoServer(
                files.settings {
                    $0.revocationListFile = list
                    $0.maximumVersion = version
                })
            let clients = [
                try client(files.settings(await files.authority.issue("direct", commonName: "direct"))),
                try client(files.settings(await good.issue("by-good", commonName: "by good"))),
                try client(files.settings(await below.issue("by-below", commonName: "by below"))),
                try client(files.settings(await bad.issue("by-bad", commonName: "by bad"))),
            ]
            for client in clients { #expect(try await talk(to: server.port, client) == "hello") }
            _ = try await files.authority.revoke([.init(certificate: bad.certificate, key: "")], file: "list")
            for client in clients.dropLast() { #expect(try await talk(to: server.port, client) == "hello") }
            await #expect(throws: (any Error).self) { try await talk(to: server.port, clients[3]) }
            // Two steps away from the client.
            _ = try await files.authority.revoke([.init(certificate: good.certificate, key: "")], file: "list")
            await #expect(throws: (any Error).self) { try await talk(to: server.port, clients[2]) }
            #expect(
                server.commonNames == ["direct", "by good", "by below", "by bad", "direct", "by good", "by below"])
            await server.close()
        }
    }

    /// An authority of the trusted file is trusted until it is taken out of there.
    @Test func trustedAuthoritiesAreLeftAlone() async throws {
        try await TLSFiles.with("revocation of trusted authorities") { files in
            let list = try await files.authority.revoke(
                [.init(certificate: files.authority.certificate, key: "")], file: "list")
            let server = try await echoServer(files.settings { $0.revocationListFile = list })
            #expect(try await talk(to: server.port, client(files.settings())) == "hello")
            await server.close()
        }
    }

    /// How `openssl` says that it was verified: `New` or `Reused`.
    private func handshake(
        _ port: Int, _ version: TLSProtocol, _ files: TLSFiles, _ session: [String]
    ) async throws -> String {
        let result = try await Subprocess.run(
            "/usr/bin/openssl",
            [
                "s_client", "-connect", "127.0.0.1:\(port)", version == .tls12 ? "-tls1_2" : "-tls1_3", "-cert",
                files.server.certificate, "-key", files.server.key, "-CAfile", files.authority.certificate, "-ign_eof",
            ] + session, input: Array(EchoServer.last.utf8))
        return ["New", "Reused"].filter { result.text.contains("\($0), TLSv\(version.rawValue.dropFirst(3))") }.joined()
    }

    /// Where certificates are demanded each connection is verified anew: one may have expired, or been revoked.
    @Test(arguments: [TLSProtocol.tls12, .tls13], [true, false])
    func sessionsAreNotResumed(_ version: TLSProtocol, verifies: Bool) async throws {
        try await TLSFiles.with("resumed sessions") { files in
            let server = try await echoServer(files.settings(authority: verifies ? nil : ""))
            let session = files.directory + "/session"
            #expect(try await handshake(server.port, version, files, ["-sess_out", session]) == "New")
            #expect(server.tls.connectionsWithOwnContext == 0)
            let again = try await handshake(server.port, version, files, ["-sess_in", session])
            #expect(again == (verifies ? "New" : "Reused"), "the control: without certificates they are")
            #expect(server.tls.connectionsWithOwnContext == (verifies ? 1 : 0))
            // Both got through.
            #expect(server.commonNames == Array(repeating: verifies ? "server" : "-", count: 2))
            await server.close()
        }
    }
}
