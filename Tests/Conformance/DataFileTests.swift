import EtcdProto
import Foundation
import TestSupport
import Testing

/// The data directory goes back and forth between the programs.
@Suite(.serialized) struct DataFileTests {
    /// A small history: overwrites, deletes, a transaction, a compaction.
    static let history: [KVRequest] =
        (0..<200).map { EdgeCase.put("k\($0 % 40)", value: "value \($0)") }
        + [EdgeCase.delete("k1"), EdgeCase.delete("k20", end: "k25"), EdgeCase.compact(150)]
        + (0..<20).map { EdgeCase.put("k\($0)", value: "late \($0)") }
        + [EdgeCase.txn([EdgeCase.putOp("t1"), EdgeCase.putOp("t2"), EdgeCase.deleteOp("k3")])]

    static func everything(_ server: ServerProcess) async throws -> (kvs: [Mvccpb_KeyValue], hash: UInt32) {
        let client = try await UnaryClient.connect(to: server)
        let keys = try await client.call(EdgeCase.range("\0", end: "\0"))
        let hash = try await client.call(EdgeCase.hash(0))
        await client.close()
        guard case .range(let range) = keys, case .hashKV(let checksum) = hash else {
            Issue.record("\(keys.text.prefix(200)), \(hash.text)")
            return ([], 0)
        }
        return (range.kvs, checksum.hash)
    }

    static func write(_ requests: [KVRequest], to server: ServerProcess) async throws {
        let client = try await UnaryClient.connect(to: server)
        for request in requests {
            if case .failure(let code, let message) = try await client.call(request) {
                Issue.record("\(request.text): \(code) \(message)")
            }
        }
        await client.close()
    }

    /// etcd's own tool checks the file and restores it; etcd 3.5.1 serves what comes out.
    @Test func etcdRestoresMartletsBackend() async throws {
        let purpose = "backend file in etcd 3.5.1"
        guard let martlet = Programs.martlet(for: purpose), let etcd = Programs.etcd35(for: purpose),
            let etcdutl = Programs.etcdutl(for: purpose)
        else { return }
        let directory = try PackageFiles.temporaryDirectory("restore")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let server = try await ServerProcess.start(martlet, .init(dataDirectory: directory + "/martlet"))
        try await Self.write(Self.history, to: server)
        let written = try await Self.everything(server)
        await server.stop()

        let backend = directory + "/martlet/member/snap/db"
        let status = try await Subprocess.run(etcdutl, ["snapshot", "status", backend, "-w", "json"])
        #expect(status.status == 0, "\(status.errorText)")
        struct Status: Decodable { var revision: Int64 }
        let revision = try JSONDecoder().decode(Status.self, from: Data(status.output)).revision
        #expect(revision == written.kvs.map(\.modRevision).max())

        let restored = ServerProcess.Options(dataDirectory: directory + "/etcd")
        let peer = "http://127.0.0.1:\(restored.peerPort)"
        let restore = try await Subprocess.run(
            etcdutl,
            [
                "snapshot", "restore", backend, "--skip-hash-check", "--data-dir", restored.dataDirectory, "--name",
                "m1",
                "--initial-cluster", "m1=\(peer)", "--initial-advertise-peer-urls", peer,
            ])
        #expect(restore.status == 0, "\(restore.errorText)")
        let reader = try await ServerProcess.start(etcd, restored)
        let read = try await Self.everything(reader)
        #expect(read.kvs == written.kvs)
        #expect(read.hash == written.hash)
        await reader.stop()
    }

    /// Martlet takes over the data directory of a member of an older version, after an orderly end and after a kill.
    @Test(arguments: ["3.5", "3.4"], [true, false]) func martletOpensEtcdsDirectory(
        version: String, killed: Bool
    ) async throws {
        let purpose = "data directory of etcd \(version)"
        guard let martlet = Programs.martlet(for: purpose),
            let etcd = version == "3.5" ? Programs.etcd35(for: purpose) : Programs.etcd34(for: purpose)
        else { return }
        let directory = try PackageFiles.temporaryDirectory("takeover")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let options = ServerProcess.Options(dataDirectory: directory + "/data")
        let server = try await ServerProcess.start(etcd, options)
        try await Self.write(Self.history, to: server)
        let written = try await Self.everything(server)
        if killed { await server.crash() } else { await server.stop() }

        let successor = try await ServerProcess.start(martlet, options)
        let read = try await Self.everything(successor)
        #expect(read.kvs == written.kvs)
        #expect(read.hash == written.hash)
        try await Self.write([EdgeCase.put("more", value: "1")], to: successor)
        let now = try await Self.everything(successor)
        await successor.crash()
        let again = try await ServerProcess.start(martlet, options)
        let afterwards = try await Self.everything(again)
        #expect(afterwards.kvs == now.kvs)
        #expect(afterwards.hash == now.hash)
        await again.stop()
    }
}
