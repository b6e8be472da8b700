import Base
import Bolt
import Platform
import PlatformSim
import Testing

/// Stops the disk at each sync of a workload and opens what every kind of crash leaves.
@Suite struct CrashTests {
    /// What each version held, by its transaction id, and the last one that was acknowledged.
    private struct Run {
        var states: [UInt64: Model] = [1: Model()]
        var acknowledged: UInt64 = 1
        var error: BoltError?
        var pagesMoved = 0
        var bytesCut: Int64 = 0
    }

    enum Kind: CaseIterable {
        /// Puts, deletes, runs, bucket changes.
        case changes
        /// The same with a large bucket that comes and goes, so that pages are moved, leaves joined and the file cut;
        /// commits that do nothing else; a reader that keeps an old version for a while; a value that a commit syncs in
        /// pieces.
        case reclaim

        var commits: Int { self == .changes ? 9 : 22 }

        var options: Database.Options {
            var options = smallOptions(pageSize: 1024)
            if self == .reclaim {
                options.reclaimBytes = 24 << 10
                options.reclaimVisits = 48
            }
            return options
        }
    }

    /// Runs the workload until the disk stops.
    private func run(_ kind: Kind, _ seed: UInt64, on disk: SimDisk) -> Run {
        var run = Run()
        var workload = Workload(seed: seed, largest: kind == .changes ? 6000 : 2000)
        do {
            let database = try Database.open("db", on: disk, options: kind.options)
            var model = Model()
            var reader: ReadTransaction?
            for step in 0..<kind.commits {
                let tx = try database.beginWrite()
                if kind == .changes || step % 5 != 4 {
                    // A marker, so that no two of these states are alike.
                    try tx.createBucketIfMissing([0]).put([1], [UInt8(step)])
                    model.buckets[[0]] = model.buckets[[0]] ?? Model()
                    model.change([[0]]) { $0.values[[1]] = [UInt8(step)] }
                    try workload.transaction(tx, &model, steps: kind == .changes ? 25 : 6)
                    if kind == .reclaim { try changeLargeBucket(tx, &model, step) }
                }
                run.states[tx.transactionID] = model
                let statistics = try tx.commit()
                run.acknowledged = database.statistics.transactionID
                run.pagesMoved += statistics.pagesMoved
                run.bytesCut += statistics.bytesCut
                if kind == .reclaim, step % 7 == 2 { reader = try database.beginRead() }
                if step % 7 == 4 { reader?.close() }
            }
        } catch let error as BoltError {
            run.error = error
        } catch {
            Issue.record("seed \(seed): \(error)")
        }
        return run
    }

    private func changeLargeBucket(_ tx: WriteTransaction, _ model: inout Model, _ step: Int) throws {
        let name: [UInt8] = [9]
        switch step {
        case 0, 8, 13:
            let bucket = try tx.createBucketIfMissing(name)
            model.buckets[name] = model.buckets[name] ?? Model()
            for i in 0..<150 {
                let key: [UInt8] = [UInt8(step), UInt8(i)]
                let value = [UInt8](repeating: UInt8(i), count: 150)
                try bucket.put(key, value)
                model.change([name]) { $0.values[key] = value }
            }
            if step == 8 {
                let large = [UInt8](repeating: 7, count: 1_100_000)
                try bucket.put([255], large)
                model.change([name]) { $0.values[[255]] = large }
            }
        case 2, 10, 15:
            // All but every fifth, which leaves leaves half empty.
            let bucket = try tx.bucket(path: [name])
            let keys = sorted(Array(model.inner([name])?.values.keys ?? [:].keys))
            for key in keys where key[key.count - 1] % 5 != 0 || key == [255] {
                try bucket.delete(key)
                model.change([name]) { $0.values[key] = nil }
            }
        case 17:
            try tx.deleteBucket(name)
            model.buckets[name] = nil
        default: break
        }
    }

    static let runs: [(kind: Kind, seed: Int)] =
        (1...(isSoak ? 40 : 3)).map { (.changes, $0) } + (1...(isSoak ? 40 : 1)).map { (.reclaim, $0) }

