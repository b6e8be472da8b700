import Base
import Member
import PeerTransport
import Platform
import PlatformLinux
import RaftCore
import TestSupport
import Testing

/// What members learn of each other by asking again and again.
@Suite(.serialized) struct ProbeTests {
    /// The machine's clock, ahead by so much.
    private struct SkewedClock: Clock {
        var milliseconds: Int64
        private let clock = LinuxClock()

        init(ahead milliseconds: Int64) { self.milliseconds = milliseconds }

        func now() -> Instant { clock.now() }
        func unixMilliseconds() -> Int64 { clock.unixMilliseconds() + milliseconds }
    }

    /// Round trips are counted, clocks compared; one that is off, and a peer that does not answer, are warned of.
    @Test func healthAndClocksArePutOnRecord() async throws {
        let a = try await TestPeer(1)
        let right = try await TestPeer(2)
        let ahead = try await TestPeer(3, clock: SkewedClock(ahead: 5000))
        a.know(right, ahead)
        ahead.know(a)
        var work = PeerWork()
        work.changes = [.add(MemberID(4), peerURLs: ["http://127.0.0.1:\(LoopbackPorts.next())"])]
        a.transport.carry(work)

        let unhealthy = "prober detected unhealthy status"
        let drift = "prober found high clock drift"
        func record(_ id: UInt64, at peer: TestPeer) async -> NetworkStatistics.Peer? {
            await peer.statistics().peers.first { $0.id == MemberID(id) }
        }
        #expect(
            await eventually {
                let differences = [await record(2, at: a), await record(3, at: a), await record(1, at: ahead)]
                return differences.allSatisfy { $0?.clockDifference != nil } && !a.log.lines(with: unhealthy).isEmpty
            })
        let records = [await record(2, at: a), await record(3, at: a), await record(1, at: ahead)]
        let differences = records.compactMap { $0?.clockDifference }
        try #require(differences.count == 3)
        for (difference, expected) in zip(differences, [0.0, -5.0, 5.0]) {
            #expect(abs(difference - expected) < 0.9, "\(differences)")
        }
        for id in 2...3 as ClosedRange<UInt64> {
            let trips = try #require(await record(id, at: a)).roundTrips
            #expect(trips.count >= 1 && trips.sum < 4)
        }
        let dead = try #require(await record(4, at: a))
        #expect(dead.roundTrips.count == 0 && dead.clockDifference == nil)
        #expect(a.log.lines(with: unhealthy).allSatisfy { $0.contains("remote-peer-id=4") })
        #expect(a.log.lines(with: drift).allSatisfy { $0.contains("remote-peer-id=3") })
        #expect(a.log.lines(with: drift).first?.contains("clock-drift=-") == true)
        #expect(ahead.log.lines(with: drift).first?.contains("remote-peer-id=1") == true)
        #expect(right.log.lines(with: "prober").isEmpty)
        for peer in [a, right, ahead] { await peer.stop() }
    }

    /// The last word of a leader that hears nobody does not get through its streams: it goes over an idle line as well.
    @Test func theLastWordGoesTwoWays() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        #expect(await TestPeer.meet(a, b))
        func trips() async -> UInt64 { await a.statistics().peers.first?.roundTrips.count ?? 0 }
        #expect(await eventually { await trips() >= 1 })

        let word = Message(type: .timeoutNow, to: b.id, from: a.id, term: Term(7))
        a.send(word)
        #expect(await eventually { b.host.messages.count { $0 == word } == 2 })
        // Other messages go one way; and the line is as good as before for the next probe of its own.
        a.send(Message(type: .heartbeat, to: b.id, from: a.id, term: Term(7)))
        #expect(await eventually { b.host.messages.contains { $0.type == .heartbeat } })
        #expect(await eventually { await trips() >= 3 })
        #expect(b.host.messages.count == 3)
        #expect(a.log.lines(with: "prober").isEmpty)
        for peer in [a, b] { await peer.stop() }
    }
}
