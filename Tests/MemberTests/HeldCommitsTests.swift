import Base
import EtcdProto
import Member
import Platform
import RaftCore
import Testing

/// Appends without entries wait for those with entries, but not for long, and not while somebody waits for them.
@Suite("Commit indexes that are held back") struct HeldCommitsTests {
    private let start = Instant(nanoseconds: 1_000_000_000)
    private let b = MemberID(2)
    private let c = MemberID(3)

    private func append(_ to: MemberID, commit: UInt64, entries: Int = 0) -> Message {
        Message(
            type: .append, to: to, from: MemberID(1), term: Term(1), logTerm: Term(1), index: LogIndex(commit),
            entries: (0..<entries).map { Entry(term: Term(1), index: LogIndex(commit) + $0 + 1) },
            commit: LogIndex(commit))
    }

    private func filter(_ held: inout HeldCommits, _ messages: [Message], at now: Instant) -> [Message] {
        var messages = messages
        held.filter(&messages, at: now)
        return messages
    }

    @Test func entriesBringItAlong() {
        var held = HeldCommits()
        #expect(filter(&held, [append(b, commit: 4), append(c, commit: 4)], at: start).isEmpty)
        #expect(held.due == start + HeldCommits.limit)
        let entries = [append(b, commit: 4, entries: 1), append(c, commit: 4, entries: 1)]
        #expect(filter(&held, entries, at: start) == entries)
        #expect(held.due == nil)
        #expect(filter(&held, [], at: start + .seconds(1)).isEmpty)
    }

    @Test func withoutEntriesItGoesInTime() {
        var held = HeldCommits()
        #expect(filter(&held, [append(b, commit: 4)], at: start).isEmpty)
        // Newer ones take its place, and its time.
        #expect(filter(&held, [append(b, commit: 5), append(c, commit: 5)], at: start + .microseconds(900)).isEmpty)
        #expect(held.due == start + HeldCommits.limit)
        #expect(
            filter(&held, [], at: start + HeldCommits.limit) == [append(b, commit: 5), append(c, commit: 5)])
        #expect(held.due == nil)
    }

    @Test func othersAreNotHeld() {
        var held = HeldCommits()
        let messages = [
            Message(type: .heartbeat, to: b, from: MemberID(1), commit: LogIndex(4)),
            Message(type: .appendResponse, to: c, from: MemberID(1), index: LogIndex(4)),
            append(b, commit: 4, entries: 2),
        ]
        #expect(filter(&held, messages, at: start) == messages)
        #expect(held.due == nil)
    }

    @Test func oneWhoseClientsWaitGetsItAtOnce() {
        var held = HeldCommits()
        #expect(filter(&held, [append(b, commit: 4), append(c, commit: 4)], at: start).isEmpty)
        held.asked(b, at: start)
        #expect(filter(&held, [], at: start) == [append(b, commit: 4)])
        #expect(filter(&held, [append(b, commit: 5)], at: start) == [append(b, commit: 5)])
        // The other one's went on waiting.
        #expect(held.due == start + HeldCommits.limit)
        let later = start + HeldCommits.eagerness
        #expect(filter(&held, [append(b, commit: 6)], at: later) == [append(c, commit: 4), append(b, commit: 6)])
        #expect(filter(&held, [append(b, commit: 7)], at: later).isEmpty)
    }

    @Test func aSnapshotMakesItVoid() {
        var held = HeldCommits()
        #expect(filter(&held, [append(b, commit: 4)], at: start).isEmpty)
        let snapshot = Message(type: .snapshot, to: b, from: MemberID(1), term: Term(1))
        #expect(filter(&held, [snapshot], at: start) == [snapshot])
        #expect(held.due == nil)
    }

    @Test func aFormerLeaderHoldsNothing() {
        var held = HeldCommits()
        #expect(filter(&held, [append(b, commit: 4)], at: start).isEmpty)
        held.reset()
        #expect(filter(&held, [], at: start + .seconds(1)).isEmpty)
        #expect(held.due == nil)
    }

    /// The budget: one append to each follower for each put, as long as puts follow one another.
    @Test func putsOneAfterAnotherCostOneAppendEach() throws {
        let cluster = try SimulatedCluster(3)
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        let leader = try #require(cluster.leader)
        for _ in 0..<20 { try cluster.step() }
        let before = cluster.appendsSent
        for n in 0..<100 as Range<UInt64> {
            cluster[leader].post([ClientRequest(ticket: n, body: try KV.put("key", "\(n)"))])
            try cluster.step()
        }
        #expect(try cluster.run { $0[leader].responses.count == 100 })
        for _ in 0..<5 { try cluster.step() }
        // The last commit index has no entries to go with.
        #expect(cluster.appendsSent - before <= 2 * 100 + 4)
        let revision = cluster[leader].core.revision
        #expect(cluster.members.allSatisfy { $0?.core.revision == revision })
    }
}
