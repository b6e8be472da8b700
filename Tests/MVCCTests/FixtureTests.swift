import Base
import EtcdProto
import Foundation
import MVCC
import PlatformSim
import SwiftProtobuf
import TestSupport
import Testing

/// Stores that released etcd servers wrote, opened and compared with what those servers answered.
@Suite struct FixtureTests {
    private struct Expected: Decodable {
        struct KeyValue: Decodable, Equatable {
            var key: Data
            var create_revision: String?
            var mod_revision: String?
            var version: String?
            var value: Data?
            var lease: String?

            var message: Mvccpb_KeyValue {
                .with {
                    $0.key = key
                    $0.createRevision = Int64(create_revision ?? "0") ?? 0
                    $0.modRevision = Int64(mod_revision ?? "0") ?? 0
                    $0.version = Int64(version ?? "0") ?? 0
                    $0.value = value ?? Data()
                    $0.lease = Int64(lease ?? "0") ?? 0
                }
            }
        }
        enum State: Decodable {
            case kvs([KeyValue])
            case refused

            init(from decoder: any Swift.Decoder) throws {
                if let kvs = try? [KeyValue](from: decoder) { self = .kvs(kvs) } else { self = .refused }
            }
        }
        struct Hash: Decodable {
            var hash: UInt32?
            var compact_revision: Int64?
        }
        struct Lease: Decodable {
            var ID: String
            var grantedTTL: String
            var keys: [Data]
        }
        var current_revision: Int64
        var kv_at_revision: [String: State]
        var hashkv: [String: Hash]
        var leases: [Lease]
        var maintenance_hash: UInt32?
    }

    static let versions = ["etcd-3.4.23", "etcd-3.5.1", "etcd-3.6.14", "etcd-3.7.1"]

    @Test(arguments: versions) func singleMember(version: String) async throws {
        guard let fixtures = PackageFiles.fixtures(for: "\(version) single store") else { return }
        let store = try await open(fixtures, version, "single")
        let json = try await Subprocess.run("/usr/bin/gzip", ["-dc", "\(fixtures)/\(version)/single.expected.json.gz"])
        let expected = try JSONDecoder().decode(Expected.self, from: Data(json.output))
        #expect(store.store.currentRevision == expected.current_revision)
        #expect(store.store.compactRevision == 188)
        var compared = 0
        for (text, state) in expected.kv_at_revision.sorted(by: { $0.key < $1.key }) {
            let revision = try #require(Int64(text))
            switch state {
            case .kvs(let kvs):
                #expect(try store.all(revision) == kvs.map(\.message), "\(version) at \(revision)")
                compared += 1
            case .refused: #expect(refusal { _ = try store.all(revision) } == .compacted, "\(version) at \(revision)")
            }
        }
        #expect(compared >= 3)
        // The hash at the compaction itself was in the memory of the servers that had run it.
        for (text, hash) in expected.hashkv.sorted(by: { $0.key < $1.key }) where text != "188" {
            let revision = try #require(Int64(text))
            guard let value = hash.hash else {
                #expect(refusal { _ = try store.store.hashKV(revision) } == .compacted, "\(version) at \(revision)")
                continue
            }
            let found = try store.store.hashKV(revision)
            #expect(found.hash == value, "\(version) at \(revision)")
            #expect(found.compactRevision == hash.compact_revision ?? 0, "\(version) at \(revision)")
        }
        #expect(try store.store.hashKV(188).hash == 1_744_087_375, "\(version)")
        for lease in expected.leases {
            let id = LeaseID(try #require(Int64(lease.ID)))
            #expect(store.store.lease(id)?.timeToLive == Int64(lease.grantedTTL), "\(version) lease \(id)")
            #expect(store.store.keys(ofLease: id) == lease.keys.map { [UInt8]($0) }, "\(version) lease \(id)")
        }
        #expect(store.store.leaseRecords.count == expected.leases.count)
        // Older servers leave other rows of `meta` out of the hash of everything.
        if version == "etcd-3.6.14" || version == "etcd-3.7.1" {
            #expect(try store.store.hash() == expected.maintenance_hash, "\(version)")
        }
    }

    @Test(arguments: versions) func killedMember(version: String) async throws {
        guard let fixtures = PackageFiles.fixtures(for: "\(version) crash store") else { return }
        let store = try await open(fixtures, version, "crash")
        // The file is behind the log: it ends at entry 138.
        #expect(store.store.backend.consistentIndex == LogIndex(138))
        #expect(store.store.compactRevision == 30)
        #expect(try store.store.hashKV(50).hash == 3_637_509_142)
    }

    private func open(_ fixtures: String, _ version: String, _ archive: String) async throws -> TestStore {
        let directory = try PackageFiles.temporaryDirectory("mvcc")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let tar = try await Subprocess.run(
            "/usr/bin/tar",
            [
                "xzf", "\(fixtures)/\(version)/\(archive).tar.gz", "-C", directory, "--occurrence=1",
                "\(archive)/member/snap/db",
            ])
        try #require(tar.status == 0, "\(tar.errorText)")
        let disk = SimDisk()
        let bytes = try Data(contentsOf: URL(fileURLWithPath: "\(directory)/\(archive)/member/snap/db"))
        try disk.install([UInt8](bytes), at: TestStore.path)
        return try TestStore(on: disk)
    }
}
