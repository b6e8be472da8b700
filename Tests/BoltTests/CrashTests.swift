import Base
import Bolt
import Platform
import PlatformSim
import Testing

/// Stops the disk at each sync of a workload and opens what every kind of crash leaves.
@Suite struct CrashTests {
    static let commits = 9

    /// Runs the workload until the disk stops. `states[i]` is the content after i commits.
    private func run(_ seed: UInt64, on disk: SimDisk) -> (acknowledged: Int, states: [Model], error: BoltError?) {
        var workload = Workload(seed: seed, largest: 6000)
        var states = [Model()]
        var acknowledged = 0
        do {
            let database = try Database.open("db", on: disk, options: smallOptions(pageSize: 1024))
            while acknowledged < Self.commits {
                let tx = try database.beginWrite()
                var model = states[acknowledged]
                // A marker, so that no two states are alike.
                try tx.createBucketIfMissing([0]).put([1], [UInt8(acknowledged)])
                model.buckets[[0]] = model.buckets[[0]] ?? Model()
                model.change([[0]]) { $0.values[[1]] = [UInt8(acknowledged)] }
                try workload.transaction(tx, &model, steps: 25)
                states.append(model)
                try tx.commit()
                acknowledged += 1
            }
            return (acknowledged, states, nil)
        } catch let error as BoltError {
            return (acknowledged, states, error)
        } catch {
            Issue.record("seed \(seed): \(error)")
            return (acknowledged, states, nil)
        }
    }

    @Test(arguments: 1...4)
    func everySync(seed: Int) throws {
        let whole = SimDisk()
        #expect(run(UInt64(seed), on: whole).acknowledged == Self.commits)
        #expect(whole.syncCount >= 2 * Self.commits)
        for sync in 1...whole.syncCount {
            let disk = SimDisk()
            disk.stop(atSync: sync)
            let (acknowledged, states, error) = run(UInt64(seed), on: disk)
            #expect(error != nil, "seed \(seed), sync \(sync)")
            for policy in CrashPolicy.all(seeds: 0..<3) {
                try inspect(
                    disk.crash(policy), acknowledged: acknowledged, states: states,
                    context: "seed \(seed), sync \(sync), \(policy)")
            }
        }
    }

    /// What a crash left must be the last acknowledged state or the one whose commit was in flight, fit to go on with.
    private func inspect(_ disk: SimDisk, acknowledged: Int, states: [Model], context: String) throws {
        let options = smallOptions(pageSize: 1024)
        var database = try Database.open("db", on: disk, options: options)
        #expect(try database.check() == [], "\(context)")
        let found = try Model(database)
        let index = states.firstIndex(of: found)
        #expect(index == acknowledged || index == acknowledged + 1, "\(context): state \(index ?? -1)")
        guard let index else { return }
        let id = database.statistics.transactionID
        try database.close()

        // The version before is still whole as well, in case that the newest meta page is lost.
        if index > 0 {
            let damaged = disk.crash(.keepUnsynced)
            try damaged.flipBit(0, at: Int64(id % 2) * 1024 + 40, of: "db")
            let older = try Database.open("db", on: damaged, options: options)
            #expect(try Model(older) == states[index - 1], "\(context), older meta page")
            #expect(try older.check() == [], "\(context), older meta page")
        }

        database = try Database.open("db", on: disk, options: options)
        let tx = try database.beginWrite()
        var model = found
        var workload = Workload(seed: 99, largest: 3000)
        try workload.transaction(tx, &model, steps: 10)
        try tx.commit()
        try database.close()
        database = try Database.open("db", on: disk, options: options)
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
