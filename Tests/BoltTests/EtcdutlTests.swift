import Base
import Bolt
import Foundation
import PlatformLinux
import TestSupport
import Testing

/// What we write is opened and checked by the real `etcdutl snapshot status`, which runs bbolt's own consistency check.
@Suite struct EtcdutlTests {
    struct Status: Decodable {
        var hash: UInt32
        var revision: Int64
        var totalKey: Int
        var totalSize: Int64
    }

    private func revisionKey(_ main: Int64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: main >> (56 - 8 * $0)) } + [0x5F] + [UInt8](repeating: 0, count: 8)
    }

    @Test(arguments: [(1, false), (2, false), (3, true), (4, false), (5, true), (6, false)])
    func acceptsRandomDatabases(seed: Int, persistFreelist: Bool) async throws {
        guard let etcdutl = Programs.etcdutl(for: "etcdutl on our files") else { return }
        let directory = try PackageFiles.temporaryDirectory("bolt")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let path = "\(directory)/db"
        var random = SeededGenerator(seed: UInt64(seed))
        var workload = Workload(seed: UInt64(seed) &+ 500)
        var options = Database.Options()
        options.persistFreelist = persistFreelist
        let database = try Database.open(path, on: LinuxDisk(), options: options)
        var revision: Int64 = 1
        var oldest: Int64 = 2
        var model = Model()
        for round in 0..<25 {
            let tx = try database.beginWrite()
            try tx.createBucketIfMissing(bytes("key"))
            var run = SortedRun()
            for _ in 0..<(1 + random.next(below: 600)) {
                revision += 1
                run.append(
                    key: revisionKey(revision), value: [UInt8](repeating: 5, count: random.next(below: 400)))
            }
            try tx.putSorted(run, in: bytes("key"))
            try workload.transaction(tx, &model, steps: random.next(below: 30))
            if round % 4 == 3 {
                // Compaction: scattered or whole stretches of old revisions, never the last one.
                var keys = SortedRun()
                let step = Int64(1 + random.next(below: 3))
                for main in stride(from: oldest, to: (oldest + revision) / 2, by: Int(step)) {
                    keys.append(key: revisionKey(main))
                }
                try tx.deleteSorted(keys, in: bytes("key"))
                oldest = (oldest + revision) / 2
            }
            try tx.commit()
        }
        #expect(try database.check() == [], "seed \(seed)")
        let size = database.statistics.size
        let (hash, count) = try hashOfEverything(database)
        try database.close()

        let result = try await Subprocess.run(etcdutl, ["snapshot", "status", "-w", "json", path])
        try #require(result.status == 0, "seed \(seed): \(result.errorText)")
        let status = try JSONDecoder().decode(Status.self, from: Data(result.output))
        #expect(status.hash == hash && status.totalKey == count, "seed \(seed): \(status)")
        #expect(status.revision == revision && status.totalSize == size, "seed \(seed): \(status)")
    }

    /// The hash that `snapshot status` prints, and the number of items in all top-level buckets.
    private func hashOfEverything(_ database: Database) throws -> (UInt32, Int) {
        let read = try database.beginRead()
        defer { read.close() }
        var crc = CRC32C()
        var count = 0
        for name in try read.bucketNames() {
            let found = try read.bucket(name)
            let bucket = try #require(found)
            crc.update(name)
            var cursor = bucket.cursor()
            var more = try cursor.first()
            while more {
                cursor.withItemForHash(&crc)
                count += 1
                more = try cursor.next()
            }
        }
        return (crc.value, count)
    }
}

extension Cursor {
    fileprivate func withItemForHash(_ crc: inout CRC32C) {
        crc.update(key)
        crc.update(value)
    }
}
