import EtcdProto
import Foundation
import Platform
import PlatformLinux
import SwiftProtobuf
import TestSupport
import Testing

/// Real processes whose data have come apart, of Martlet alone and mixed with etcd.
@Suite(.serialized) struct CorruptionTests {
    private func alter(_ i: Int, in cluster: ClusterUnderTest) async throws {
        await cluster.stop(i)
        try AlteredStore.changeNewestValue(
            in: "\(cluster.members[i].options.dataDirectory)/member/snap/db", on: LinuxDisk())
    }

    private func alarms(_ cluster: ClusterUnderTest, at i: Int) async throws -> [UInt64] {
        let response: Etcdserverpb_AlarmResponse = try await cluster.ask(
            i, "Maintenance/Alarm", Etcdserverpb_AlarmRequest())
        return response.alarms.filter { $0.alarm == .corrupt }.map(\.memberID)
    }

    private func fill(_ cluster: ClusterUnderTest) async throws {
        for n in 0..<20 { try await cluster.put("k\(n)", "v\(n)", at: 0) }
        try await cluster.expectEqualHashes()
    }

    /// Somebody else than the member that leads.
    private func follower(_ cluster: ClusterUnderTest) async throws -> Int { (try await cluster.leader() + 1) % 3 }

    @Test func theInitialCheckRefusesOtherData() async throws {
        guard let martlet = Programs.martlet(for: "the initial check") else { return }
        try await ClusterUnderTest.with(
            [martlet, martlet, martlet], arguments: ["--feature-gates=InitialCorruptCheck=true"]
        ) { cluster in
            try await fill(cluster)
            let wrong = try await follower(cluster)
            // With the data as they are it starts.
            await cluster.stop(wrong)
            try await cluster.restart(wrong)
            try await alter(wrong, in: cluster)
            var reason = ""
            do { try await cluster.restart(wrong) } catch { reason = "\(error)" }
            #expect(reason.contains("found data inconsistency with peers"), "\(reason)")
        }
    }

    /// The leader finds it, the member confirms it, and nobody else is held up.
    @Test func aMemberIsHealedWhileTheClusterGoesOn() async throws {
        guard let martlet = Programs.martlet(for: "resynchronisation") else { return }
        try await ClusterUnderTest.with(
            [martlet, martlet, martlet], arguments: ["--corrupt-check-time=500ms", "--resync-corrupt-member"]
        ) { cluster in
            try await cluster.fill(3000, bytes: 200, at: 0)
            try await fill(cluster)
            let wrong = try await follower(cluster)
            try await alter(wrong, in: cluster)
            try await cluster.restart(wrong)
            let load = ClusterLoad(cluster.running.filter { $0 != wrong }.compactMap { cluster.members[$0].server })
            let writing = Task { await load.run() }
            let server = try #require(cluster.members[wrong].server)
            try await cluster.wait("quarantine") { server.log.contains("it serves no clients from now on") }
            try await cluster.wait("another member's database") {
                server.log.contains("took another member's database and brought it up to date")
            }
            try await cluster.wait("the end of the quarantine") { server.log.contains("it serves clients") }
            load.stop()
            await writing.value
            #expect(load.failures.isEmpty, "\(Set(load.failures))")
            #expect(try await alarms(cluster, at: wrong) == [])
            #expect(try await cluster.get("k7", at: wrong) == "v7")
            try await cluster.expectEqualHashes("after the resynchronisation")
            await cluster.crash(wrong)
            try await cluster.restart(wrong)
            try await cluster.expectEqualHashes("after a crash")
        }
    }

    /// Alters a member's data; the leader's check raises the alarm in its name.
    private func expectAlarm(of wrong: Int, raisedBy leader: Int, in cluster: ClusterUnderTest) async throws {
        try await fill(cluster)
        try await cluster.moveLeadership(to: leader)
        try await alter(wrong, in: cluster)
        try await cluster.restart(wrong)
        try await cluster.moveLeadership(to: leader)
        let id = cluster.members[wrong].id
        try await cluster.wait("the alarm") { try await alarms(cluster, at: leader) == [id] }
    }

    /// One that cannot be asked to look at itself: etcd's alarm.
    @Test func aMartletLeaderNamesAnEtcd() async throws {
        guard let martlet = Programs.martlet(for: "naming an etcd"), let etcd = Programs.etcd35(for: "being named")
        else { return }
        try await ClusterUnderTest.with(
            [martlet, martlet, etcd], arguments: ["--experimental-corrupt-check-time=500ms"]
        ) { cluster in
            try await expectAlarm(of: 2, raisedBy: 0, in: cluster)
            await #expect(throws: (any Error).self) { try await cluster.put("a", "b", at: 0) }
            await #expect(throws: (any Error).self) { try await cluster.put("a", "b", at: 1) }
        }
    }

    /// The alarm that an etcd raises makes the member look at itself.
    @Test func anEtcdLeaderNamesAMartlet() async throws {
        guard let martlet = Programs.martlet(for: "being named by etcd"), let etcd = Programs.etcd35(for: "naming it")
        else { return }
        try await ClusterUnderTest.with(
            [etcd, etcd, martlet], arguments: ["--experimental-corrupt-check-time=1s"]
        ) { cluster in
            try await expectAlarm(of: 2, raisedBy: 0, in: cluster)
            let server = try #require(cluster.members[2].server)
            try await cluster.wait("quarantine") { server.log.contains("it serves no clients from now on") }
        }
    }

    /// The control: under load and compaction no check finds anything.
    @Test(arguments: ["martlet", "etcd"]) func nothingIsFoundUnderLoad(partner: String) async throws {
        guard let martlet = Programs.martlet(for: "checks under load"),
            let other = partner == "martlet" ? martlet : Programs.etcd35(for: "checks under load")
        else { return }
        try await ClusterUnderTest.with(
            [martlet, other, other], arguments: ["--experimental-corrupt-check-time=200ms"]
        ) { cluster in
            try await cluster.moveLeadership(to: 0)
            let load = ClusterLoad(cluster.members.compactMap(\.server), writers: 2)
            let writing = Task { await load.run() }
            for _ in 0..<10 {
                try await Task.sleep(for: .milliseconds(300))
                let revision = try await cluster.status(of: 0).header.revision
                let _: Etcdserverpb_CompactionResponse = try await cluster.ask(
                    0, "KV/Compact", Etcdserverpb_CompactionRequest.with { $0.revision = revision - 5 })
            }
            load.stop()
            await writing.value
            let server = try #require(cluster.members[0].server)
            #expect(server.log.contains("finished peer corruption check"))
            for i in cluster.running { #expect(try await alarms(cluster, at: i) == []) }
            #expect(load.failures.isEmpty, "\(Set(load.failures))")
            try await cluster.expectEqualHashes()
        }
    }
}
