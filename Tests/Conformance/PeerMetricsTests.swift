import Foundation
import TestSupport
import Testing

/// `/metrics` of a member of three beside that of etcd's: every family about the server and its peers is there, of the
/// same type, with the same labels and buckets.
@Suite(.serialized) struct PeerMetricsTests {
    /// Families that 3.5 has and Martlet has not.
    private static let exceptions = [
        // There is no Go in it, and what a Go version would decide (its known faults) does not apply.
        "etcd_server_go_version",
        // What applies has no clock (docs/decisions/004-one-member-loop.md), so single requests are not timed; turns that
        // take long count in etcd_server_slow_apply_total.
        "etcd_server_apply_duration_seconds",
    ]

    /// All pages of a cluster after writes, a change of the leader, and a member that comes back.
    private func pages(of program: ServerProgram) async throws -> [MetricsScrape] {
        var pages: [MetricsScrape] = []
        try await ClusterUnderTest.with([program, program, program]) { cluster in
            for i in cluster.running {
                try await cluster.put("k\(i)", "v", at: i)
                _ = try await cluster.get("k\(i)", at: i)
            }
            let leader = try await cluster.leader()
            try await cluster.moveLeadership(to: (leader + 1) % 3)
            let away = (leader + 2) % 3
            await cluster.crash(away)
            try await cluster.wait("a loss that is noticed") {
                let page = try await MetricsScrape(of: try #require(cluster.members[(leader + 1) % 3].server))
                return page.samples.contains {
                    $0.key.hasPrefix("etcd_network_disconnected_peers_total") && $0.value > 0
                }
            }
            try await cluster.restart(away)
            try await cluster.put("after", "v", at: away)
            for i in cluster.running { pages.append(try await MetricsScrape(of: #require(cluster.members[i].server))) }
        }
        return pages
    }

    private func families(_ pages: [MetricsScrape]) -> [String: MetricsScrape.Family] {
        var all: [String: MetricsScrape.Family] = [:]
        for (name, family) in pages.flatMap({ $0.families.sorted { $0.key < $1.key } })
        where name.hasPrefix("etcd_network_") || name.hasPrefix("etcd_server_") {
            all[name, default: family].labels.formUnion(family.labels)
            all[name]?.bounds.formUnion(family.bounds)
        }
        return all
    }

    @Test func familiesAreThoseOfEtcd() async throws {
        guard let martlet = Programs.martlet(for: "metrics of a cluster"),
            let etcd = Programs.etcd35(for: "metrics of a cluster")
        else { return }
        let theirs = families(try await pages(of: etcd))
        let ours = families(try await pages(of: martlet))
        #expect(theirs.count > 20, "etcd shows \(theirs.keys.sorted())")
        for (name, family) in theirs.sorted(by: { $0.key < $1.key }) where !Self.exceptions.contains(name) {
            #expect(ours[name] == family, "\(name)")
        }
        for name in Self.exceptions {
            #expect(theirs[name] != nil && ours[name] == nil, "\(name) is no exception any more")
        }
        // Those that 3.5 shows only after half a minute, or after a snapshot.
        for name in ["etcd_network_peer_round_trip_time_seconds", "etcd_network_known_peers"] {
            #expect(ours[name] != nil, "\(name)")
        }
        print("metrics: \(theirs.count) families of etcd about server and peers, \(ours.count) of Martlet")
    }
}
