import Apply
import Base
import EtcdProto
import Foundation
import MVCC
import Member
import Platform
import PlatformSim
import SwiftProtobuf
import Testing

/// Members that tell each other what entries did, in virtual time.
@Suite("Exchange of the hash over effects") struct EffectsExchangeTests {
    private static let isSoak = ProcessInfo.processInfo.environment["MARTLET_SOAK"] != nil

    private func started(_ count: Int = 3, seed: UInt64 = 1, keepsLog: Bool = true) throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(count, seed: seed) {
            if keepsLog {
                $0.snapshotCount = 100_000
            } else {
                $0.snapshotCount = 300
                $0.snapshotCatchUpEntries = 50
            }
        }
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } }, "seed \(seed)")
        return cluster
    }

    /// Puts `count` keys at a member that runs, many at a time, and waits until they are answered, whatever the answer.
    private func write(
        _ count: Int, at i: Int, _ cluster: SimulatedCluster, salt: Int = 0
    ) throws {
        var next = 0
        while next < count {
            let batch = next..<min(next + 200, count)
            cluster[i].post(
                try batch.map {
                    ClientRequest(ticket: UInt64($0), body: try KV.put("k\($0 % 300)", "v\(salt)/\($0)"))
                })
            #expect(try cluster.run { cluster in batch.allSatisfy { cluster[i].responses[UInt64($0)] != nil } })
            for ticket in batch { _ = cluster[i].takeResponse(UInt64(ticket)) }
            next = batch.upperBound
        }
    }

    /// A put that no other member knows of.
    private func alter(_ i: Int, _ cluster: SimulatedCluster) throws {
        guard case .put(let bytes) = try KV.put("k1", "altered") else { return }
        var out: [UInt8] = []
        let header = ResponseHeader(
            clusterID: cluster[i].core.clusterID, memberID: cluster[i].core.localID, term: cluster[i].core.term)
        try cluster[i].core.applier.store.put(try PutCommand(bytes), in: bytes, header: header, into: &out)
    }

    private func letProbesPass(_ cluster: SimulatedCluster) throws {
        #expect(try cluster.run(upTo: .seconds(9)) { _ in false } == false)
    }

    @Test(
        "A store that is altered behind its member's back is found in that window, by all, and the majority says whose")
    func altered() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let odd = (leader + 1) % 3
        try write(1500, at: leader, cluster)
        try letProbesPass(cluster)
        for i in 0..<3 { #expect(cluster[i].core.divergences.isEmpty) }
        try alter(odd, cluster)
        try write(1000, at: leader, cluster)
        try letProbesPass(cluster)
        for i in 0..<3 {
            let found = cluster[i].core.divergences
            let others = (0..<3).filter { i == odd ? $0 != odd : $0 == odd }
            #expect(found.map(\.member) == others.map(cluster.id).sorted(), "at \(i)")
            #expect(found.allSatisfy { $0.index == LogIndex(2000) && $0.agreedThrough == LogIndex(1000) }, "\(found)")
            #expect(cluster[i].core.divergenceSuspects == [cluster.id(odd)], "at \(i)")
            let told = cluster[i].lines.filter { $0.message.hasPrefix("members have come apart") }
            #expect(told.count == others.count)
            let names = Set(told.flatMap(\.fields).filter { $0.name.hasSuffix("-member-name") }.map(\.value))
            #expect(names.isSuperset(of: (others + [i]).map { "m\($0 + 1)" }), "\(names)")
            #expect(cluster[i].lines.contains { $0.message.contains("from the majority") })
            cluster[i].askForStatistics()
        }
        try cluster.step()
        let figures = try #require(cluster[leader].statistics)
        #expect(figures.effectsComparisons >= 2 && figures.divergencesFound == 1)
        let third = try #require((0..<3).first { $0 != leader && $0 != odd })
        #expect(figures.effectsAgreed.first { $0.member == cluster.id(third) }?.through == LogIndex(2000))
    }

    @Test("Of two members that differ nobody knows which one is right")
    func twoMembers() throws {
        let cluster = try started(2)
        let leader = try #require(cluster.leader)
        try alter(1 - leader, cluster)
        try write(1000, at: leader, cluster)
        try letProbesPass(cluster)
        for i in 0..<2 {
            #expect(cluster[i].core.divergences.map(\.index) == [LogIndex(1000)])
            #expect(cluster[i].core.divergences.allSatisfy { $0.agreedThrough == nil })
            #expect(cluster[i].core.divergenceSuspects.isEmpty)
        }
    }

    @Test("A member that gets its state anew is no longer what the others differ from, and counts as equal")
    func resynchronised() throws {
        let cluster = try started(keepsLog: false)
        let leader = try #require(cluster.leader)
        let odd = (leader + 1) % 3
        try alter(odd, cluster)
        try write(1200, at: leader, cluster)
        try letProbesPass(cluster)
        #expect(cluster[odd].core.divergences.count == 2)
        cluster.cutOff = [odd]
        try write(1000, at: leader, cluster)
        cluster.cutOff = []
        #expect(try cluster.run { $0[odd].core.revision == $0[leader].core.revision })
        #expect(cluster.snapshotsSent > 0)
        #expect(cluster[odd].core.divergences.isEmpty && cluster[odd].core.divergenceSuspects.isEmpty)
        #expect(cluster[leader].core.divergences.map(\.member) == [cluster.id(odd)], "until it hears of it")
        try letProbesPass(cluster)
        for i in 0..<3 { #expect(cluster[i].core.divergences.isEmpty, "at \(i)") }
        try write(2500, at: leader, cluster)
        try letProbesPass(cluster)
        for i in 0..<3 {
            #expect(cluster[i].core.divergences.isEmpty)
            cluster[i].askForStatistics()
        }
        try cluster.step()
        #expect(cluster[odd].statistics?.effectsAgreed.count == 2)
    }

    @Test(
        "Crashes, restarts, snapshots and changes of the leader never make equal members differ",
        arguments: 1...(isSoak ? 60 : 4) as ClosedRange<UInt64>)
    func noFalseAlarm(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let cluster = try started(seed: seed, keepsLog: seed % 2 == 0)
        var compared: UInt64 = 0
        func expectNone(_ i: Int, _ round: Int) throws {
            #expect(cluster[i].core.divergences.isEmpty, "seed \(seed), round \(round), member \(i)")
            cluster[i].askForStatistics()
            cluster[i].turn()
            compared += try #require(cluster[i].statistics).effectsComparisons
        }
        for round in 0..<(Self.isSoak ? 40 : 12) {
            let victim = Int.random(in: 0..<3, using: &random)
            let away = Int.random(in: 0..<3, using: &random)
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                try expectNone(victim, round)
                cluster.crash(victim, random.next() % 2 == 0 ? .loseUnsynced : .keepUnsynced)
                try write(Int.random(in: 1..<800, using: &random), at: (victim + 1) % 3, cluster, salt: round)
                try cluster.restart(victim)
            case 1: cluster.cutOff = [away]
            case 2: cluster.cutOff = []
            default: break
            }
            let writer = try #require((0..<3).first { !cluster.cutOff.contains($0) })
            try write(Int.random(in: 1..<800, using: &random), at: writer, cluster, salt: round)
            let revision = Int64.random(in: 1...max(1, cluster[writer].core.revision), using: &random)
            cluster[writer].post([
                ClientRequest(ticket: 1, body: try KV.compact(at: revision)),
                ClientRequest(ticket: 2, body: try KV.delete(from: "k1", to: "k2")),
            ])
            #expect(try cluster.run { $0[writer].responses[1] != nil && $0[writer].responses[2] != nil })
            for ticket in 1...2 as ClosedRange<UInt64> { _ = cluster[writer].takeResponse(ticket) }
        }
        cluster.cutOff = []
        try write(1000, at: 0, cluster)
        try letProbesPass(cluster)
        for i in 0..<3 { try expectNone(i, -1) }
        #expect(compared > 6, "seed \(seed): hardly anything was compared")
        // The control: it would have been seen.
        try alter(0, cluster)
        try write(1000, at: try #require(cluster.leader), cluster)
        try letProbesPass(cluster)
        #expect(cluster[0].core.divergences.count == 2, "seed \(seed)")
    }
}
