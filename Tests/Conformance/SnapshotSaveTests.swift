import EtcdProto
import Foundation
import TestSupport
import Testing

/// `etcdctl snapshot save` from Martlet while it is written to; etcd's own tools check what came out.
@Suite(.serialized) struct SnapshotSaveTests {
    @Test(arguments: ["3.5", "3.4"]) func etcdRestoresASavedSnapshot(version: String) async throws {
        let purpose = "snapshot save with etcdctl \(version)"
        guard let martlet = Programs.martlet(for: purpose), let etcd = Programs.etcd35(for: purpose),
            let etcdctl = Programs.etcdctl(version, for: purpose), let etcdutl = Programs.etcdutl(for: purpose)
        else { return }
        let directory = try PackageFiles.temporaryDirectory("snapshot")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let server = try await ServerProcess.start(martlet, .init(dataDirectory: directory + "/martlet"))
        let large = String(repeating: "v", count: 20_000)
        try await DataFileTests.write(
            DataFileTests.history + (0..<200).map { EdgeCase.put("large/\($0)", value: large) }, to: server)
        let before = try await DataFileTests.everything(server)

        let writer = Task {
            let client = try await UnaryClient.connect(to: server)
            var count = 0
            while !Task.isCancelled {
                _ = try await client.call(EdgeCase.put("during/\(count % 100)", value: large))
                count += 1
            }
            await client.close()
            return count
        }
        let file = directory + "/saved"
        let save = try await Subprocess.run(
            etcdctl, ["--endpoints", server.endpoint, "snapshot", "save", file], environment: ["ETCDCTL_API": "3"])
        #expect(save.status == 0, "\(save.errorText)")
        #expect(save.text.contains("Snapshot saved at \(file)"))
        writer.cancel()
        #expect(try await writer.value > 0)
        await server.stop()

        let status = try await Subprocess.run(etcdutl, ["snapshot", "status", file, "-w", "json"])
        #expect(status.status == 0, "\(status.errorText)")
        let restored = ServerProcess.Options(dataDirectory: directory + "/etcd")
        let peer = "http://127.0.0.1:\(restored.peerPort)"
        // The digest behind the data is checked here.
        let restore = try await Subprocess.run(
            etcdutl,
            [
                "snapshot", "restore", file, "--data-dir", restored.dataDirectory, "--name", "m1",
                "--initial-cluster", "m1=\(peer)", "--initial-advertise-peer-urls", peer,
            ])
        #expect(restore.status == 0, "\(restore.errorText)")
        let reader = try await ServerProcess.start(etcd, restored)
        let read = try await DataFileTests.everything(reader)
        // All that was acknowledged before is there, and nothing of what came later is torn.
        #expect(read.kvs.filter { !$0.key.starts(with: Data("during/".utf8)) } == before.kvs)
        #expect(read.kvs.allSatisfy { !$0.key.starts(with: Data("during/".utf8)) || $0.value == Data(large.utf8) })
        await reader.stop()
    }
}
