import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport
import Testing

/// Leases in clusters of Martlet and etcd: whoever leads keeps their time, whoever is asked renews them.
@Suite(.serialized) struct LeaseTests {
    private func grant(_ seconds: Int64, at i: Int, _ cluster: ClusterUnderTest) async throws -> Int64 {
        let granted: Etcdserverpb_LeaseGrantResponse = try await cluster.ask(
            i, "Lease/LeaseGrant", Etcdserverpb_LeaseGrantRequest.with { $0.ttl = seconds })
        #expect(granted.ttl == seconds)
        return granted.id
    }

    /// As etcdctl prints it.
    private static func hexadecimal(_ id: Int64) -> String {
        let digits = String(id, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    private func put(_ key: String, lease: Int64, at i: Int, _ cluster: ClusterUnderTest) async throws {
        let _: Etcdserverpb_PutResponse = try await cluster.ask(
            i, "KV/Put",
            Etcdserverpb_PutRequest.with {
                $0.key = Data(key.utf8)
                $0.lease = lease
            })
    }

    private func timeToLive(
        _ id: Int64, at i: Int, _ cluster: ClusterUnderTest
    ) async throws -> Etcdserverpb_LeaseTimeToLiveResponse {
        try await cluster.ask(
            i, "Lease/LeaseTimeToLive",
            Etcdserverpb_LeaseTimeToLiveRequest.with {
                $0.id = id
                $0.keys = true
            })
    }

    /// What `etcdctl lease` says.
    private func lease(
        _ ctl: String, _ arguments: [String], at i: Int, _ cluster: ClusterUnderTest
    ) async throws -> String {
        let server = try #require(cluster.members[i].server)
        let result = try await Subprocess.run(
            ctl, ["--endpoints", server.endpoint, "lease"] + arguments, environment: ["ETCDCTL_API": "3"])
        return String(decoding: result.output + result.errors, as: UTF8.self).trimmingCharacters(
            in: .whitespacesAndNewlines)
    }

    private func expectGone(_ key: String, _ cluster: ClusterUnderTest) async throws {
        try await cluster.wait("the end of \(key)") {
            for i in cluster.running where try await cluster.get(key, at: i) != nil { return false }
            return true
        }
        try await cluster.expectEqualHashes("after the end of \(key)")
    }

    @Test func martletLeadsEtcd() async throws {
        guard let martlet = Programs.martlet(for: "leases"), let etcd = Programs.etcd35(for: "leases"),
            let ctl = Programs.etcdctl("3.5", for: "leases")
        else { return }
        try await ClusterUnderTest.with([martlet, etcd, etcd]) { cluster in
            try await cluster.moveLeadership(to: 0)
            let id = try await grant(3, at: 1, cluster)
            let hex = Self.hexadecimal(id)
            for key in ["b", "a"] { try await put(key, lease: id, at: 2, cluster) }
            for second in 0..<5 {
                let said = try await lease(ctl, ["keep-alive", "--once", hex], at: 1 + second % 2, cluster)
                #expect(said == "lease \(hex) keepalived with TTL(3)")
                try await Task.sleep(for: .seconds(1))
            }
            let left = try await timeToLive(id, at: 1, cluster)
            #expect(left.grantedTtl == 3 && (0...3).contains(left.ttl))
            #expect(Set(left.keys) == [Data("a".utf8), Data("b".utf8)])
            #expect(try await lease(ctl, ["timetolive", hex], at: 2, cluster).contains("granted with TTL(3s)"))
            let revision = try await cluster.status(of: 0).header.revision
            try await expectGone("a", cluster)
            for i in cluster.running {
                #expect(try await cluster.get("b", at: i) == nil)
                #expect(try await cluster.status(of: i).header.revision == revision + 1, "member \(i)")
            }
            #expect(try await timeToLive(id, at: 1, cluster).ttl == -1)
            #expect(
                try await lease(ctl, ["keep-alive", "--once", hex], at: 1, cluster)
                    .contains("requested lease not found"))
        }
    }

    /// The time of a lease goes over to the next leader, of the other program, and back.
    @Test func leadershipMoves() async throws {
        guard let martlet = Programs.martlet(for: "leases of moving leaders"),
            let etcd = Programs.etcd35(for: "leases of moving leaders"),
            let ctl = Programs.etcdctl("3.5", for: "leases of moving leaders")
        else { return }
        try await ClusterUnderTest.with([martlet, etcd, martlet]) { cluster in
            try await cluster.moveLeadership(to: 0)
            let renewed = try await grant(5, at: 1, cluster)
            let left = try await grant(5, at: 1, cluster)
            let hex = Self.hexadecimal(renewed)
            try await put("renewed", lease: renewed, at: 0, cluster)
            try await put("left", lease: left, at: 1, cluster)
            for target in [1, 0, 1, 2] {
                try await cluster.moveLeadership(to: target)
                #expect(
                    try await lease(ctl, ["keep-alive", "--once", hex], at: 1, cluster)
                        == "lease \(hex) keepalived with TTL(5)")
            }
            // A move begins the time of every lease anew.
            #expect(try await cluster.get("left", at: 0) != nil)
            try await cluster.wait("the end of the lease that nobody renews") {
                _ = try await self.lease(ctl, ["keep-alive", "--once", hex], at: 1, cluster)
                return try await cluster.get("left", at: 1) == nil
            }
            try await expectGone("left", cluster)
            #expect(try await cluster.get("renewed", at: 2) != nil)
            try await cluster.moveLeadership(to: 1)
            try await expectGone("renewed", cluster)
        }
    }
}
