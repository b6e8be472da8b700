import Base
import Member
import NIOCore
import NIOPosix
import PeerTransport
import RaftCore
import Testing

/// How work gets from a member to the transport's event loop.
@Suite(.serialized) struct CarryTests {
    /// Each turn of a member wakes the transport, for as long as the process lives.
    @Test("A turn costs the same after many turns", .timeLimit(.minutes(2)))
    func theCostDoesNotGrow() async throws {
        let peer = try await TestPeer(1)
        let clock = ContinuousClock()
        var times: [Duration] = []
        for _ in 0..<30_000 {
            times.append(
                try await clock.measure {
                    peer.send(Message(type: .heartbeat, to: MemberID(9), from: peer.id))
                    _ = try await peer.transport.figures()
                })
        }
        let figures = try await peer.transport.figures()
        #expect(figures.droppedMessages == 30_000, "each wake-up has done its work")
        func median(_ times: ArraySlice<Duration>) -> Duration { times.sorted()[times.count / 2] }
        let (first, last) = (median(times.prefix(3_000)), median(times.suffix(3_000)))
        #expect(last < first * 3, "\(first) at first, \(last) in the end")
        await peer.stop()
    }

    /// A call on the loop sends before it goes on to sync the log, others leave it to the loop.
    @Test func whatWaitsIsSentAtOnceOnTheLoop() async throws {
        let peer = try await TestPeer(1)
        let (transport, host) = (peer.transport, peer.host)
        let isTold: @Sendable () -> Bool = {
            host.contains { if case .promoted(5, .some) = $0 { true } else { false } }
        }
        let order: @Sendable () -> [Bool] = {
            var work = PeerWork()
            // Its leader is nobody that can be asked, which is told at once.
            work.promotions = [ForwardedPromotion(number: 5, learner: MemberID(7), leader: MemberID(8))]
            transport.carry(work)
            let before = isTold()
            transport.attend()
            return [before, isTold()]
        }
        #expect(try await TestPeer.group.next().submit(order).get() == [false, true])
        await peer.stop()

        let other = try await TestPeer(2)
        other.transport.attend()
        other.send(Message(type: .heartbeat, to: MemberID(9), from: other.id))
        other.transport.attend()
        #expect(try await other.transport.figures().droppedMessages == 1)
        await other.stop()
    }
}
