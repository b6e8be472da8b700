import Base
import EtcdProto
import Foundation
import Member
import Platform
import PlatformSim
import RaftCore
import SwiftProtobuf
import Testing

/// Leases in whole clusters, in virtual time: they end when nobody renews them, whoever leads, and not before.
@Suite struct LeaseTests {
    private func started(
        _ count: Int = 3, seed: UInt64 = 1, configure: (inout MemberConfiguration) -> Void = { _ in }
    ) throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(count, seed: seed, configure: configure)
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } }, "seed \(seed)")
        return cluster
    }

    private func ask<Response: SwiftProtobuf.Message>(
        _ body: ClientRequest.Body, at i: Int, _ cluster: SimulatedCluster, ticket: UInt64 = 7
    ) throws -> Response {
        cluster[i].post([ClientRequest(ticket: ticket, body: body)])
        #expect(try cluster.run { $0[i].responses[ticket] != nil })
        return try Response(serializedBytes: try #require(try cluster[i].takeResponse(ticket)?.get()))
    }

    private func grant(_ id: Int64, _ seconds: Int64, at i: Int, _ cluster: SimulatedCluster) throws -> Int64 {
        let request = Etcdserverpb_LeaseGrantRequest.with {
            $0.id = id
            $0.ttl = seconds
        }
        let granted: Etcdserverpb_LeaseGrantResponse = try ask(
            .leaseGrant(try request.serializedBytes()), at: i, cluster)
        #expect(granted.ttl == max(seconds, 2))
        return granted.id
    }

    private func put(_ key: String, lease: Int64, at i: Int, _ cluster: SimulatedCluster) throws {
        let request = Etcdserverpb_PutRequest.with {
            $0.key = .init(key.utf8)
            $0.lease = lease
        }
        let _: Etcdserverpb_PutResponse = try ask(.put(try request.serializedBytes()), at: i, cluster)
    }

    /// Seconds that the lease lasts from now; 0 when there is none.
    private func renew(_ id: Int64, at i: Int, _ cluster: SimulatedCluster) throws -> Int64 {
        let answer: Etcdserverpb_LeaseKeepAliveResponse = try ask(
            .lease(LeaseQuestion(.keepAlive, of: LeaseID(id))), at: i, cluster)
        #expect(answer.id == id && answer.header.memberID == cluster.id(i).rawValue)
        return answer.ttl
    }

    private func timeToLive(
        _ id: Int64, at i: Int, _ cluster: SimulatedCluster
    ) throws -> Etcdserverpb_LeaseTimeToLiveResponse {
        try ask(.lease(LeaseQuestion(.timeToLive(keys: true), of: LeaseID(id))), at: i, cluster)
    }

    private func keys(at i: Int, _ cluster: SimulatedCluster) throws -> [String] {
        let answer: Etcdserverpb_RangeResponse = try ask(try KV.all(), at: i, cluster)
        return answer.kvs.map { String(decoding: $0.key, as: UTF8.self) }
    }

    private func pass(_ duration: Duration, _ cluster: SimulatedCluster) throws {
        let end = cluster.clock.now() + duration
        #expect(try cluster.run { $0.clock.now() >= end })
    }

    /// Waits until no member has the key any more.
    /// - Returns: how long that took.
    private func waitForEnd(of key: String, _ cluster: SimulatedCluster) throws -> Duration {
        let start = cluster.clock.now()
        for _ in 0..<2000 {
            let running = cluster.members.indices.filter { cluster.members[$0] != nil }
            if try running.allSatisfy({ try !keys(at: $0, cluster).contains(key) }) {
                #expect(Set(running.map { cluster[$0].core.revision }).count == 1)
                return cluster.clock.now() - start
            }
            try pass(.milliseconds(20), cluster)
        }
        throw MemberError(.corruption, "\(key) is still there")
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>) func aLeaseEndsWithItsKeys(seed: UInt64) throws {
        let cluster = try started(seed: seed)
        let leader = try #require(cluster.leader)
        for i in 0..<3 {
            let id = try grant(0, 3, at: i, cluster)
            #expect(id > 0)
            for key in ["b", "a", "c"] { try put(key, lease: id, at: (i + 1) % 3, cluster) }
            let before = cluster[leader].core.revision
            let lasted = try waitForEnd(of: "a", cluster)
            #expect(lasted > .milliseconds(2500) && lasted < .milliseconds(4000), "seed \(seed): \(lasted)")
            // All keys in one revision.
            #expect(cluster[leader].core.revision == before + 1)
            #expect(try keys(at: i, cluster) == [])
            #expect(try renew(id, at: i, cluster) == 0)
            #expect(try timeToLive(id, at: i, cluster).ttl == -1)
        }
    }

    @Test func whoeverIsAskedRenews() throws {
        let cluster = try started()
        let id = try grant(77, 2, at: 0, cluster)
        try put("k", lease: id, at: 1, cluster)
        for round in 0..<12 {
            try pass(.milliseconds(900), cluster)
            #expect(try renew(id, at: round % 3, cluster) == 2)
        }
        for i in 0..<3 {
            let left = try timeToLive(id, at: i, cluster)
            #expect(left.grantedTtl == 2 && (0...2).contains(left.ttl) && left.keys == [.init("k".utf8)])
            let all: Etcdserverpb_LeaseLeasesResponse = try ask(.leases, at: i, cluster)
            #expect(all.leases.map(\.id) == [77])
        }
        #expect(try waitForEnd(of: "k", cluster) < .seconds(3))
    }

    @Test func otherMembersAreTold() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let follower = (leader + 1) % 3
        _ = try grant(77, 100, at: 0, cluster)
        func answer(_ question: LeaseQuestion, at i: Int) throws -> Result<[UInt8], EtcdError> {
            cluster[i].post([ClientRequest(ticket: 1, body: .lease(question), isFromPeer: true)])
            #expect(try cluster.run { $0[i].responses[1] != nil })
            return try #require(cluster[i].takeResponse(1))
        }
        let keepAlive = LeaseQuestion(.keepAlive, of: LeaseID(77), isForwarded: true)
        #expect(try answer(keepAlive, at: leader) == .success([0x10, 77, 0x18, 100]))
        #expect(try answer(keepAlive, at: follower) == .failure(.notPrimaryLessor))
        let timeToLive = LeaseQuestion(.timeToLive(keys: false), of: LeaseID(77), isForwarded: true)
        #expect(try answer(timeToLive, at: leader) == .success([0x0a, 0, 0x10, 77, 0x18, 99, 0x20, 100]))
        #expect(try answer(timeToLive, at: follower) == .failure(.notPrimaryLessor))
        for kind in [LeaseQuestion.Kind.keepAlive, .timeToLive(keys: true)] {
            let unknown = LeaseQuestion(kind, of: LeaseID(78), isForwarded: true)
            #expect(try answer(unknown, at: leader) == .failure(.leaseNotFound))
        }
    }

    /// Nobody could renew a lease while there was no leader.
    @Test(arguments: 1...4 as ClosedRange<UInt64>) func aNewLeaderGivesTime(seed: UInt64) throws {
        let cluster = try started(seed: seed)
        let leader = try #require(cluster.leader)
        let id = try grant(5, 4, at: leader, cluster)
        try put("k", lease: id, at: leader, cluster)
        try pass(.seconds(3), cluster)
        cluster.crash(leader, .loseUnsynced)
        let other = (leader + 1) % 3
        // A question that comes while nobody leads waits for the next leader.
        #expect(try renew(id, at: other, cluster) == 4, "seed \(seed)")
        try pass(.seconds(2), cluster)
        #expect(try timeToLive(id, at: other, cluster).ttl >= 1)
        try cluster.restart(leader)
        #expect(try cluster.run { $0[leader].isReady })
        #expect(try renew(id, at: leader, cluster) == 4, "seed \(seed)")
        #expect(try waitForEnd(of: "k", cluster) < .seconds(5))
    }

    /// A leader that nobody hears may think that a lease has ended; the others know better.
    @Test(arguments: 1...4 as ClosedRange<UInt64>) func aDeposedLeaderRevokesNothing(seed: UInt64) throws {
        let cluster = try started(seed: seed)
        let former = try #require(cluster.leader)
        let id = try grant(5, 2, at: former, cluster)
        try put("k", lease: id, at: former, cluster)
        try pass(.milliseconds(1500), cluster)
        cluster.cutOff = [former]
        let other = (former + 1) % 3
        for _ in 0..<8 {
            #expect(try renew(id, at: other, cluster) == 2, "seed \(seed)")
            try pass(.milliseconds(500), cluster)
        }
        cluster.cutOff = []
        #expect(try renew(id, at: other, cluster) == 2, "seed \(seed)")
        #expect(try cluster.run { $0[former].core.revision == $0[other].core.revision })
        #expect(try renew(id, at: former, cluster) == 2, "seed \(seed)")
        #expect(try keys(at: former, cluster) == ["k"])
        #expect(try waitForEnd(of: "k", cluster) < .seconds(4))
    }

    /// What comes when the time is over is answered when the lease is gone, not before.
    @Test func aRenewalThatComesTooLateIsTold() throws {
        let cluster = try started(1)
        let id = try grant(5, 2, at: 0, cluster)
        try pass(.milliseconds(1990), cluster)
        var answers: [Int64] = []
        for _ in 0..<10 where try timeToLive(id, at: 0, cluster).ttl >= 0 {
            answers.append(try renew(id, at: 0, cluster))
            if answers.last == 2 { try pass(.milliseconds(2010), cluster) }
        }
        #expect(answers.last == 0)
        #expect(try timeToLive(id, at: 0, cluster).ttl == -1)
    }

    @Test func leasesOutliveTheirMembers() throws {
        let cluster = try started()
        _ = try grant(5, 10, at: 0, cluster)
        try put("k", lease: 5, at: 0, cluster)
        for i in 0..<3 { cluster.crash(i, .loseUnsynced) }
        for i in 0..<3 { try cluster.restart(i) }
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        let left = try timeToLive(5, at: 0, cluster)
        #expect(left.grantedTtl == 10 && left.ttl >= 8 && left.keys == [.init("k".utf8)])
        #expect(try waitForEnd(of: "k", cluster) < .seconds(13))
    }

    /// With checkpoints a lease that nobody renews ends although the leader changes all the time.
    @Test(arguments: [true, false]) func checkpointsCarryTimeToTheNextLeader(enabled: Bool) throws {
        let cluster = try started(
            configure: {
                $0.checkpointsLeases = enabled
                $0.leaseCheckpointInterval = .seconds(4)
            })
        let id = try grant(5, 20, at: 0, cluster)
        try put("k", lease: id, at: 0, cluster)
        for _ in 0..<2 {
            try pass(.seconds(6), cluster)
            let leader = try #require(cluster.leader)
            cluster.crash(leader, .loseUnsynced)
            #expect(try cluster.run { $0.leader != nil && $0.leader != leader })
            try cluster.restart(leader)
            #expect(try cluster.run { $0[leader].isReady })
        }
        let left = try timeToLive(id, at: 0, cluster).ttl
        #expect(enabled ? left < 14 : left > 15, "\(left)")
        // A renewal begins at the whole time, for the next leader, too.
        #expect(try renew(id, at: 1, cluster) == 20)
        let leader = try #require(cluster.leader)
        cluster.crash(leader, .loseUnsynced)
        #expect(try cluster.run { $0.leader != nil && $0.leader != leader })
        #expect(try timeToLive(id, at: try #require(cluster.leader), cluster).ttl >= 19)
    }

    /// More leases than are revoked at once: all go, at the rate of the limits.
    @Test func manyLeasesEnd() throws {
        let cluster = try started(1)
        for first in stride(from: 1, to: 1201, by: 100) {
            for id in first..<first + 100 {
                let request = Etcdserverpb_LeaseGrantRequest.with {
                    $0.id = Int64(id)
                    $0.ttl = 3
                }
                cluster[0].post([
                    ClientRequest(ticket: UInt64(id), body: .leaseGrant(try request.serializedBytes()))
                ])
            }
            #expect(try cluster.run { $0[0].responses[UInt64(first + 99)] != nil })
        }
        let start = cluster.clock.now()
        var counts: [Int] = []
        #expect(
            try cluster.run(upTo: .seconds(10)) { cluster in
                counts.append(cluster[0].core.statistics().leases.revoked.asInt)
                return counts.last == 1200
            }, "\(counts.last ?? 0)")
        let lasted = cluster.clock.now() - start
        #expect(lasted > .milliseconds(3500) && lasted < .milliseconds(6500), "\(lasted)")
        // 500 in half a second.
        for i in counts.indices.dropFirst(50) { #expect(counts[i] - counts[i - 45] <= 500) }
    }
}

extension UInt64 {
    fileprivate var asInt: Int { Int(self) }
}
