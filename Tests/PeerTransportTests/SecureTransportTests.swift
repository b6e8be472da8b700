import Base
import Foundation
import Logging
import MVCC
import Member
import PeerTransport
import PlatformLinux
import RaftCore
import TLS
import TestSupport
import Testing

/// Transports that talk to each other over TLS, and those that must not.
@Suite(.serialized) struct SecureTransportTests {
    private func withAuthority(_ purpose: String, _ body: (TestAuthority) async throws -> Void) async throws {
        let directory = try PackageFiles.temporaryDirectory("secure-transport")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        guard let authority = try await TestAuthority.make(in: directory, for: purpose) else { return }
        try await body(authority)
    }

    private func settings(_ pair: TestAuthority.KeyPair, _ authority: TestAuthority) -> TLSSettings {
        var settings = TLSSettings()
        settings.certificateFile = pair.certificate
        settings.keyFile = pair.key
        settings.trustedCAFile = authority.certificate
        settings.demandsClientCertificates = true
        settings.checksClientAddress = true
        return settings
    }

    private func append(_ index: UInt64, to: TestPeer, from: TestPeer, bytes: Int) -> Message {
        Message(
            type: .append, to: to.id, from: from.id, term: Term(3), logTerm: Term(3), index: LogIndex(index - 1),
            entries: [
                Entry(term: Term(3), index: LogIndex(index), data: [UInt8](repeating: UInt8(index % 251), count: bytes))
            ], commit: LogIndex(index - 1))
    }

