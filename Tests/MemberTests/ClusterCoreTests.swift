import Base
import EtcdProto
import Member
import Membership
import Platform
import PlatformSim
import RaftCore
import SwiftProtobuf
import Testing

/// Several members in virtual time: the same core, log writer and backend as in the real loop, on simulated disks.
@Suite struct ClusterCoreTests {
    private func started(_ count: Int = 3, seed: UInt64 = 1) throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(count, seed: seed)
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } }, "seed \(seed)")
        return cluster
    }

    private func put(_ key: String, _ value: String, ticket: UInt64, at i: Int, _ cluster: SimulatedCluster) throws {
        cluster[i].post([ClientRequest(ticket: ticket, body: try KV.put(key, value))])
        #expect(try cluster.run { $0[i].responses[ticket] != nil }, "put \(key) at \(i)")
        _ = try cluster[i].takeResponse(ticket)?.get()
    }

    private func pairs(at i: Int, _ cluster: SimulatedCluster) throws -> [String: String] {
        cluster[i].post([ClientRequest(ticket: 999_999, body: try KV.all())])
        #expect(try cluster.run { $0[i].responses[999_999] != nil })
        return try KV.pairs(try #require(try cluster[i].takeResponse(999_999)?.get()))
    }

    private func expectEqual(_ cluster: SimulatedCluster, _ comment: Comment) throws {
        let all = cluster.members.indices.filter { cluster.members[$0] != nil }
        #expect(
            try cluster.run { cluster in Set(all.map { cluster[$0].core.revision }).count == 1 }, comment)
        let first = try pairs(at: all[0], cluster)
        for i in all.dropFirst() { #expect(try pairs(at: i, cluster) == first, comment) }
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>) func membersReplicate(seed: UInt64) throws {
        let cluster = try started(seed: seed)
        for i in 0..<3 { try put("k\(i)", "v\(i)", ticket: 1, at: i, cluster) }
        try expectEqual(cluster, "seed \(seed)")
        // Linearizable reads at each member see what the others wrote.
        for i in 0..<3 {
            cluster[i].post([ClientRequest(ticket: 2, body: try KV.get("k\((i + 1) % 3)"))])
            #expect(try cluster.run { $0[i].responses[2] != nil })
            let read = try KV.pairs(try #require(try cluster[i].takeResponse(2)?.get()))
            #expect(read.values.first == "v\((i + 1) % 3)")
        }
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>) func nothingIsLostWithTheLeader(seed: UInt64) throws {
        let cluster = try started(seed: seed)
        var expected: [String: String] = [:]
        for round in 0..<3 {
            let leader = try #require(cluster.leader)
            for n in 0..<5 {
                try put("\(round)/\(n)", "v", ticket: UInt64(n + 1), at: (leader + 1) % 3, cluster)
                expected["\(round)/\(n)"] = "v"
            }
            cluster.crash(leader, .loseUnsynced)
            #expect(try cluster.run { $0.leader != nil }, "seed \(seed), round \(round)")
            try put("\(round)/without", "v", ticket: 9, at: try #require(cluster.leader), cluster)
            expected["\(round)/without"] = "v"
            try cluster.restart(leader)
            #expect(try cluster.run { $0[leader].isReady })
        }
        try expectEqual(cluster, "seed \(seed)")
        #expect(try pairs(at: 0, cluster) == expected, "seed \(seed)")
    }

    /// A member that was away longer than the log is kept gets the database, and goes on from there.
    @Test(arguments: 1...4 as ClosedRange<UInt64>) func whoIsFarBehindGetsASnapshot(seed: UInt64) throws {
        let cluster = try started(seed: seed)
        let leader = try #require(cluster.leader)
        let away = (leader + 1) % 3
        cluster.cutOff = [away]
        // Two snapshots with 40 entries in between, 10 of which stay.
        for n in 0..<150 { try put("k\(n % 70)", "v\(n)", ticket: 1, at: leader, cluster) }
        cluster.cutOff = []
        #expect(try cluster.run { $0[away].core.revision == $0[leader].core.revision }, "seed \(seed)")
        #expect(cluster.snapshotsSent > 0, "seed \(seed): no snapshot was needed")
        #expect(cluster[away].lines.contains { $0.message == "applied snapshot" })
        try expectEqual(cluster, "seed \(seed)")
        try put("after", "snapshot", ticket: 2, at: away, cluster)
        // What came with the snapshot is still there after a crash.
        cluster.crash(away, .loseUnsynced)
        try cluster.restart(away)
        #expect(try cluster.run { $0[away].isReady })
        try expectEqual(cluster, "seed \(seed), after the crash")
    }

    /// Rows are read while another thread checks the file; what is applied and committed afterwards goes to that file.
    @Test func rowsAreReadWhileTheDatabaseIsChecked() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let away = (leader + 1) % 3
        cluster.installsOnTwoThreads = true
        cluster.crash(away, .loseUnsynced)
        for n in 0..<150 { try put("k\(n % 70)", "v\(n)", ticket: 1, at: leader, cluster) }
        try cluster.restart(away)
        #expect(try cluster.run { $0[away].isReady && $0[away].core.revision == $0[leader].core.revision })
        #expect(cluster[away].lines.contains { $0.message == "applied snapshot" })
        for n in 0..<70 { try put("k\(n)", "after", ticket: 2, at: away, cluster) }
        try expectEqual(cluster, "after the snapshot")
        cluster.crash(away, .loseUnsynced)
        try cluster.restart(away)
        #expect(try cluster.run { $0[away].isReady })
        try expectEqual(cluster, "after the crash")
    }

    /// A database that was damaged on its way is refused, also if its rows can be read.
    @Test(arguments: [false, true]) func aDamagedDatabaseIsNotInstalled(onTwoThreads: Bool) throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let away = (leader + 1) % 3
        cluster.installsOnTwoThreads = onTwoThreads
        cluster.crash(away, .loseUnsynced)
        for n in 0..<150 { try put("k\(n % 70)", "value \(n)", ticket: 1, at: leader, cluster) }
        cluster.damage = { database in
            // A byte of a value: nothing but the seal of its page tells.
            guard let place = database.firstRange(of: Array("value 140".utf8))?.upperBound else { return }
            database[place - 1] ^= 1
        }
        try cluster.restart(away)
        let failure = try #require(throws: MemberError.self) {
            _ = try cluster.run { $0[away].core.revision == $0[leader].core.revision }
        }
        #expect(failure.description.contains("checksum"), "\(failure)")
    }

    /// A large database takes seconds to be read; the member's turns leave the processor to that.
    @Test func turnsRestWhileASnapshotIsInstalled() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let away = (leader + 1) % 3
        cluster.cutOff = [away]
        for n in 0..<120 { try put("k\(n % 70)", "v\(n)", ticket: 1, at: leader, cluster) }
        cluster.cutOff = []
        #expect(try cluster.run { $0.snapshotsSent > 0 })
        let member = cluster[away]
        for _ in 0..<10 {
            member.turn()
            member.writeLog()
        }
        #expect(member.lines.contains { $0.message == "applying snapshot" })
        for _ in 0..<100 {
            cluster.clock.advance(.milliseconds(10))
            member.turn()
            #expect(try #require(member.wakeAt) > cluster.clock.now())
        }
        member.writeBackend()
        member.turn()
        #expect(member.lines.contains { $0.message == "applied snapshot" })
    }

    /// The machine loses power at any moment while a snapshot is taken over; the start finishes it.
    @Test(arguments: 0..<12) func aCrashWhileASnapshotIsInstalled(steps: Int) throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let away = (leader + 1) % 3
        cluster.cutOff = [away]
        for n in 0..<120 { try put("k\(n % 70)", "v\(n)", ticket: 1, at: leader, cluster) }
        cluster.cutOff = []
        #expect(try cluster.run { $0.snapshotsSent > 0 })
        for _ in 0..<steps { try cluster.step() }
        cluster.crash(away, .loseUnsynced)
        try cluster.restart(away)
        #expect(try cluster.run { $0[away].isReady && $0[away].core.revision == $0[leader].core.revision })
        try expectEqual(cluster, "\(steps) steps")
    }

    @Test func aLearnerJoinsIsPromotedAndRemoved() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        for n in 0..<120 { try put("k\(n)", "v", ticket: 1, at: leader, cluster) }
        let url = "http://joiner:2380"
        cluster[leader].post([ClientRequest(ticket: 2, body: .memberAdd(peerURLs: [url], isLearner: true))])
        #expect(try cluster.run { $0[leader].responses[2] != nil })
        let added = try Etcdserverpb_MemberAddResponse(
            serializedBytes: try #require(try cluster[leader].takeResponse(2)?.get()))
        #expect(added.member.isLearner && added.members.count == 4)
        let id = MemberID(added.member.id)
        try cluster.join(
            id, url: url,
            cluster: JoinedCluster(
                id: cluster[leader].core.clusterID,
                members: added.members.map { ClusterMember(id: MemberID($0.id), peerURLs: $0.peerUrls) }))
        #expect(try cluster.run { $0[3].isReady && $0[3].core.revision == $0[leader].core.revision })
        #expect(cluster.snapshotsSent > 0)

        // A learner serves what needs no quorum, and nothing else.
        cluster[3].post([
            ClientRequest(ticket: 3, body: try KV.put("a", "b")), ClientRequest(ticket: 4, body: try KV.all()),
        ])
        #expect(try cluster.run { $0[3].responses[3] != nil && $0[3].responses[4] != nil })
        #expect(throws: EtcdError.notSupportedForLearner) { try cluster[3].takeResponse(3)?.get() }
        _ = try cluster[3].takeResponse(4)?.get()

        cluster[leader].post([ClientRequest(ticket: 5, body: .memberPromote(id, forwarded: false))])
        #expect(try cluster.run { $0[leader].responses[5] != nil })
        _ = try cluster[leader].takeResponse(5)?.get()
        #expect(try cluster.run { !($0[3].core.localMember?.isLearner ?? true) })
        try put("by", "the new voter", ticket: 6, at: 3, cluster)

        cluster[leader].post([ClientRequest(ticket: 7, body: .memberPromote(id, forwarded: false))])
        #expect(try cluster.run { $0[leader].responses[7] != nil })
        #expect(throws: EtcdError.memberNotLearner) { try cluster[leader].takeResponse(7)?.get() }

        #expect(
            try cluster.run(upTo: .seconds(6)) { _ in false } == false, "members count as healthy after five seconds")
        cluster[leader].post([ClientRequest(ticket: 8, body: .memberRemove(id))])
        #expect(try cluster.run { $0[leader].responses[8] != nil })
        _ = try cluster[leader].takeResponse(8)?.get()
        #expect(try cluster.run { $0[3].isRemoved }, "the member does not learn of its removal")
    }

    struct Refusal: Sendable, CustomTestStringConvertible {
        var name: String
        var body: ClientRequest.Body
        var error: EtcdError
        var testDescription: String { name }
    }

    @Test(arguments: [
        Refusal(
            name: "a peer URL that is taken", body: .memberAdd(peerURLs: ["http://m2:2380"], isLearner: false),
            error: .peerURLExists),
        Refusal(name: "removal of a stranger", body: .memberRemove(MemberID(77)), error: .memberNotFound),
        Refusal(
            name: "update of a stranger", body: .memberUpdate(MemberID(77), peerURLs: ["http://x:1"]),
            error: .memberNotFound),
        Refusal(
            name: "promotion of a stranger", body: .memberPromote(MemberID(77), forwarded: false),
            error: .memberNotFound),
        Refusal(name: "leadership for a stranger", body: .moveLeader(to: MemberID(77)), error: .badLeaderTransferee),
    ]) func changesThatCannotBe(_ refusal: Refusal) throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        // As healthy as the strict check wants it.
        #expect(try cluster.run(upTo: .seconds(6)) { _ in false } == false)
        cluster[leader].post([ClientRequest(ticket: 1, body: refusal.body)])
        #expect(try cluster.run { $0[leader].responses[1] != nil })
        #expect(throws: refusal.error) { try cluster[leader].takeResponse(1)?.get() }
        // A refused change stays refused when the log is read again.
        for i in 0..<3 { cluster.crash(i, .loseUnsynced) }
        for i in 0..<3 { try cluster.restart(i) }
        #expect(try cluster.run { $0.leader != nil })
        try put("still", "works", ticket: 2, at: 0, cluster)
        #expect(cluster[0].core.memberCount == 3)
    }

    @Test func leadershipIsHandedOverBeforeTheEnd() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        cluster[leader].leave()
        let before = cluster.clock.now()
        #expect(try cluster.run { $0[leader].hasLeft })
        #expect(!cluster[leader].core.isLeader)
        #expect(cluster.clock.now() - before < .milliseconds(500))
        // A follower has nothing to hand over.
        let follower = try #require((0..<3).first { !cluster[$0].core.isLeader && $0 != leader })
        cluster[follower].leave()
        try cluster.step()
        #expect(cluster[follower].hasLeft)
    }

    @Test func abandonedProposalsAreDropped() throws {
        let cluster = try started()
        cluster.crash(1, .loseUnsynced)
        cluster.crash(2, .loseUnsynced)
        #expect(try cluster.run { !$0[0].core.hasLeader })
        for round in 0..<5 {
            cluster[0].post((0..<100).map { ClientRequest(ticket: UInt64(round * 100 + $0), body: .alarm([])) })
            #expect(try cluster.run(upTo: .seconds(8)) { _ in false } == false)
            #expect(cluster[0].core.queuedProposals == 0)
        }
        #expect(cluster[0].responses.count == 500)
    }

    @Test func onlyTheLastAppendResponseIsSent() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let follower = (leader + 1) % 3
        for _ in 0..<10 { try cluster.step() }
        let member = cluster[follower]
        let core = member.core
        member.outgoing = []
        let index = core.committedIndex
        func append(_ offset: UInt64) -> RaftCore.Message {
            RaftCore.Message(
                type: .append, to: cluster.id(follower), from: cluster.id(leader), term: core.term, logTerm: core.term,
                index: LogIndex(index.rawValue + offset),
                entries: [Entry(term: core.term, index: LogIndex(index.rawValue + offset + 1), data: [])],
                commit: index)
        }
        member.receive(.messages([append(0), append(1), append(2)]))
        for _ in 0..<4 {
            member.turn()
            member.writeLog()
        }
        let responses = member.outgoing.flatMap(\.messages).filter { $0.type == .appendResponse }
        #expect(responses.map(\.index.rawValue) == [index.rawValue + 3])
    }
}
