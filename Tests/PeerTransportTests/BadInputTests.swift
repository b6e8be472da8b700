import Base
import Foundation
import Member
import PeerTransport
import RaftCore
import RaftProto
import TestSupport
import Testing

/// What no member sends: each endpoint answers as etcd does, and goes on.
@Suite(.serialized) struct BadInputTests {
    private static let good: [String: String] = [
        "X-Etcd-Cluster-Id": "da3057c806f95c7e", "X-Server-From": "2", "X-Server-Version": "3.7.1",
        "X-Min-Cluster-Version": "3.0.0", "X-Peerurls": "http://127.0.0.1:1", "X-Raft-To": "1",
    ]

    private static func request(
        _ line: String, _ changed: [String: String?] = [:], body: [UInt8]? = nil
    ) -> [UInt8] {
        var headers = good
        for (name, value) in changed { headers[name] = value }
        var text = "\(line) HTTP/1.1\r\nHost: x\r\n"
        for (name, value) in headers.sorted(by: { $0.key < $1.key }) { text += "\(name): \(value)\r\n" }
        if let body { text += "Content-Length: \(body.count)\r\n" }
        return Array((text + "\r\n").utf8) + (body ?? [])
    }

    private static func encoded(_ message: Message) -> [UInt8] {
        var out: [UInt8] = []
        message.encode(to: &out)
        return out
    }

    private static let heartbeat = encoded(
        Message(type: .heartbeat, to: MemberID(1), from: MemberID(2), term: Term(1)))

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var request: [UInt8]
        var status: Int
        var text: String
        var testDescription: String { name }

