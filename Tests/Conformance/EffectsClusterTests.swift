import EtcdProto
import Foundation
import TestSupport
import Testing

/// Members compare what entries did, over the real transport, and etcd does not notice.
@Suite(.serialized) struct EffectsClusterTests {
    @Test func martletsAgreeAndEtcdIsNotDisturbed() async throws {
        guard let martlet = Programs.martlet(for: "comparing members"), let etcd = Programs.etcd35(for: "not noticing")
        else { return }
        let curl = "/usr/bin/curl"
        guard FileManager.default.isExecutableFile(atPath: curl) else {
            print("skipped: comparing members (no curl)")
            return
        }
        try await ClusterUnderTest.with([martlet, etcd, martlet]) { cluster in
            try await cluster.fill(2500, bytes: 20, at: 1)
            let etcdServer = try #require(cluster.members[1].server)
            let (start, said) = (ContinuousClock.now, etcdServer.log.split(separator: "\n").count)
            // Both Martlets have seen the other one agree; nobody speaks of etcd.
            for (i, other) in [(0, 2), (2, 0)] {
                let id = String(cluster.members[other].id, radix: 16)
                let agreed = "martlet_effects_agreed_index{remote=\"\(id)\"} 2000"
                var page = ""
                try await cluster.wait("\(agreed) at \(cluster.members[i])") {
                    page = try await Self.metrics(of: try #require(cluster.members[i].server))
                    return page.contains(agreed)
                }
                #expect(page.contains("martlet_divergences_found_total 0\n"))
                #expect(!page.contains("remote=\"\(String(cluster.members[1].id, radix: 16))\"} 2000"))
                #expect(!page.contains("martlet_diverged_index"))
                let errors = try await cluster.status(of: i).errors
                #expect(errors.isEmpty)
            }
            // Long enough for a probe in each direction.
            try await Task.sleep(until: start + .seconds(5))
            let lines = etcdServer.log.split(separator: "\n").dropFirst(said)
            #expect(
                !lines.contains { line in ["martlet", "prob", "malformed", "\"error\""].contains { line.contains($0) }
                },
                "etcd says: \(lines.joined(separator: "\n"))")
        }
    }

    private static func metrics(of server: ServerProcess) async throws -> String {
        try await Subprocess.run(
            "/usr/bin/curl", ["-s", "http://\(server.endpoint)/metrics"], timeout: .seconds(10)
        ).text
    }
}
