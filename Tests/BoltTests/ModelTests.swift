import Base
import Bolt
import PlatformSim
import Testing

/// Random transactions against a model, with reopening and checking.
@Suite struct ModelTests {
    @Test(arguments: [(1, 1024), (2, 1024), (3, 4096), (4, 4096), (5, 16384), (6, 65536), (7, 2048), (8, 4096)])
    func randomTransactions(seed: Int, pageSize: Int) throws {
        let disk = SimDisk()
        var random = SeededGenerator(seed: UInt64(seed) &* 1000)
        var workload = Workload(seed: UInt64(seed), largest: 5 * pageSize)
        var options = smallOptions(pageSize: pageSize)
        options.persistFreelist = seed % 3 == 0
        var database = try Database.open("db", on: disk, options: options)
        var model = Model()
        for round in 0..<30 {
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
                try database.close()
                database = try Database.open("db", on: disk, options: options)
            }
            guard round % 5 == 4 else { continue }
            #expect(try database.check() == [], "seed \(seed), round \(round)")
            let found = try Model(database)
            #expect(found == model, "seed \(seed), round \(round)")
        }
        #expect(!model.buckets.isEmpty, "seed \(seed) did nothing")
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
