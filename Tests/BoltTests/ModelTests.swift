import Base
import Bolt
import Foundation
import PlatformSim
import TestSupport
import Testing

/// Random transactions against a model, with reopening and checking.
@Suite struct ModelTests {
    /// Seeds with page sizes; in the long form some fifteen million puts and deletes.
    static let runs: [(seed: Int, pageSize: Int)] = (1...(isSoak ? 60 : 8)).map { seed in
        (seed, [4096, 1024, 2048, 4096, 8192, 16384, 32768, 65536][seed % 8])
    }

    @Test(arguments: runs)
    func randomTransactions(seed: Int, pageSize: Int) async throws {
        let disk = SimDisk()
        var random = SeededGenerator(seed: UInt64(seed) &* 1000)
        var workload = Workload(seed: UInt64(seed), largest: 5 * pageSize)
        var options = smallOptions(pageSize: pageSize)
        options.persistFreelist = seed % 3 == 0
        var database = try Database.open("db", on: disk, options: options)
        var model = Model()
        for round in 0..<(isSoak ? 300 : 30) {
            let tx = try database.beginWrite()
            var changed = model
            try workload.transaction(tx, &changed, steps: random.next(below: 40))
            if random.chance(1, in: 8) {
                tx.rollback()
            } else {
                try tx.commit()
                model = changed
            }
            if random.chance(1, in: 4) {
                let inUse = database.statistics.bytesInUse
                try database.close()
                database = try Database.open("db", on: disk, options: options)
                #expect(database.statistics.bytesInUse == inUse, "seed \(seed), round \(round)")
                #expect(try database.check() == [], "seed \(seed), round \(round)")
            }
            if round % 5 == 4 {
                let found = try Model(database)
                #expect(found == model, "seed \(seed), round \(round)")
            }
            if round % 100 == 29 { try await readByEtcdutl(disk, "seed \(seed), round \(round)") }
        }
        #expect(!model.buckets.isEmpty, "seed \(seed) did nothing")
    }

    /// `snapshot status` runs bbolt's own check of the file.
    private func readByEtcdutl(_ disk: SimDisk, _ context: String) async throws {
        guard let etcdutl = Programs.etcdutl(for: "etcdutl on a model's file") else { return }
        let directory = try PackageFiles.temporaryDirectory("model")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        try Data(try disk.contents(of: "db")).write(to: URL(fileURLWithPath: "\(directory)/db"))
        let status = try await Subprocess.run(etcdutl, ["snapshot", "status", "\(directory)/db"])
        #expect(status.status == 0, "\(context): \(status.errorText)")
    }

    /// Cursors of a write transaction see its changes, and go on when the item they are on is deleted.
    @Test(arguments: 1...4)
    func cursorsOfAWriteTransaction(seed: Int) throws {
        var workload = Workload(seed: UInt64(seed) &+ 177, largest: 2000)
        let database = try Database.open("db", on: SimDisk(), options: smallOptions(pageSize: 1024))
        var model = Model()
        for round in 0..<6 {
            let tx = try database.beginWrite()
            try workload.transaction(tx, &model, steps: 25)
            for name in model.buckets.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
                let bucket = try tx.bucket(path: [name])
                var keys = model.inner([name])?.keys ?? []
                var cursor = bucket.cursor()
                var found: [[UInt8]] = []
                var more = try cursor.first()
                while more {
                    found.append(cursor.key)
                    #expect(cursor.isBucket == (model.inner([name])?.buckets[cursor.key] != nil))
                    if !cursor.isBucket { #expect(cursor.value == model.inner([name])?.values[cursor.key]) }
                    if !cursor.isBucket, workload.random.chance(1, in: 9) {
                        let deleted = cursor.key
                        try bucket.delete(deleted)
                        model.change([name]) { $0.values[deleted] = nil }
                    }
                    more = try cursor.next()
                }
                #expect(found == keys, "seed \(seed), round \(round)")
                keys = model.inner([name])?.keys ?? []
                found = []
                more = try cursor.last()
                while more {
                    found.append(cursor.key)
                    more = try cursor.previous()
                }
                #expect(Array(found.reversed()) == keys, "seed \(seed), round \(round)")
                for _ in 0..<20 {
                    let number = workload.random.next(below: 3300)
                    let target: [UInt8] = [0x6B, UInt8(number >> 8), UInt8(number & 255)]
                    let expected = keys.first { !$0.lexicographicallyPrecedes(target) }
                    #expect(try (cursor.seek(target) ? cursor.key : nil) == expected, "seed \(seed), key \(target)")
                }
            }
            try tx.commit()
            #expect(try Model(database) == model, "seed \(seed), round \(round)")
        }
    }

    @Test(arguments: 1...6)
    func cursorsFollowTheModel(seed: Int) throws {
        var workload = Workload(seed: UInt64(seed) &+ 77, largest: 3000)
        let database = try Database.open("db", on: SimDisk(), options: smallOptions(pageSize: 1024))
        var model = Model()
        for _ in 0..<8 {
            let tx = try database.beginWrite()
            try workload.transaction(tx, &model, steps: 30)
            try tx.commit()
        }
        let read = try database.beginRead()
        for name in try read.bucketNames() {
            let found = try read.bucket(name)
            let bucket = try #require(found)
            let keys = model.inner([name])?.keys ?? []
            var cursor = bucket.cursor()
            var more = try cursor.last()
            var backward: [[UInt8]] = []
            while more {
                backward.append(cursor.key)
                more = try cursor.previous()
            }
            #expect(Array(backward.reversed()) == keys, "seed \(seed)")
            for _ in 0..<50 {
                let number = workload.random.next(below: 3300)
                let target: [UInt8] = [0x6B, UInt8(number >> 8), UInt8(number & 255)]
                let expected = keys.first { !$0.lexicographicallyPrecedes(target) }
                let hit = try cursor.seek(target)
                #expect((hit ? cursor.key : nil) == expected, "seed \(seed), key \(target)")
                guard hit, let index = keys.firstIndex(of: cursor.key) else { continue }
                #expect(try cursor.next() == (index + 1 < keys.count))
            }
        }
    }

    @Test func readsInsideTheTransaction() throws {
        let database = try Database.open("db", on: SimDisk(), options: smallOptions())
        let tx = try database.beginWrite()
        let bucket = try tx.createBucketIfMissing(bytes("b"))
        var run = SortedRun()
        for i in 0..<2000 {
            run.append(key: [UInt8(i >> 8), UInt8(i & 255)], value: [UInt8](repeating: 7, count: 100))
        }
        try bucket.putSorted(run)
        // These pages are laid out already, and change once more.
        try bucket.put([1, 0], bytes("new"))
        #expect(try bucket.get([1, 0]) == bytes("new"))
        #expect(try bucket.get([2, 0])?.count == 100)
        #expect(try bucket.delete([2, 0]))
        #expect(try bucket.delete([2, 0]) == false)
        #expect(try bucket.get([2, 0]) == nil)
        try tx.commit()
        #expect(try database.check() == [])
        let model = try Model(database)
        #expect(model.inner([bytes("b")])?.values.count == 1999)
        #expect(model.inner([bytes("b")])?.values[[1, 0]] == bytes("new"))
    }
}
