import Base
import Member
import NIOCore
import NIOPosix
import PeerTransport
import RaftCore
import Testing

/// How work gets from a member to the transport's event loop.
@Suite(.serialized) struct CarryTests {
    /// A promotion whose leader is nobody that can be asked, which is told at once.
    private static let answeredAtOnce: PeerWork = {
        var work = PeerWork()
        work.promotions = [ForwardedPromotion(number: 5, learner: MemberID(7), leader: MemberID(8))]
        return work
    }()

    @Sendable private static func isAnswer(_ report: PeerReport) -> Bool {
        if case .promoted(5, .some) = report { true } else { false }
    }

    /// Each turn of a member wakes the transport, for as long as the process lives.
    @Test("A turn costs the same after many turns", .timeLimit(.minutes(2)))
    func theCostDoesNotGrow() async throws {
        let peer = try await TestPeer(1)
        let clock = ContinuousClock()
        var times: [Duration] = []
        for _ in 0..<30_000 {
            times.append(
                await clock.measure {
                    peer.transport.carry(Self.answeredAtOnce)
                    _ = await peer.statistics()
                })
        }
        #expect(peer.host.all.count(where: Self.isAnswer) == 30_000, "each wake-up has done its work")
        func median(_ times: ArraySlice<Duration>) -> Duration { times.sorted()[times.count / 2] }
        let (first, last) = (median(times.prefix(3_000)), median(times.suffix(3_000)))
        #expect(last < first * 3, "\(first) at first, \(last) in the end")
        await peer.stop()
    }

    /// A call on the loop sends before it goes on to sync the log, others leave it to the loop.
    @Test func whatWaitsIsSentAtOnceOnTheLoop() async throws {
        let peer = try await TestPeer(1)
        let (transport, host) = (peer.transport, peer.host)
        let isTold: @Sendable () -> Bool = { host.contains(Self.isAnswer) }
        let order: @Sendable () -> [Bool] = {
            transport.carry(Self.answeredAtOnce)
            let before = isTold()
            transport.attend()
            return [before, isTold()]
        }
        #expect(try await TestPeer.group.next().submit(order).get() == [false, true])
        await peer.stop()

        let other = try await TestPeer(2)
        other.transport.attend()
        other.transport.carry(Self.answeredAtOnce)
        other.transport.attend()
        _ = await other.statistics()
        #expect(other.host.all.count(where: Self.isAnswer) == 1)
        await other.stop()
    }
}
