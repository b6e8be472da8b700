import Base
import EtcdProto
import MVCC
import Member
import Platform
import PlatformSim
import SwiftProtobuf
import Testing

/// A member whose data are proven to differ takes another's database, at any moment of which it may crash.
@Suite struct ResyncTests {
    /// A cluster of three, one follower of which has other data and runs.
    private func diverged(seed: UInt64 = 1, resyncs: Bool = true) throws -> (cluster: SimulatedCluster, wrong: Int) {
        let cluster = try SimulatedCluster(3, seed: seed) {
            $0.corruptionCheckInterval = .seconds(1)
            $0.resyncsCorruptMember = resyncs
        }
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } }, "seed \(seed)")
        for n in 0..<30 { try put("k\(n)", "v", at: 0, cluster) }
        let wrong = (try #require(cluster.leader) + 1) % 3
        try cluster.stop(wrong)
        try cluster.alter(wrong)
        try cluster.restart(wrong)
        return (cluster, wrong)
    }

    private func expectEqual(_ cluster: SimulatedCluster, _ comment: Comment) throws {
        #expect(
            try cluster.run { cluster in Set((0..<3).map { cluster[$0].core.revision }).count == 1 }, comment)
        let hashes = hashes(cluster)
        #expect(Set(hashes).count == 1, "\(comment) \(hashes)")
    }

    private func hashes(_ cluster: SimulatedCluster) -> [UInt32?] {
        (0..<3).map { i in
            guard let member = cluster.members[i],
                case .hash(let hash) = member.hash(at: member.core.revision, isForeign: true).answer
            else { return nil }
            return hash.hash
        }
    }

    private func isHealed(_ cluster: SimulatedCluster, _ i: Int) -> Bool {
        cluster[i].core.quarantine == nil && cluster[i].isReady && cluster.databasesFetched > 0
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>) func aMemberTakesTheDatabaseOfAnother(seed: UInt64) throws {
        let (cluster, wrong) = try diverged(seed: seed)
        var n = 0
        // Writes go on all the time, so that the database is never the newest.
        while !isHealed(cluster, wrong), n < 3000 {
            n += 1
            try put("k\(n % 50)", "w\(n)", at: try #require(cluster.leader), cluster)
        }
        #expect(isHealed(cluster, wrong), "seed \(seed), after \(n) writes")
        #expect(cluster[wrong].lines.contains { $0.message.contains("took another member's database") })
        try expectEqual(cluster, "seed \(seed)")
        try put("at", "the healed", at: wrong, cluster)
        cluster.crash(wrong, .loseUnsynced)
        try cluster.restart(wrong)
        #expect(cluster[wrong].core.quarantine == nil)
        #expect(try cluster.run { $0[wrong].isReady })
        try expectEqual(cluster, "seed \(seed), after a crash")
        for i in 0..<3 { #expect(cluster[i].core.statistics().alarms.isEmpty) }
    }

    /// The machine loses power at any sync from the moment at which the difference shows.
    @Test(arguments: 0..<30) func aCrashMeanwhile(sync: Int) throws {
        let (cluster, wrong) = try diverged(seed: UInt64(sync % 3 + 1))
        #expect(try cluster.run { $0[wrong].core.quarantine != nil })
        for n in 0..<sync {
            try put("during\(n)", "v", at: try #require(cluster.leader), cluster)
            try cluster.step()
        }
        let policies = CrashPolicy.all(seeds: [UInt64(sync)])
        cluster.crash(wrong, policies[sync % policies.count])
        try cluster.restart(wrong)
        // Until the mark is in the file a crash takes it away, and the difference has to be found anew.
        #expect(
            try cluster.run(upTo: .seconds(60)) { isHealed($0, wrong) && Set(hashes($0)).count == 1 },
            "after \(sync) writes")
    }

    /// The control: without the flag nothing happens.
    @Test func withoutTheFlagItStaysInQuarantine() throws {
        let (cluster, wrong) = try diverged(resyncs: false)
        #expect(try cluster.run { $0[wrong].core.quarantine != nil })
        #expect(try cluster.run(upTo: .seconds(60)) { isHealed($0, wrong) } == false)
        #expect(cluster.databasesFetched == 0)
    }

    /// etcd's members raise the alarm and give no database.
    @Test func withoutAnotherMartletItSaysSo() throws {
        let (cluster, wrong) = try diverged()
        cluster.foreign = Set(0..<3).subtracting([wrong])
        #expect(try cluster.run { $0[wrong].core.quarantine != nil })
        #expect(
            try cluster.run {
                $0[wrong].lines.contains { $0.message.contains("only a Martlet gives its database") }
            })
        #expect(cluster.databasesFetched == 0)
    }

    /// The leader's snapshot is there before the database of another member: nothing stays behind of that.
    @Test(arguments: [false, true]) func aLeadersSnapshotOvertakesIt(hasArrived: Bool) throws {
        let (cluster, wrong) = try diverged()
        cluster.holdsFetchedDatabases = true
        #expect(try cluster.run { $0.databasesFetched > 0 })
        cluster.cutOff = [wrong]
        if hasArrived {
            // It is newer than what the member has applied, and waits for that.
            for n in 0..<3 { try put("newer\(n)", "v", at: try #require(cluster.leader), cluster) }
            for _ in 0..<30 { try cluster.step() }
            try cluster.storeDatabase(of: try #require(cluster.leader), at: wrong)
            cluster.tellFetchedDatabase(wrong)
        }
        for n in 0..<150 { try put("k\(n % 70)", "w\(n)", at: try #require(cluster.leader), cluster) }
        #expect(try cluster.hasFetchedDatabase(wrong), "the control: it is there until the snapshot is")
        let sent = cluster.snapshotsSent
        cluster.cutOff = []
        #expect(try cluster.run { $0.snapshotsSent > sent && $0[wrong].core.quarantine == nil })
        if !hasArrived { cluster.tellFetchedDatabase(wrong) }
        #expect(try cluster.run { (try? $0.hasFetchedDatabase(wrong)) == false })
        try expectEqual(cluster, "after the snapshot")
    }

    /// What differed is overwritten and compacted away while the database is on its way or waits for entries: a quorum
    /// has the same rows, and nothing of the database stays behind.
    @Test(arguments: [false, true]) func aQuorumConfirmsTheMemberMeanwhile(hasArrived: Bool) throws {
        let (cluster, wrong) = try diverged()
        cluster.holdsFetchedDatabases = true
        #expect(try cluster.run { $0.databasesFetched > 0 })
        let leader = try #require(cluster.leader)
        for n in 0..<30 { try put("k\(n)", "w", at: leader, cluster) }
        let request = Etcdserverpb_CompactionRequest.with { $0.revision = cluster[leader].core.revision }
        _ = try ask(.compaction(try request.serializedBytes()), at: leader, cluster).get()
        // At the very revision of a compaction the hash is the one from before it.
        try put("behind", "v", at: leader, cluster)
        #expect(
            try cluster.run { cluster in
                cluster[wrong].core.revision == cluster[leader].core.revision && Set(hashes(cluster)).count == 1
            })
        #expect(cluster[wrong].core.quarantine != nil, "the control: nobody has looked yet")
        if hasArrived {
            // It is newer than what the member has applied and gets to apply.
            cluster.deaf = [wrong]
            for n in 0..<3 { try put("newer\(n)", "v", at: leader, cluster) }
            for _ in 0..<30 { try cluster.step() }
            try cluster.storeDatabase(of: leader, at: wrong)
            cluster.tellFetchedDatabase(wrong)
        }
        #expect(try cluster.hasFetchedDatabase(wrong), "the control: it is there until the member is confirmed")
        #expect(try cluster.run { $0[wrong].core.quarantine == nil })
        if !hasArrived { cluster.tellFetchedDatabase(wrong) }
        #expect(try cluster.run { (try? $0.hasFetchedDatabase(wrong)) == false })
        cluster.deaf = []
        try put("at", "the confirmed", at: leader, cluster)
        try expectEqual(cluster, "after the confirmation")
        #expect(!cluster[wrong].lines.contains { $0.message.contains("took another member's database") })
        #expect(cluster.databasesFetched == 1)
    }

    /// An alarm that somebody has raised for the member goes with the difference.
    @Test func theAlarmIsTakenBack() throws {
        let (cluster, wrong) = try diverged()
        let request = Etcdserverpb_AlarmRequest.with {
            $0.action = .activate
            $0.memberID = cluster.id(wrong).rawValue
            $0.alarm = .corrupt
        }
        _ = try ask(.alarm(try request.serializedBytes()), at: try #require(cluster.leader), cluster).get()
        #expect(try cluster.run(upTo: .seconds(60)) { isHealed($0, wrong) })
        #expect(
            try cluster.run { cluster in (0..<3).allSatisfy { cluster[$0].core.statistics().alarms.isEmpty } })
        try put("as", "before", at: 0, cluster)
        try expectEqual(cluster, "after the alarm")
    }
}
