import Base
import Member
import PeerTransport
import Testing

/// Questions about leases between members: as etcd asks them, and as it answers them.
@Suite(.serialized) struct LeaseEndpointTests {
    private func post(_ path: String, _ body: [UInt8], to peer: TestPeer) throws -> String {
        let socket = try RawSocket(port: peer.port)
        socket.send("POST \(path) HTTP/1.1\r\nHost: x\r\nContent-Length: \(body.count)\r\n\r\n")
        socket.send(body)
        return socket.response()
    }

    @Test func etcdIsAnswered() async throws {
        let peer = try await TestPeer(1)
        let alive = try post("/leases", [8, 56], to: peer)
        #expect(alive.hasPrefix("HTTP/1.1 200 "))
        #expect(alive.lowercased().contains("content-type: application/protobuf\r\n"))
        #expect(alive.hasSuffix("\r\n\r\n\u{10}8\u{18}\u{05}"))
        let time = try post("/leases/internal", [0x0a, 4, 8, 57, 0x10, 1], to: peer)
        #expect(time.hasPrefix("HTTP/1.1 200 "))
        #expect(time.hasSuffix("\r\n\r\n\u{0a}\u{0b}\u{0a}\u{00}\u{10}9\u{18}\u{04}\u{20}\u{05}\u{2a}\u{01}k"))
        await peer.stop()
    }

    @Test func theLeaderIsAsked() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        a.know(b)
        b.know(a)
        func question(_ number: UInt64, _ kind: LeaseQuestion.Kind, _ lease: Int64, of leader: UInt64 = 2)
            -> ForwardedLeaseQuestion
        {
            ForwardedLeaseQuestion(
                number: number, question: LeaseQuestion(kind, of: LeaseID(lease)), leader: MemberID(leader))
        }
        var work = PeerWork()
        work.leaseQuestions = [
            question(1, .keepAlive, 56), question(2, .timeToLive(keys: true), 57), question(3, .keepAlive, 1),
            question(4, .timeToLive(keys: false), 1), question(5, .keepAlive, 55), question(6, .keepAlive, 58),
            question(7, .keepAlive, 56, of: 3),
        ]
        a.transport.carry(work)
        let expected: [(UInt64, LeaseAnswer?)] = [
            (1, .alive(5)), (2, .timeToLive(seconds: 4, granted: 5, keys: [[107]])), (3, .notFound), (4, .notFound),
            // It does not lead, is too slow, is no member: the question is put again.
            (5, nil), (6, nil), (7, nil),
        ]
        for (number, answer) in expected {
            let came = await eventually {
                a.host.contains { if case .leaseAnswered(number, answer) = $0 { true } else { false } }
            }
            #expect(came, "question \(number)")
        }
        await a.stop()
        await b.stop()
    }
}
