import Base
import Member
import PeerTransport
import RaftCore
import TestSupport
import Testing

/// A peer that gives what is no stream of raft messages: nothing of it reaches the member, and it is dialled again.
@Suite(.serialized) struct BadStreamTests {
    /// Gives the same bytes as each stream, and nothing else.
    private static func rogue(_ stream: [UInt8], hangsUp: Bool) async throws -> RoguePeer {
        try await RoguePeer { request in
            request.hasPrefix("GET /raft/stream/") ? .answer(stream, hangsUp: hangsUp) : .answer([], hangsUp: true)
        }
    }

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var head: String
        var body: [UInt8]
        var hangsUp = false
        /// Whether a frame that was there could not be read.
        var isFailure = true
        /// What is told of it, once for each kind of stream at most; nil for nothing.
        var warning: String?
        var testDescription: String { name }
    }

    private static func head(
        _ status: String = "200 OK", cluster: String = "da3057c806f95c7e",
        version: String = "X-Server-Version: 3.7.1\r\n"
    ) -> String {
        "HTTP/1.1 \(status)\r\nX-Etcd-Cluster-Id: \(cluster)\r\n\(version)Transfer-Encoding: chunked\r\n\r\n"
    }

    private static let heartbeat: [UInt8] = [8, 8, 16, 1, 24, 2, 32, 1]

    private static func frame(_ message: [UInt8], length: Int? = nil) -> [UInt8] {
        let length = UInt64(length ?? message.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> (56 - 8 * UInt64($0))) } + message
    }

    static let cases = [
        // Both kinds of stream get it: for the append stream the first byte is a type that is none.
        Case(name: "noise", head: head(), body: [UInt8](repeating: 0xA5, count: 300)),
        Case(name: "a frame beyond all limits", head: head(), body: [127] + [UInt8](repeating: 255, count: 20)),
        Case(name: "a frame that is no message", head: head(), body: frame([255, 255, 255])),
        Case(name: "half a frame, and the end", head: head(), body: frame(heartbeat, length: 900), hangsUp: true),
        Case(name: "no HTTP", head: "", body: Array("SSH-2.0-OpenSSH\r\n\r\n".utf8), hangsUp: true, isFailure: false),
        Case(
            name: "another cluster's refusal", head: head("412 Precondition Failed"),
            body: Array("cluster ID mismatch\n".utf8), hangsUp: true, isFailure: false,
            warning: "unexpected http status 412: cluster ID mismatch"),
        Case(
            name: "another cluster's stream", head: head(cluster: "1"), body: frame(heartbeat), isFailure: false,
            warning: "the stream is of cluster \"1\""),
        Case(
            name: "a stream of nobody's version", head: head(version: ""), body: frame(heartbeat), isFailure: false,
            warning: "the stream is of version \"\""),
        Case(
            name: "a stream of an old version", head: head(version: "X-Server-Version: 2.3.8\r\n"),
            body: frame(heartbeat), isFailure: false, warning: "the stream is of version \"2.3.8\""),
    ]

    @Test(arguments: cases) func isDialledAgain(_ test: Case) async throws {
        let chunk = String(test.body.count, radix: 16) + "\r\n"
        let body = test.head.isEmpty ? test.body : Array(chunk.utf8) + test.body + Array("\r\n0\r\n\r\n".utf8)
        let answer = Array(test.head.utf8) + body
        let rogue = try await Self.rogue(answer, hangsUp: test.hangsUp)
        let peer = try await TestPeer(1)
        var work = PeerWork()
        work.changes = [.add(MemberID(2), peerURLs: ["http://127.0.0.1:\(rogue.port)"])]
        peer.transport.carry(work)
        #expect(await eventually { rogue.count("/message/") >= 3 && rogue.count("/msgapp/") >= 3 }, "it is given up")
        #expect(peer.host.messages.isEmpty)
        let record = try #require(await peer.statistics().peers.first)
        #expect((record.receiveFailures > 0) == test.isFailure)
        let told = peer.log.lines(with: "request sent was ignored by remote peer")
        if let warning = test.warning {
            #expect(told.count == 1 && told[0].contains(warning), "\(told)")
        } else {
            #expect(told.isEmpty, "\(told)")
        }
        // It has harmed nobody: another peer's messages come in.
        let other = try await TestPeer(3)
        peer.know(other)
        other.know(peer)
        other.send(Message(type: .heartbeat, to: peer.id, from: other.id, term: Term(1)))
        #expect(await eventually { !peer.host.messages.isEmpty })
        try await rogue.stop()
        await peer.stop()
        await other.stop()
    }

    /// The control: what is a stream is read.
    @Test func aStreamIsRead() async throws {
        let bytes = Self.frame(Self.heartbeat)
        let answer = Array((Self.head() + "10\r\n").utf8) + bytes + Array("\r\n".utf8)
        let rogue = try await Self.rogue(answer, hangsUp: false)
        let peer = try await TestPeer(1)
        var work = PeerWork()
        work.changes = [.add(MemberID(2), peerURLs: ["http://127.0.0.1:\(rogue.port)"])]
        peer.transport.carry(work)
        #expect(await eventually { peer.host.messages.map(\.type) == [.heartbeat] })
        try await rogue.stop()
        await peer.stop()
    }
}
