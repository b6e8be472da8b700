import Base
import EtcdProto
import MVCC
import Member
import PeerTransport
import RaftCore
import Testing

/// Transports that talk to each other over loopback.
@Suite(.serialized) struct TransportTests {
    private func append(_ index: UInt64, to: TestPeer, from: TestPeer, bytes: Int = 10) -> Message {
        Message(
            type: .append, to: to.id, from: from.id, term: Term(3), logTerm: Term(3), index: LogIndex(index - 1),
            entries: [
                Entry(term: Term(3), index: LogIndex(index), data: [UInt8](repeating: UInt8(index % 251), count: bytes))
            ], commit: LogIndex(index - 1))
    }

    @Test func messagesArriveInOrderOnBothStreams() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        #expect(await TestPeer.meet(a, b))
        try await Task.sleep(for: .milliseconds(300))
        for index in 1...200 as ClosedRange<UInt64> {
            a.send(
                append(index, to: b, from: a),
                Message(
                    type: .heartbeat, to: b.id, from: a.id, term: Term(3), commit: LogIndex(index), context: [1, 2, 3]))
            b.send(Message(type: .appendResponse, to: a.id, from: b.id, term: Term(3), index: LogIndex(index)))
        }
        #expect(await eventually { b.host.messages.count == 400 && a.host.messages.count == 200 })
        let appends = b.host.messages.filter { $0.type == .append }
        #expect(appends.map(\.entries[0].index.rawValue) == Array(1...200))
        #expect(appends.allSatisfy { $0.entries[0].data.count == 10 })
        #expect(b.host.messages.filter { $0.type == .heartbeat }.map(\.commit.rawValue) == Array(1...200))
        #expect(a.host.messages.map(\.index.rawValue) == Array(1...200))
        await a.stop()
        await b.stop()
    }

    @Test func largeEntriesArrive() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        a.know(b)
        b.know(a)
        try await Task.sleep(for: .milliseconds(300))
        for index in 1...30 as ClosedRange<UInt64> { a.send(append(index, to: b, from: a, bytes: 1_500_000)) }
        #expect(await eventually { b.host.messages.count == 30 })
        #expect(b.host.messages.allSatisfy { $0.entries[0].data.count == 1_500_000 })
        await a.stop()
        await b.stop()
    }

    /// A member that is not known yet answers by post to whom it has heard from.
    @Test func withoutStreamsMessagesArePosted() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        a.know(b)
        a.send(Message(type: .heartbeat, to: b.id, from: a.id, term: Term(1)))
        #expect(await eventually { b.host.messages.count == 1 })
        b.send(Message(type: .heartbeatResponse, to: a.id, from: b.id, term: Term(1)))
        #expect(await eventually { a.host.messages.count == 1 })
        await a.stop()
        await b.stop()
    }

    @Test func aDeadPeerIsReportedAndComesBack() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        a.know(b)
        b.know(a)
        #expect(await eventually { a.host.contains { if case .activity(_, .some) = $0 { true } else { false } } })
        await b.stop()
        #expect(await eventually { a.host.contains { if case .activity(_, nil) = $0 { true } else { false } } })
        #expect(await eventually { a.host.contains { if case .ended(MemberID(2)) = $0 { true } else { false } } })
        #expect(!b.host.contains { if case .ended = $0 { true } else { false } })
        for index in 1...200 as ClosedRange<UInt64> { a.send(append(index, to: b, from: a)) }
        #expect(
            await eventually { a.host.contains { if case .unreachable(MemberID(2)) = $0 { true } else { false } } })
        await a.stop()
    }

    @Test func aRemovedMemberIsTold() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        var work = PeerWork()
        work.changes = [.remove(b.id)]
        a.transport.carry(work)
        b.know(a)
        #expect(
            await eventually { b.host.contains { if case .removedFromCluster = $0 { true } else { false } } })
        await a.stop()
        await b.stop()
    }

    /// The commit index of the removal is among them.
    @Test func aPeerThatIsRemovedGetsTheLastMessages() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        #expect(await TestPeer.meet(a, b))
        var work = PeerWork()
        work.messages = [append(7, to: b, from: a)]
        work.changes = [.remove(b.id)]
        a.transport.carry(work)
        #expect(await eventually { b.host.messages.contains { $0.type == .append } })
        await a.stop()
        await b.stop()
    }

    /// Windows travel with the probes, and count only from whom the peer is taken for.
    @Test func windowsOfTheLogAreToldToMartlets() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        let c = try await TestPeer(3, clusterID: ClusterID(99))
        let account = EffectsAccount(
            origin: LogIndex(700),
            windows: [
                EffectsHash.Window(index: LogIndex(1000), hash: 7),
                EffectsHash.Window(index: LogIndex(2000), hash: 0xFFFF_FFFF),
            ])
        func tell(_ peer: TestPeer) {
            var work = PeerWork()
            work.effects = account
            peer.transport.carry(work)
        }
        func heard() -> [EffectsAccount] {
            a.host.all.compactMap { if case .effects(b.id, let account) = $0 { account } else { nil } }
        }
        a.know(b, c)
        tell(b)
        tell(c)
        #expect(await eventually { heard() == [account] })
        #expect(!a.host.contains { if case .effects(c.id, _) = $0 { true } else { false } }, "of another cluster")
        for peer in [a, b, c] { await peer.stop() }
    }

    @Test func versionsAndPromotionsAreAskedFor() async throws {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2, version: "3.5.1"))
        a.know(b)
        var work = PeerWork()
        work.asksVersions = true
        work.promotions = [
            ForwardedPromotion(number: 1, learner: MemberID(7), leader: b.id),
            ForwardedPromotion(number: 2, learner: MemberID(8), leader: b.id),
        ]
        a.transport.carry(work)
        #expect(
            await eventually {
                a.host.contains {
                    guard case .versions(let versions) = $0 else { return false }
                    return versions == [PeerVersions(member: b.id, server: "3.5.1", cluster: "3.5.0")]
                }
            })
        #expect(
            await eventually {
                a.host.contains { if case .promoted(1, nil) = $0 { true } else { false } }
                    && a.host.contains { if case .promoted(2, .memberNotFound) = $0 { true } else { false } }
            })
        await a.stop()
        await b.stop()
    }
}