        init(_ name: String, _ request: [UInt8], _ status: Int, _ text: String) {
            self.name = name
            self.request = request
            self.status = status
            self.text = text
        }
    }

    static let cases: [Case] = [
        Case("unknown path", request("GET /nothing"), 404, "404 page not found\n"),
        Case("pipeline by GET", request("GET /raft"), 405, "Method Not Allowed\n"),
        Case("stream by POST", request("POST /raft/stream/message/2", body: []), 405, "Method Not Allowed\n"),
        Case(
            "no cluster", request("POST /raft", ["X-Etcd-Cluster-Id": nil], body: heartbeat), 412,
            "cluster ID mismatch\n"),
        Case(
            "another cluster", request("GET /raft/stream/message/2", ["X-Etcd-Cluster-Id": "1"]), 412,
            "cluster ID mismatch\n"),
        Case(
            "too old", request("POST /raft", ["X-Server-Version": "2.3.0"], body: heartbeat), 412,
            "incompatible version\n"),
        Case(
            "no version", request("POST /raft", ["X-Server-Version": nil], body: heartbeat), 412,
            "incompatible version\n"),
        Case(
            "a version that is none", request("POST /raft", ["X-Server-Version": "three"], body: heartbeat), 412,
            "incompatible version\n"),
        Case(
            "asks for a newer version", request("POST /raft", ["X-Min-Cluster-Version": "9.0.0"], body: heartbeat), 412,
            "incompatible version\n"),
        Case("newer version", request("POST /raft", ["X-Server-Version": "9.9.9"], body: heartbeat), 204, ""),
        Case("unknown stream", request("GET /raft/stream/other/2"), 404, "invalid path\n"),
        Case("stream without an ID", request("GET /raft/stream/message"), 404, "invalid path\n"),
        Case("stream with more than an ID", request("GET /raft/stream/message/2/3"), 404, "invalid path\n"),
        Case("stream of nobody", request("GET /raft/stream/message/xyz"), 404, "invalid from\n"),
        Case("stream of a stranger", request("GET /raft/stream/message/99"), 404, "error sender not found\n"),
        Case("stream of a removed member", request("GET /raft/stream/message/3"), 410, "removed member\n"),
        Case(
            "stream to somebody else", request("GET /raft/stream/message/2", ["X-Raft-To": "5"]), 412,
            "to field mismatch\n"),
        Case(
            "garbage for a message", request("POST /raft", body: [255, 255, 255]), 400,
            "error unmarshalling raft message\n"),
        Case(
            "half a message", request("POST /raft", body: Array(heartbeat.dropLast(3))), 400,
            "error unmarshalling raft message\n"),
        Case(
            "a message for somebody else",
            request(
                "POST /raft",
                body: encoded(Message(type: .heartbeat, to: MemberID(9), from: MemberID(2), term: Term(1)))),
            403, #"{"message":"cannot process message to mismatch member"}"#),
        Case(
            "a message of a removed member",
            request(
                "POST /raft",
                body: encoded(Message(type: .heartbeat, to: MemberID(1), from: MemberID(3), term: Term(1)))),
            403, #"{"message":"cannot process message from removed member"}"#),
        Case(
            "no snapshot in a snapshot",
            request("POST /raft/snapshot", body: [0, 0, 0, 0, 0, 0, 0, UInt8(heartbeat.count)] + heartbeat),
            400, "wrong raft message type\n"),
        Case(
            "an endless envelope", request("POST /raft/snapshot", body: [127, 0, 0, 0, 0, 0, 0, 0]), 400,
            "failed to decode raft message (rafthttp: error limit exceeded)\n"),
        Case(
            "an empty snapshot", request("POST /raft/snapshot", body: []), 400, "failed to decode raft message (EOF)\n"),
        Case(
            "half an envelope", request("POST /raft/snapshot", body: [0, 0, 0, 0, 0, 0, 0, 99, 8, 7]), 400,
            "failed to decode raft message (unexpected EOF)\n"),
        Case(
            "garbage for an envelope", request("POST /raft/snapshot", body: [0, 0, 0, 0, 0, 0, 0, 3, 255, 255, 255]),
            400, "failed to decode raft message ("),
        Case(
            "a snapshot for somebody else", request("POST /raft/snapshot", body: snapshot(to: 9).body), 403,
            #"{"message":"cannot process message to mismatch member"}"#),
        Case(
            "a snapshot of a removed member", request("POST /raft/snapshot", body: snapshot(from: 3).body), 403,
            #"{"message":"cannot process message from removed member"}"#),
        Case(
            "promotion of no number", request("POST /members/promote/abc", body: []), 404,
            "member abc not found in cluster\n"),
        Case(
            "promotion of a stranger", request("POST /members/promote/8", body: []), 404, "membership: ID not found\n"),
        Case(
            "hash of garbage", request("GET /members/hashkv", body: Array("]".utf8)), 400,
            "error unmarshalling request\n"),
        Case(
            "hash at a word", request("GET /members/hashkv", body: Array(#"{"revision":"1"}"#.utf8)), 400,
            "error unmarshalling request\n"),
        Case(
            "hash at half a revision", request("GET /members/hashkv", body: Array(#"{"revision":1.5}"#.utf8)), 400,
            "error unmarshalling request\n"),
        Case(
            "hash for another cluster",
            request("GET /members/hashkv", ["X-Etcd-Cluster-Id": "1"], body: Array("{}".utf8)), 412,
            "cluster ID mismatch\n"),
        Case(
            "an accusation from another cluster",
            request("POST /martlet/divergence", ["X-Etcd-Cluster-Id": "1"], body: []), 412, "cluster ID mismatch\n"),
        Case(
            "another cluster's wish for the database",
            request("GET /martlet/database", ["X-Etcd-Cluster-Id": "1"], body: []), 412, "cluster ID mismatch\n"),
        Case(
            "a database that is not given", request("GET /martlet/database", body: []), 500,
            "etcdserver: server stopped"),
        Case(
            "lease of a member that does not lead", request("POST /leases", body: [8, 55]), 400,
            "not a primary lessor\n"),
        Case(
            "time of a lease at a member that does not lead",
            request("POST /leases/internal", body: [0x0a, 2, 8, 55]), 500, "not a primary lessor\n"),
        Case("lease by GET", request("GET /leases"), 405, "Method Not Allowed\n"),
        Case("absent lease", request("POST /leases", body: [8, 1]), 404, "lease not found\n"),
        Case("no lease at all", request("POST /leases/internal", body: []), 404, "lease not found\n"),
        Case("garbage for a lease", request("POST /leases", body: [8]), 400, "error unmarshalling request\n"),
        Case(
            "garbage inside", request("POST /leases/internal", body: [0x0a, 2, 8, 255]), 400,
            "error unmarshalling request\n"),
        Case(
            "lease at a member that is behind", request("POST /leases", body: [8, 58]), 408,
            "waiting for node to catch up its applied index has timed out\n"),
        Case(
            "endless question", request("POST /leases", body: [UInt8](repeating: 0, count: (64 << 10) + 1)), 413,
            "request body too large\n"),
    ]

    @Test(arguments: cases) func isRefused(_ one: Case) async throws {
        let peer = try await TestPeer(1)
        let other = try await TestPeer(2)
        peer.know(other)
        var work = PeerWork()
        work.changes = [.remove(MemberID(3))]
        peer.transport.carry(work)
        let socket = try RawSocket(port: peer.port)
        socket.send(one.request)
        let response = socket.response()
        #expect(response.hasPrefix("HTTP/1.1 \(one.status) "), "\(response)")
        if !one.text.isEmpty { #expect(response.contains("\r\n\r\n" + one.text), "\(response)") }
        // It still serves.
        let again = try RawSocket(port: peer.port)
        again.send(Self.request("POST /raft", body: Self.heartbeat))
        #expect(again.response().hasPrefix("HTTP/1.1 204 "))
        #expect(await eventually { !peer.host.messages.isEmpty })
        #expect(peer.host.messages.allSatisfy { $0.from == MemberID(2) && $0.to == MemberID(1) })
        #expect(peer.files.isEmpty, "what was refused has left something")
        await peer.stop()
        await other.stop()
    }

    @Test(arguments: [
        "\u{0}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "GET /raft HTTP/9.9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ])
    func whatIsNoHTTPEndsTheConnection(text: String) async throws {
        let peer = try await TestPeer(1)
        let socket = try RawSocket(port: peer.port)
        socket.send(text)
        socket.finish()
        let response = socket.response()
        #expect(response.isEmpty || response.hasPrefix("HTTP/1.1 4") || response.hasPrefix("HTTP/1.0 4"), "\(response)")
        let again = try RawSocket(port: peer.port)
        again.send(Self.request("GET /raft/probing"))
        #expect(again.response().contains(#"{"OK":true,"Now":"#))
        await peer.stop()
    }

    /// Who asks once does not wait for more.
    @Test(arguments: ["HTTP/1.1\r\nHost: x\r\nConnection: close", "HTTP/1.0"])
    func theConnectionEndsWhenTheCallerSaysSo(line: String) async throws {
        let peer = try await TestPeer(1)
        for path in ["/raft/probing", "/nothing"] {
            let socket = try RawSocket(port: peer.port)
            socket.send("GET \(path) \(line)\r\n\r\n")
            #expect(socket.response().contains(path == "/nothing" ? "404 page not found" : #"{"OK":true"#))
            #expect(socket.isClosed(), "\(path)")
        }
        // The control: it stays open for who says nothing.
        let socket = try RawSocket(port: peer.port)
        socket.send("GET /raft/probing HTTP/1.1\r\nHost: x\r\n\r\n")
        _ = socket.response()
        socket.send("GET /version HTTP/1.1\r\nHost: x\r\n\r\n")
        #expect(socket.response().contains("etcdserver"))
        await peer.stop()
    }

    private static func snapshot(
        _ database: [UInt8] = [1, 2, 3], from sender: UInt64 = 2, to receiver: UInt64 = 1, cutTo count: Int? = nil
    ) -> (head: String, body: [UInt8]) {
        let message = encoded(
            Message(
                type: .snapshot, to: MemberID(receiver), from: MemberID(sender), term: Term(1),
                snapshot: Snapshot(
                    data: [1, 2, 3],
                    metadata: SnapshotMetadata(
                        confState: ConfState(voters: [MemberID(1), MemberID(2)]), index: LogIndex(77), term: Term(1)))))
        let body = (0..<8).map { UInt8(truncatingIfNeeded: message.count >> (56 - 8 * $0)) } + message + database
        let line = request("POST /raft/snapshot")
        let head = String(decoding: line.dropLast(2), as: UTF8.self)
        return (head + "Content-Length: \(body.count)\r\n\r\n", Array(body.prefix(count ?? body.count)))
    }

    @Test func aSnapshotIsStoredBeforeItIsDelivered() async throws {
        let peer = try await TestPeer(1)
        let database = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let (head, body) = Self.snapshot(database)
        let socket = try RawSocket(port: peer.port)
        socket.send(head)
        socket.send(body)
        #expect(socket.response().hasPrefix("HTTP/1.1 204 "))
        #expect(await eventually { peer.host.messages.map(\.type) == [.snapshot] })
        #expect(peer.files == ["000000000000004d.snap.db"])
        let stored = try Data(contentsOf: URL(fileURLWithPath: "\(peer.directory)/000000000000004d.snap.db"))
        #expect([UInt8](stored) == database)
        await peer.stop()
    }

    @Test(arguments: [3, 20, 60, 2000, 900_000]) func aSnapshotThatBreaksOffLeavesNothing(count: Int) async throws {
        let peer = try await TestPeer(1)
        let (head, body) = Self.snapshot([UInt8](repeating: 7, count: 1_000_000), cutTo: count)
        do {
            let socket = try RawSocket(port: peer.port)
            socket.send(head)
            socket.send(body)
            try await Task.sleep(for: .milliseconds(50))
        }
        // The connection is gone with the socket.
        try await Task.sleep(for: .milliseconds(100))
        #expect(await eventually { peer.files.isEmpty })
        #expect(peer.host.messages.isEmpty)
        // Once it is known whose it is.
        let lines = peer.log.lines(with: "failed to save incoming database snapshot")
        #expect(lines.count == (count < 60 ? 0 : 1), "\(lines)")
        for line in lines {
            for field in ["remote-snapshot-sender-id=2", "incoming-snapshot-index=77", "bytes=", "unexpected EOF"] {
                #expect(line.contains(field), "\(line)")
            }
        }
        await peer.stop()
    }
}