    @Test func streamsPostsAndQuestions() async throws {
        try await withAuthority("a transport over TLS") { authority in
            let security = settings(try await authority.issue("member", commonName: "member"), authority)
            let (a, b) = (try await TestPeer(1, security: security), try await TestPeer(2, security: security))
            // Posted, as nobody has dialled yet.
            a.know(b)
            a.send(Message(type: .heartbeat, to: b.id, from: a.id, term: Term(1)))
            #expect(await eventually { b.host.messages.count == 1 })
            b.know(a)
            #expect(await a.reaches(b))
            #expect(await b.reaches(a))
            try await Task.sleep(for: .milliseconds(300))
            for index in 1...40 as ClosedRange<UInt64> { a.send(append(index, to: b, from: a, bytes: 300_000)) }
            #expect(await eventually { b.host.messages.count == 41 })
            #expect(b.host.messages.dropFirst().map(\.entries[0].index.rawValue) == Array(1...40))
            #expect(b.host.messages.dropFirst().allSatisfy { $0.entries[0].data.count == 300_000 })
            var work = PeerWork()
            work.asksVersions = true
            work.promotions = [ForwardedPromotion(number: 1, learner: MemberID(7), leader: b.id)]
            a.transport.carry(work)
            #expect(
                await eventually {
                    a.host.contains { if case .versions(let it) = $0 { it.first?.server == "3.7.1" } else { false } }
                        && a.host.contains { if case .promoted(1, nil) = $0 { true } else { false } }
                })
            await a.stop()
            await b.stop()
        }
    }

    /// A member without settings for TLS dials one that wants it, by the system's authorities, which it reads then.
    @Test func plainMembersDialOverTLS() async throws {
        try await withAuthority("a plain member that dials over TLS") { authority in
            let environment = ["SSL_CERT_FILE": authority.certificate, "SSL_CERT_DIR": "/nowhere"]
            let dialling = try ClientTLS(
                TLSSettings(), disk: LinuxDisk(),
                system: SystemAuthorities(disk: LinuxDisk(), environment: environment), logger: Logger(label: "test"))
            var security = TLSSettings()
            let pair = try await authority.issue("member", commonName: "member")
            security.certificateFile = pair.certificate
            security.keyFile = pair.key
            let (a, b) = (try await TestPeer(1, dialling: dialling), try await TestPeer(2, security: security))
            #expect(await TestPeer.meet(a, b))
            await a.stop()
            await b.stop()
        }
    }

    /// Databases, which are sent and fetched in large pieces.
    @Test func databasesInBothDirections() async throws {
        try await withAuthority("databases over TLS") { authority in
            let security = settings(try await authority.issue("member", commonName: "member"), authority)
            let (a, b) = (try await TestPeer(1, security: security), try await TestPeer(2, security: security))
            #expect(await TestPeer.meet(a, b))
            let file = try LargeBackend.make(at: "\(b.directory)/source", on: LinuxDisk())
            let copy = try file.beginCopy(named: "test")
            let expected = try copy.read(at: 0, count: Int(copy.size))
            #expect(expected.count > 2 * PeerLimits.snapshotChunkBytes)

            b.host.give { try file.beginCopy(named: "given") }
            var work = PeerWork()
            work.corruption = [.fetchDatabase(from: [b.id])]
            a.transport.carry(work)
            let path = try #require(await a.fetchedDatabase())
            #expect(try [UInt8](Data(contentsOf: URL(fileURLWithPath: path))) == expected)

            let message = Message(
                type: .snapshot, to: a.id, from: b.id, term: Term(1),
                snapshot: Snapshot(data: [1], metadata: SnapshotMetadata(index: LogIndex(0x2a), term: Term(1))))
            work = PeerWork()
            work.snapshots = [OutgoingSnapshot(message: message, database: copy)]
            b.transport.carry(work)
            #expect(await eventually { a.host.messages.map(\.type) == [.snapshot] })
            let arrived = try Data(contentsOf: URL(fileURLWithPath: "\(a.directory)/000000000000002a.snap.db"))
            #expect([UInt8](arrived) == expected)
            copy.close()
            try file.close()
            await a.stop()
            await b.stop()
        }
    }

    /// What does not belong to the cluster cannot speak to it, and those that do are not disturbed.
    @Test func strangersAreKeptOut() async throws {
        try await withAuthority("strangers at a transport over TLS") { authority in
            let security = settings(try await authority.issue("member", commonName: "member"), authority)
            let (a, b) = (try await TestPeer(1, security: security), try await TestPeer(2, security: security))
            a.know(b)
            b.know(a)
            let other = try #require(
                try await TestAuthority.make(
                    in: URL(fileURLWithPath: authority.certificate).deletingLastPathComponent().path, name: "other",
                    for: ""))
            let foreign = settings(try await other.issue("foreign", commonName: "member"), other)
            let elsewhere = settings(
                try await authority.issue("elsewhere", commonName: "member", names: ["IP:10.1.2.3"]), authority)
            let strangers = [
                try await TestPeer(3, security: foreign), try await TestPeer(4, security: elsewhere),
                try await TestPeer(5),
            ]
            for stranger in strangers {
                stranger.know(a)
                stranger.send(Message(type: .heartbeat, to: a.id, from: stranger.id, term: Term(9)))
            }
            // Plain HTTP at a port of TLS: no answer, and no hang.
            let raw = try RawSocket(port: a.port)
            raw.send("GET /members HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(!raw.response().contains("HTTP/1.1"))
            for stranger in strangers {
                #expect(
                    await eventually {
                        stranger.host.contains { if case .unreachable(MemberID(1)) = $0 { true } else { false } }
                    }, "\(stranger.id)")
            }
            a.send(append(1, to: b, from: a, bytes: 10))
            #expect(await eventually { b.host.messages.count == 1 })
            #expect(a.host.messages.isEmpty)
            // And TLS at a plain port: the plain one answers others as before.
            let dialling = try await TestPeer(6, security: security)
            let plain = strangers[2]
            var work = PeerWork()
            work.changes = [.add(plain.id, peerURLs: ["https://127.0.0.1:\(plain.port)"])]
            work.messages = [Message(type: .heartbeat, to: plain.id, from: dialling.id, term: Term(1))]
            dialling.transport.carry(work)
            #expect(
                await eventually {
                    dialling.host.contains { if case .unreachable(MemberID(5)) = $0 { true } else { false } }
                })
            let question = try RawSocket(port: plain.port)
            question.send("GET /version HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(question.response().hasPrefix("HTTP/1.1 200 OK\r\n"))
            for peer in [a, b, dialling] + strangers { await peer.stop() }
        }
    }
}
