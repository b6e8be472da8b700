import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport
import Testing

/// Clusters of several members, of Martlet alone and mixed with etcd.
@Suite(.serialized) struct ClusterTests {
    static let isSoak = ProcessInfo.processInfo.environment["MARTLET_SOAK"] != nil

    /// etcd keeps the last 5,000 entries for slow followers; whoever is further behind gets a snapshot.
    private static let beyondTheLog = 7000

    private static func etcd(_ version: String, for purpose: String) -> ServerProgram? {
        version == "3.5" ? Programs.etcd35(for: purpose) : Programs.etcd34(for: purpose)
    }

    @Test func threeMembersReplicateAndLoseTheirLeader() async throws {
        guard let martlet = Programs.martlet(for: "a cluster of three") else { return }
        try await ClusterUnderTest.with([martlet, martlet, martlet]) { cluster in
            for i in cluster.running { try await cluster.put("at/\(i)", "\(i)", at: i) }
            for i in cluster.running {
                for j in cluster.running { #expect(try await cluster.get("at/\(j)", at: i) == "\(j)") }
            }
            try await cluster.expectEqualHashes()

            let load = ClusterLoad(cluster.members.compactMap(\.server))
            let writing = Task { await load.run() }
            let first = try await cluster.leader()
            load.forgetGap()
            await cluster.crash(first)
            load.use(cluster.members.compactMap(\.server))
            let before = load.acknowledged.count
            try await cluster.wait("writes after the leader's death") { load.acknowledged.count > before + 20 }
            // Election timeouts are drawn from one to two times the set one, and a client notices after its own second.
            #expect(load.longestGap < .seconds(4), "no write for \(load.longestGap)")
            try await cluster.restart(first)

            let second = try await cluster.leader()
            load.forgetGap()
            await cluster.stop(second)
            load.use(cluster.members.compactMap(\.server))
            try await Task.sleep(for: .seconds(1))
            // It hands over before it goes.
            #expect(load.longestGap < .seconds(2), "no write for \(load.longestGap) although the leader handed over")
            try await cluster.restart(second)
            load.stop()
            await writing.value
            try await expectAll(load, in: cluster)
            try await cluster.expectEqualHashes()
            print("cluster of three: \(load.acknowledged.count) writes acknowledged, \(load.failures.count) failed")
        }
    }

    @Test func aPausedLeaderIsReplacedAndFollowsAgain() async throws {
        guard let martlet = Programs.martlet(for: "a paused leader") else { return }
        try await ClusterUnderTest.with([martlet, martlet, martlet]) { cluster in
            let former = try await cluster.leader()
            let server = try #require(cluster.members[former].server)
            server.pause()
            let other = try #require(cluster.running.first { $0 != former })
            try await cluster.wait("another leader") {
                let status = try? await cluster.status(of: other)
                return status.map { $0.leader != 0 && $0.leader != cluster.members[former].id } ?? false
            }
            try await cluster.put("while", "paused", at: other)
            server.resume()
            // It must not answer from what it knew: it refuses or waits until it has heard from the new leader.
            try await cluster.wait("an answer of the former leader") {
                let answer: String?
                do { answer = try await cluster.get("while", at: former) } catch { return false }
                #expect(answer == "paused")
                return true
            }
            try await cluster.expectEqualHashes()
        }
    }

    @Test(arguments: ["3.5", "3.4"]) func aMemberJoinsEtcd(version: String) async throws {
        guard let martlet = Programs.martlet(for: "joining etcd \(version)"),
            let etcd = Self.etcd(version, for: "being joined")
        else { return }
        try await ClusterUnderTest.with([etcd, etcd], arguments: ["--snapshot-count", "2000"]) { cluster in
            try await cluster.fill(Self.beyondTheLog, bytes: 100, at: 0)
            let i = try await cluster.join(martlet)
            #expect(try #require(cluster.members[i].server).log.contains("applied snapshot"), "no snapshot was needed")
            try await cluster.expectEqualHashes("after the snapshot from Go")
            try await cluster.put("from", "martlet", at: i)
            try await cluster.moveLeadership(to: i)
            for j in cluster.running { try await cluster.put("led/\(j)", "by martlet", at: j) }
            for j in cluster.running { #expect(try await cluster.get("led/0", at: j) == "by martlet") }
            // A restart reads what came from Go and what was written since.
            await cluster.stop(i)
            try await cluster.put("without", "martlet", at: 0)
            try await cluster.restart(i)
            #expect(try await cluster.get("without", at: i) == "martlet")
            try await cluster.expectEqualHashes("after the restart")
        }
    }

    @Test(arguments: ["3.5", "3.4"]) func etcdJoinsAMember(version: String) async throws {
        guard let martlet = Programs.martlet(for: "being joined by etcd \(version)"),
            let etcd = Self.etcd(version, for: "joining")
        else { return }
        // Founded together with etcd, so that the cluster's version is etcd's.
        try await ClusterUnderTest.with([martlet, etcd], arguments: ["--snapshot-count", "2000"]) { cluster in
            try await cluster.moveLeadership(to: 0)
            try await cluster.fill(Self.beyondTheLog, bytes: 100, at: 0)
            let i = try await cluster.join(etcd)
            #expect(try #require(cluster.members[0].server).log.contains("sent database snapshot"))
            try await cluster.expectEqualHashes("after the snapshot to Go")
            try await cluster.moveLeadership(to: i)
            for j in cluster.running { try await cluster.put("led/\(j)", "by etcd", at: j) }
            await cluster.stop(i)
            try await cluster.restart(i)
            try await cluster.expectEqualHashes("after the restart")
        }
    }

    /// A member that was removed while it was down finds out when it comes back, and stops: Martlet told by etcd, and
    /// etcd told by Martlet.
    @Test func aRemovedMemberThatComesBackStops() async throws {
        guard let martlet = Programs.martlet(for: "removed members"), let etcd = Programs.etcd35(for: "removed members")
        else { return }
        for (index, programs) in [[etcd, etcd, martlet], [martlet, martlet, etcd]].enumerated() {
            try await ClusterUnderTest.with(programs) { cluster in
                if try await cluster.leader() == 2 { try await cluster.moveLeadership(to: 0) }
                await cluster.crash(2)
                let gone = cluster.members[2]
                try await cluster.remove(2)
                let back = try ServerProcess(gone.program, gone.options)
                let end = await back.waitForEnd(timeout: .seconds(20))
                #expect(
                    end?.status == 0 && end?.signalled == false, "\(gone), cluster \(index): \(back.log.suffix(1000))")
                #expect(back.log.contains("permanently removed from the cluster"))
                if end == nil { await back.crash() }
            }
        }
    }

    @Test func etcdDoesNotJoinANewerCluster() async throws {
        guard let martlet = Programs.martlet(for: "refusing etcd"), let etcd = Programs.etcd35(for: "being refused")
        else { return }
        try await ClusterUnderTest.with([martlet]) { cluster in
            await #expect(throws: (any Error).self) { try await cluster.join(etcd) }
            try await cluster.put("still", "here", at: 0)
        }
    }

    @Test(arguments: isSoak ? ["3.5", "3.4"] : ["3.5"]) func membersAreReplacedOneByOneUnderLoad(
        version: String
    ) async throws {
        guard let martlet = Programs.martlet(for: "rolling replacement of etcd \(version)"),
            let etcd = Self.etcd(version, for: "being replaced")
        else { return }
        try await ClusterUnderTest.with([etcd, etcd, etcd]) { cluster in
            let load = ClusterLoad(cluster.members.compactMap(\.server), writers: 2)
            let writing = Task { await load.run() }
            try await replaceAll(in: cluster, by: martlet, load)
            if Self.isSoak { try await replaceAll(in: cluster, by: etcd, load) }
            load.stop()
            await writing.value
            try await expectAll(load, in: cluster)
            try await cluster.expectEqualHashes()
            print(
                "replaced etcd \(version): \(load.acknowledged.count) writes acknowledged, failed: \(Set(load.failures))"
            )
        }
    }

    private func replaceAll(in cluster: ClusterUnderTest, by program: ServerProgram, _ load: ClusterLoad) async throws {
        for _ in 0..<3 {
            try await cluster.join(program)
            try await cluster.expectEqualHashes()
            load.use(cluster.members.dropFirst().compactMap(\.server))
            if try await cluster.leader() == 0 { try await cluster.moveLeadership(to: 1) }
            try await cluster.remove(0)
        }
    }

    private func expectAll(_ load: ClusterLoad, in cluster: ClusterUnderTest) async throws {
        let response: Etcdserverpb_RangeResponse = try await cluster.ask(
            cluster.running[0], "KV/Range",
            Etcdserverpb_RangeRequest.with {
                $0.key = Data("load/".utf8)
                $0.rangeEnd = Data("load0".utf8)
                $0.keysOnly = true
            })
        let present = Set(response.kvs.map { String(decoding: $0.key, as: UTF8.self) })
        let lost = load.acknowledged.filter { !present.contains($0) }
        #expect(lost.isEmpty, "\(lost.count) acknowledged writes are lost")
        #expect(load.acknowledged.count > 50)
    }
}