    @Test(arguments: runs)
    func everySync(kind: Kind, seed: Int) throws {
        let disk = SimDisk()
        let whole = run(kind, UInt64(seed), on: disk)
        #expect(whole.error == nil)
        #expect(disk.syncCount >= 2 * kind.commits)
        if kind == .reclaim { #expect(whole.pagesMoved > 20 && whole.bytesCut > 0) }
        for sync in 1...disk.syncCount {
            let disk = SimDisk()
            disk.stop(atSync: sync)
            let run = run(kind, UInt64(seed), on: disk)
            #expect(run.error != nil, "seed \(seed), sync \(sync)")
            for policy in CrashPolicy.all(seeds: 0..<3) {
                try inspect(disk.crash(policy), run, kind, context: "\(kind), seed \(seed), sync \(sync), \(policy)")
            }
        }
    }

    /// What a crash left must be the last acknowledged version or the one whose commit was in flight, fit to go on
    /// with.
    private func inspect(_ disk: SimDisk, _ run: Run, _ kind: Kind, context: String) throws {
        var database = try Database.open("db", on: disk, options: kind.options)
        #expect(try database.check() == [], "\(context)")
        let found = try Model(database)
        let id = database.statistics.transactionID
        #expect(id == run.acknowledged || id == run.acknowledged + 1, "\(context): version \(id)")
        #expect(found == run.states[id], "\(context): version \(id)")
        try database.close()

        // The version before is still whole as well, in case that the newest meta page is lost.
        if id > 1 {
            let damaged = disk.crash(.keepUnsynced)
            try damaged.flipBit(0, at: Int64(id % 2) * 1024 + 40, of: "db")
            let older = try Database.open("db", on: damaged, options: kind.options)
            #expect(older.notice != nil && older.statistics.transactionID == id - 1)
            #expect(try Model(older) == run.states[id - 1], "\(context), older meta page")
            #expect(try older.check() == [], "\(context), older meta page")
        }

        database = try Database.open("db", on: disk, options: kind.options)
        var model = found
        var workload = Workload(seed: 99, largest: 3000)
        for _ in 0..<2 {
            let tx = try database.beginWrite()
            try workload.transaction(tx, &model, steps: 6)
            try tx.commit()
        }
        try database.close()
        database = try Database.open("db", on: disk, options: kind.options)
        #expect(try Model(database) == model, "\(context), going on")
        #expect(try database.check() == [], "\(context), going on")
    }

    @Test func fullDiskUndoesTheCommit() throws {
        let disk = SimDisk()
        let database = try Database.open("db", on: disk, options: smallOptions())
        var tx = try database.beginWrite()
        try tx.createBucketIfMissing([1]).put([1], [1])
        try tx.commit()
        let before = try Model(database)
        disk.inject(Fault(.write, .failAfter(bytes: 100, .noSpace)))
        tx = try database.beginWrite()
        try tx.put([2], [UInt8](repeating: 2, count: 10_000), in: [1])
        #expect(throws: BoltError.self) { try tx.commit() }
        #expect(try Model(database) == before)
        #expect(try database.check() == [])
        // Nothing is unknown about the disk, so it goes on.
        tx = try database.beginWrite()
        try tx.put([2], [3], in: [1])
        try tx.commit()
        #expect(try database.check() == [])
    }

    @Test(arguments: [0, 1])
    func failedSyncEndsWriting(after: Int) throws {
        let disk = SimDisk()
        let database = try Database.open("db", on: disk, options: smallOptions())
        var tx = try database.beginWrite()
        try tx.createBucketIfMissing([1]).put([1], [1])
        try tx.commit()
        let before = try Model(database)
        disk.inject(Fault(.sync, after: after, .fail(.io)))
        tx = try database.beginWrite()
        try tx.put([2], [2], in: [1])
        #expect(throws: BoltError.self) { try tx.commit() }
        #expect(throws: BoltError.self) { _ = try database.beginWrite() }
        #expect(try Model(database) == before)
    }
}
