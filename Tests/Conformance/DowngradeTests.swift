import EtcdProto
import Foundation
import NIOCore
import SwiftProtobuf
import TestSupport
import Testing

/// Downgrades as etcd's members log them, and as they answer each other.
@Suite(.serialized) struct DowngradeTests {
    private static let curl = "/usr/bin/curl"

    private func ask(
        _ action: Etcdserverpb_DowngradeRequest.DowngradeAction, _ version: String = "", at i: Int,
        _ cluster: ClusterUnderTest
    ) async throws -> String {
        do {
            let answer: Etcdserverpb_DowngradeResponse = try await cluster.ask(
                i, "Maintenance/Downgrade",
                Etcdserverpb_DowngradeRequest.with {
                    $0.action = action
                    $0.version = version
                })
            return answer.version
        } catch let error as ClusterUnderTest.Failed {
            return error.description
        }
    }

    private func expectEnabled(_ enabled: Bool, _ cluster: ClusterUnderTest) async throws {
        for i in cluster.running {
            let url = "\(cluster.members[i].options.peerURL)/downgrade/enabled"
            try await cluster.wait("\(enabled) at \(cluster.members[i])") {
                let answer = try await Subprocess.run(Self.curl, ["-s", url])
                return String(decoding: answer.output, as: UTF8.self) == "\(enabled)"
            }
        }
    }

    /// 3.5 lets whoever changes the record wait for an answer that it never gives; the change is made all the same.
    private func askWithoutAnswer(
        _ action: Etcdserverpb_DowngradeRequest.DowngradeAction, _ version: String = "", at i: Int,
        _ cluster: ClusterUnderTest
    ) async throws {
        let request = Etcdserverpb_DowngradeRequest.with {
            $0.action = action
            $0.version = version
        }
        do {
            let _: Etcdserverpb_DowngradeResponse = try await cluster.ask(
                i, "Maintenance/Downgrade", request, timeout: .seconds(1))
        } catch let error as ClusterUnderTest.Failed where !error.description.contains("deadline") {
            throw error
        } catch is ClusterUnderTest.Failed {}
    }

    /// What etcd 3.5 begins is known to Martlet, and lets the version of the cluster be.
    @Test func etcdBeginsOne() async throws {
        guard let martlet = Programs.martlet(for: "downgrades"), let etcd = Programs.etcd35(for: "downgrades") else {
            return
        }
        guard FileManager.default.isExecutableFile(atPath: Self.curl) else {
            return print("skipped: downgrades (no curl)")
        }
        print("ran: a downgrade begun by \(etcd)")
        try await ClusterUnderTest.with([martlet, etcd, etcd]) { cluster in
            try await cluster.moveLeadership(to: 0)
            try await expectEnabled(false, cluster)
            for i in 0..<2 {
                #expect(try await ask(.validate, "3.3", at: i, cluster).contains("invalid downgrade target version"))
                #expect(try await ask(.validate, "x", at: i, cluster).contains("wrong downgrade target version format"))
                #expect(try await ask(.UNRECOGNIZED(9), at: i, cluster).contains("unknown method"))
            }
            // The target that 3.5 would take: nothing good comes of it.
            #expect(try await ask(.enable, "3.4.0", at: 0, cluster).contains("invalid downgrade target version"))
            try await askWithoutAnswer(.enable, "3.4.0", at: 1, cluster)
            try await expectEnabled(true, cluster)
            for i in 0..<2 {
                #expect(try await ask(.enable, "3.3", at: i, cluster).contains("invalid downgrade target version"))
            }
            #expect(try await ask(.validate, "3.4", at: 1, cluster).contains("has a downgrade job in progress"))
            let status = try await cluster.status(of: 0)
            #expect(status.downgradeInfo.enabled && status.downgradeInfo.targetVersion == "3.4.0")
            // The leader knows by now that it could lower the version, if it wanted to.
            try await Task.sleep(for: .seconds(5))
            await cluster.stop(0)
            try await cluster.restart(0)
            try await expectEnabled(true, cluster)
            #expect(try await ask(.cancel, at: 0, cluster) == "3.5")
            try await expectEnabled(false, cluster)
            #expect(try await ask(.cancel, at: 0, cluster) == "3.5")
            #expect(try await ask(.cancel, at: 1, cluster).contains("no inflight downgrade job"))
            for i in 0..<3 {
                await cluster.stop(i)
                try await cluster.restart(i)
            }
            try await cluster.put("after", "all", at: 0)
            try await cluster.expectEqualHashes()
        }
    }

    private func waitForVersion(_ version: String, _ cluster: ClusterUnderTest) async throws {
        for i in cluster.running {
            try await cluster.wait("\(version) at \(cluster.members[i])") {
                let status = try await cluster.status(of: i)
                return status.storageVersion == version && status.downgradeInfo.enabled
            }
        }
    }

    /// A cluster that Martlet has founded, of version 3.7, becomes one of etcd 3.5 on the same directories.
    @Test func martletsBecomeEtcds() async throws {
        guard let martlet = Programs.martlet(for: "downgrades"), let etcd = Programs.etcd35(for: "downgrades") else {
            return
        }
        guard FileManager.default.isExecutableFile(atPath: Self.curl) else {
            return print("skipped: downgrades (no curl)")
        }
        print("ran: a downgrade to \(etcd)")
        try await ClusterUnderTest.with([martlet, martlet, martlet]) { cluster in
            try await cluster.fill(100, bytes: 10, at: 0)
            #expect(try await ask(.enable, "3.6", at: 0, cluster) == "3.7")
            try await waitForVersion("3.6.0", cluster)
            #expect(try await ask(.cancel, at: 1, cluster) == "3.6")
            #expect(try await ask(.enable, "3.5", at: 2, cluster) == "3.6")
            try await waitForVersion("3.5.0", cluster)
            for i in 0..<3 {
                await cluster.stop(i)
                try await cluster.restart(i, as: etcd)
                try await cluster.put("replaced/\(i)", "x", at: i)
                try await cluster.expectEqualHashes("\(i)")
            }
            // Their leader sees that all have arrived.
            try await expectEnabled(false, cluster)
            for i in 0..<3 {
                await cluster.stop(i)
                try await cluster.restart(i)
                for j in 0..<3 { #expect(try await cluster.get("replaced/\(j)", at: i) == "x") }
                #expect(try await cluster.get("fill/99", at: i) != nil)
            }
            // And one of them back again.
            await cluster.stop(1)
            try await cluster.restart(1, as: martlet)
            try await cluster.put("back", "again", at: 1)
            try await expectEnabled(false, cluster)
            try await cluster.expectEqualHashes()
        }
    }
}
