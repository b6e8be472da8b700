import Base
import Bolt
import Platform
import PlatformSim
import Testing

/// The file becomes shorter by itself, a little with each commit.
@Suite struct ReclaimTests {
    private func rowKey(_ number: Int) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) } }

    /// Commits small changes until there is nothing left to move, and returns how many commits it took.
    @discardableResult
    private func settle(_ database: Database, changes: Bool = true) throws -> Int {
        var commits = 0
        while database.statistics.hasReclaimWork {
            let tx = try database.beginWrite()
            if changes { try tx.put([1], [UInt8(commits & 255)], in: bytes("meta")) }
            let statistics = try tx.commit()
            // A commit does a bounded part: what it moves, a page of overflow more than allowed at most.
            #expect(statistics.pagesMoved * database.pageSize <= (512 << 10) + 64 * database.pageSize)
            #expect(statistics.bytesCut <= 16 << 20)
            commits += 1
            try #require(commits < 5000, "it does not end: \(database.statistics)")
        }
        return commits
    }

    /// Writes rows of `count` bytes and deletes all but each `every`th in the order of writing.
    private func shrunken(
        _ disk: SimDisk, rows: Int, every: Int, count: (Int) -> Int
    ) throws -> (database: Database, live: Int) {
        let database = try Database.open("db", on: disk, options: smallOptions())
        var live = 0
        for start in stride(from: 0, to: rows, by: 500) {
            var run = SortedRun()
            for i in start..<min(rows, start + 500) {
                run.append(key: rowKey(i), value: [UInt8](repeating: UInt8(i & 255), count: count(i)))
                if i % every == 0 { live += count(i) + 24 }
            }
            let tx = try database.beginWrite()
            try tx.createBucketIfMissing(bytes("meta"))
            try tx.createBucketIfMissing(bytes("key"))
            try tx.putSorted(run, in: bytes("key"))
            try tx.commit()
        }
        for start in stride(from: 0, to: rows, by: 500) {
            var run = SortedRun()
            for i in start..<min(rows, start + 500) where i % every != 0 { run.append(key: rowKey(i)) }
            let tx = try database.beginWrite()
            try tx.deleteSorted(run, in: bytes("key"))
            try tx.commit()
        }
        return (database, live)
    }

    @Test(arguments: [(every: 20, large: false), (every: 3, large: false), (every: 5, large: true)])
    func fileShrinksToWhatIsLive(every: Int, large: Bool) throws {
        let disk = SimDisk()
        let (database, live) = try shrunken(disk, rows: 40_000, every: every) { i in
            large && i % 40 == 0 ? 30_000 : 250
        }
        let before = try Model(database)
        let commits = try settle(database)
        let figures = database.statistics
        #expect(Int(figures.size) < live * 3 / 2, "\(figures) for \(live) bytes after \(commits) commits")
        #expect(Int(figures.fileSize) < live * 3 / 2 + (256 << 10))
        #expect(try disk.contents(of: "db").count == Int(figures.fileSize))
        #expect(try database.check() == [])
        var after = try Model(database)
        after.buckets[bytes("meta")] = before.buckets[bytes("meta")]
        #expect(after == before)
        try database.close()
        let again = try Database.open("db", on: disk, options: smallOptions())
        #expect(again.statistics.bytesInUse == figures.bytesInUse)
        #expect(try again.check() == [])
    }

    /// Commits that change nothing else do it as well, and stop by themselves.
    @Test func emptyCommitsAreEnough() throws {
        let (database, live) = try shrunken(SimDisk(), rows: 20_000, every: 10) { _ in 300 }
        #expect(database.statistics.hasReclaimWork)
        try settle(database, changes: false)
        #expect(Int(database.statistics.size) < live * 3 / 2 + (64 << 10))
        let id = database.statistics.transactionID
        try database.beginWrite().commit()
        #expect(database.statistics.transactionID == id)
        #expect(try database.check() == [])
    }

    @Test func nothingMovesWithoutTheOption() throws {
        var options = smallOptions()
        options.reclaimBytes = 0
        let database = try Database.open("db", on: SimDisk(), options: options)
        var tx = try database.beginWrite()
        for i in 0..<400 { try tx.createBucketIfMissing([1]).put(rowKey(i), [UInt8](repeating: 1, count: 3000)) }
        try tx.commit()
        let size = database.statistics.size
        tx = try database.beginWrite()
        for i in 0..<399 { try tx.delete(rowKey(i), in: [1]) }
        try tx.commit()
        #expect(!database.statistics.hasReclaimWork)
        for i in 0..<20 {
            tx = try database.beginWrite()
            try tx.put([1], [UInt8(i)], in: [1])
            #expect(try tx.commit().pagesMoved == 0)
        }
        #expect(database.statistics.size >= size)
    }

    /// Nested buckets are walked through, however deep, and those whose roots move are found again.
    @Test(arguments: 1...6)
    func bucketsInsideBuckets(seed: Int) throws {
        let disk = SimDisk()
        var options = smallOptions(pageSize: 1024)
        options.reclaimBytes = 8 << 10
        options.reclaimVisits = 8
        options.persistFreelist = seed % 2 == 0
        var database = try Database.open("db", on: disk, options: options)
        var workload = Workload(seed: UInt64(seed) &+ 4000, largest: 4000)
        var model = Model()
        var moved = 0
        var cuts = 0
        for round in 0..<60 {
            let tx = try database.beginWrite()
            try workload.transaction(tx, &model, steps: 20)
            // A large bucket that comes and goes leaves holes and a long file.
            if round % 10 == 3 {
                for i in 0..<400 {
                    try tx.createBucketIfMissing([9]).put(rowKey(i), [UInt8](repeating: 1, count: 200))
                }
            } else if round % 10 == 6 {
                try tx.deleteBucket([9])
            }
            moved += try tx.commit().pagesMoved
            if round % 10 == 9 {
                let before = database.statistics.size
                while database.statistics.hasReclaimWork {
                    let tx = try database.beginWrite()
                    moved += try tx.commit().pagesMoved
                }
                cuts += database.statistics.size < before ? 1 : 0
                #expect(try database.check() == [], "seed \(seed), round \(round)")
                #expect(try Model(database) == model, "seed \(seed), round \(round)")
                try database.close()
                database = try Database.open("db", on: disk, options: options)
            }
        }
        #expect(moved > 50 && cuts > 2, "seed \(seed): \(moved) pages moved, \(cuts) cuts")
    }

    /// An old reader sees its version whatever is moved, and the file is not cut below it.
    @Test func oldReadersKeepTheFile() throws {
        let disk = SimDisk()
        let (database, live) = try shrunken(disk, rows: 8000, every: 1) { _ in 300 }
        let read = try database.beginRead(named: "old")
        let whole = try Model(read.rootBucket)
        for start in stride(from: 0, to: 8000, by: 500) {
            var run = SortedRun()
            for i in start..<start + 500 where i % 10 != 0 { run.append(key: rowKey(i)) }
            let tx = try database.beginWrite()
            try tx.deleteSorted(run, in: bytes("key"))
            try tx.commit()
        }
        try settle(database)
        #expect(database.statistics.fileSize >= read.size)
        #expect(try Model(read.rootBucket) == whole)
        read.close()
        var tx = try database.beginWrite()
        try tx.put([1], [1], in: bytes("meta"))
        try tx.commit()
        try settle(database)
        #expect(Int(database.statistics.size) < live / 10 * 3 / 2)
        #expect(database.statistics.fileSize < read.size / 2)
        tx = try database.beginWrite()
        tx.rollback()
        #expect(try database.check() == [])
    }

    /// A file that cannot be cut stays long, and commits go on.
    @Test func cuttingMayFail() throws {
        let disk = SimDisk()
        let (database, _) = try shrunken(disk, rows: 8000, every: 10) { _ in 300 }
        var failure: DiskError?
        // Growing is not refused: only the cuts come now.
        disk.inject(Fault(.truncate, times: 1000, .fail(.io)))
        for i in 0..<200 where failure == nil {
            let tx = try database.beginWrite()
            try tx.put([1], [UInt8(i)], in: bytes("meta"))
            failure = try tx.commit().cutFailure
        }
        #expect(failure?.reason == .io)
        try settle(database)
        #expect(try database.check() == [])
    }
}
