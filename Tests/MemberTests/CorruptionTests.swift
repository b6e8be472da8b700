import Base
import EtcdProto
import Foundation
import MVCC
import Member
import Platform
import PlatformSim
import SwiftProtobuf
import Testing

/// Members whose data come apart: who notices, and what becomes of them.
@Suite struct CorruptionTests {
    private func started(
        _ count: Int = 3, seed: UInt64 = 1, _ configure: @escaping (inout MemberConfiguration) -> Void
    ) throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(count, seed: seed, configure: configure)
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } }, "seed \(seed)")
        return cluster
    }

    private func compact(_ revision: Int64, at i: Int, _ cluster: SimulatedCluster) throws {
        let request = Etcdserverpb_CompactionRequest.with { $0.revision = revision }
        _ = try ask(.compaction(try request.serializedBytes()), at: i, cluster).get()
    }

    /// Stops a member, changes a value in its file and starts it again.
    private func alter(_ i: Int, _ cluster: SimulatedCluster) throws {
        try cluster.stop(i)
        try cluster.alter(i)
        try cluster.restart(i)
        #expect(try cluster.run { $0[i].isReady && $0.leader != nil })
    }

    private func alarms(_ cluster: SimulatedCluster, at i: Int) -> [String] {
        cluster[i].core.statistics().alarms.map { "\($0.member) \($0.kind.name)" }
    }

    private func expectEqual(_ cluster: SimulatedCluster, _ comment: Comment = "") throws {
        let all = cluster.members.indices.filter { cluster.members[$0] != nil }
        #expect(try cluster.run { cluster in Set(all.map { cluster[$0].core.revision }).count == 1 }, comment)
        let hashes = all.map { cluster[$0].hash(at: cluster[$0].core.revision, isForeign: true).answer }
        #expect(hashes.allSatisfy { $0 == hashes[0] }, "\(comment) \(hashes)")
    }

    @Test(arguments: 1...3 as ClosedRange<UInt64>) func aFollowerThatDiffersGoesIntoQuarantine(seed: UInt64) throws {
        let cluster = try started(seed: seed) { $0.corruptionCheckInterval = .seconds(1) }
        for n in 0..<10 { try put("k\(n)", "v", at: 0, cluster) }
        let follower = (try #require(cluster.leader) + 1) % 3
        try alter(follower, cluster)
        #expect(try cluster.run { $0[follower].core.quarantine != nil }, "seed \(seed)")
        for body in [try KV.put("a", "b"), try KV.get("k1"), try KV.get("k1", serializable: true), .snapshot] {
            #expect(throws: EtcdError.quarantined) { try ask(body, at: follower, cluster).get() }
        }
        #expect(cluster[follower].core.statistics().quarantine != nil)
        let status = try Etcdserverpb_StatusResponse(
            serializedBytes: try ask(.status, at: follower, cluster).get())
        #expect(status.errors.contains { $0.contains("quarantine") })
        // The cluster goes on, and the member still counts in it.
        let leader = try #require(cluster.leader)
        let other = try #require((0..<3).first { $0 != leader && $0 != follower })
        #expect(alarms(cluster, at: leader).isEmpty)
        cluster.crash(other, .loseUnsynced)
        try put("without", "the third", at: leader, cluster)
        // The mark is in the file.
        try cluster.stop(follower)
        try cluster.restart(other)
        try cluster.restart(follower)
        #expect(cluster[follower].core.quarantine != nil)
        #expect(try cluster.run { $0.leader != nil })
        #expect(try cluster.run(upTo: .seconds(25)) { $0[follower].core.quarantine == nil } == false)
    }

    @Test func aLeaderThatDiffersHandsOver() throws {
        let cluster = try started { $0.corruptionCheckInterval = .seconds(20) }
        for n in 0..<10 { try put("k\(n)", "v", at: 0, cluster) }
        let former = try #require(cluster.leader)
        let wrong = (former + 1) % 3
        try alter(wrong, cluster)
        _ = try ask(.moveLeader(to: cluster.id(wrong)), at: try #require(cluster.leader), cluster).get()
        #expect(cluster[wrong].core.isLeader)
        #expect(
            try cluster.run(upTo: .seconds(60)) {
                $0[wrong].core.quarantine != nil && !$0[wrong].core.isLeader && $0.leader != nil
            })
        let leader = try #require(cluster.leader)
        #expect(leader != wrong && alarms(cluster, at: leader).isEmpty)
        try put("after", "it", at: leader, cluster)
    }

    /// A member of another program cannot be told: the alarm stops the cluster, as in etcd.
    @Test func forOthersThereIsTheAlarm() throws {
        let cluster = try started { $0.corruptionCheckInterval = .seconds(1) }
        for n in 0..<10 { try put("k\(n)", "v", at: 0, cluster) }
        let follower = (try #require(cluster.leader) + 1) % 3
        cluster.foreign = [follower]
        try cluster.stop(follower)
        try cluster.alter(follower)
        try cluster.restart(follower)
        let name = "\(cluster.id(follower)) CORRUPT"
        #expect(try cluster.run { c in (0..<3).allSatisfy { alarms(c, at: $0) == [name] } })
        let leader = try #require(cluster.leader)
        #expect(throws: EtcdError.corrupt) { try ask(try KV.put("a", "b"), at: leader, cluster).get() }
        // Reads are answered, as in etcd.
        _ = try ask(try KV.get("k1"), at: leader, cluster).get()
        let request = Etcdserverpb_AlarmRequest.with {
            $0.action = .deactivate
            $0.memberID = cluster.id(follower).rawValue
            $0.alarm = .corrupt
        }
        try cluster.stop(follower)
        _ = try ask(.alarm(try request.serializedBytes()), at: leader, cluster).get()
        try put("a", "b", at: leader, cluster)
    }

    /// Two members cannot tell which of them is right.
    @Test func withoutAMajorityThereIsTheAlarm() throws {
        let cluster = try started(2) { $0.corruptionCheckInterval = .seconds(1) }
        for n in 0..<10 { try put("k\(n)", "v", at: 0, cluster) }
        let follower = (try #require(cluster.leader) + 1) % 2
        try cluster.stop(follower)
        try cluster.alter(follower)
        try cluster.restart(follower)
        #expect(try cluster.run { c in (0..<2).allSatisfy { alarms(c, at: $0).count == 1 } })
        #expect((0..<2).allSatisfy { cluster[$0].core.quarantine == nil })
        #expect(cluster.accusations == 1)
    }

    @Test func aCompactionShowsTheDifference() throws {
        let cluster = try started { $0.compactionHashCheckInterval = .seconds(1) }
        for n in 0..<10 { try put("k\(n)", "v", at: 0, cluster) }
        let follower = (try #require(cluster.leader) + 1) % 3
        try alter(follower, cluster)
        #expect(try cluster.run(upTo: .seconds(5)) { $0[follower].core.quarantine != nil } == false)
        let leader = try #require(cluster.leader)
        for n in 0..<5 { try put("k\(n)", "w", at: leader, cluster) }
        try compact(cluster[leader].core.revision - 1, at: leader, cluster)
        #expect(try cluster.run { $0[follower].core.quarantine != nil })
        #expect(alarms(cluster, at: leader).isEmpty)
    }

    /// What entries did, compared window by window, shows differences outside of the keys, too; equal keys do not end
    /// that quarantine, other data do.
    @Test(arguments: [false, true]) func whoIsOutvotedByTheHashOverEffectsGoesIntoQuarantine(resyncs: Bool) throws {
        let cluster = try started { $0.resyncsCorruptMember = resyncs }
        let odd = (try #require(cluster.leader) + 1) % 3
        let window = try finishWindow(at: odd, cluster)
        let other = EffectsAccount(windows: [EffectsHash.Window(index: window.index, hash: window.hash ^ 1)])
        let others = (0..<3).filter { $0 != odd }
        cluster[odd].receive(.effects(of: cluster.id(others[0]), other))
        try cluster.step()
        #expect(cluster[odd].core.quarantine == nil, "one against one")
        cluster[odd].receive(.effects(of: cluster.id(others[1]), other))
        #expect(try cluster.run { $0[odd].core.quarantine != nil })
        #expect(cluster[odd].core.quarantine?.evidence == .effects)
        // Nor does a restart, after which the windows are forgotten.
        try cluster.stop(odd)
        try cluster.restart(odd)
        #expect(try cluster.run(upTo: .seconds(60)) { $0[odd].core.quarantine == nil } == resyncs)
        #expect(cluster.databasesFetched == (resyncs ? 1 : 0))
    }

    /// The control: as many checks as can be, while keys come and go and history is removed, find nothing.
    @Test(arguments: 1...3 as ClosedRange<UInt64>) func nothingIsFoundWhereNothingIs(seed: UInt64) throws {
        let cluster = try started(seed: seed) {
            $0.corruptionCheckInterval = .milliseconds(50)
            $0.compactionHashCheckInterval = .milliseconds(70)
        }
        var random = SeededGenerator(seed: seed)
        for n in 0..<300 {
            let i = random.next(below: 3)
            let key = "k\(random.next(below: 6))"
            switch random.next(below: 5) {
            case 0:
                let request = Etcdserverpb_DeleteRangeRequest.with { $0.key = .init(key.utf8) }
                _ = try ask(.deleteRange(try request.serializedBytes()), at: i, cluster).get()
            case 1 where n % 7 == 0:
                let request = Etcdserverpb_CompactionRequest.with { $0.revision = cluster[i].core.revision }
                // Another may have been faster, or ahead.
                _ = try ask(.compaction(try request.serializedBytes()), at: i, cluster)
            default: try put(key, "v\(n)", at: i, cluster)
            }
        }
        #expect(try cluster.run(upTo: .seconds(3)) { _ in false } == false)
        for i in 0..<3 {
            #expect(alarms(cluster, at: i).isEmpty && cluster[i].core.quarantine == nil, "seed \(seed)")
        }
        let checks = (0..<3).reduce(0) { $0 + cluster[$1].core.statistics().corruptionChecks }
        #expect(checks > 50, "only \(checks) checks, seed \(seed)")
        #expect(cluster.accusations == 0)
        try expectEqual(cluster, "seed \(seed)")
    }
}
