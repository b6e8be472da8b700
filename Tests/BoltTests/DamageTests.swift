import Base
import Bolt
import Platform
import PlatformSim
import Testing

/// Damaged files never answer wrongly in silence: what opens is the state that was written, or the version before it
/// with a notice, and otherwise an error says where the damage is.
@Suite struct DamageTests {
    /// A file of ours with nested and inline buckets, branches and overflow pages, and what its last two versions hold.
    private struct Sample {
        let bytes: [UInt8]
        let pageSize: Int
        let newest: Model
        let older: Model

        init(pageSize: Int, seed: UInt64) throws {
            let disk = SimDisk()
            var options = smallOptions(pageSize: pageSize)
            options.persistFreelist = seed % 2 == 0
            let database = try Database.open("db", on: disk, options: options)
            var workload = Workload(seed: seed, largest: 3 * pageSize)
            var model = Model()
            var before = model
            for _ in 0..<6 {
                before = model
                let tx = try database.beginWrite()
                // So that no two versions are alike.
                try tx.createBucketIfMissing([0]).setSequence(tx.transactionID)
                model.buckets[[0]] = model.buckets[[0]] ?? Model()
                model.buckets[[0]]?.sequence = tx.transactionID
                try workload.transaction(tx, &model, steps: 30)
                try tx.commit()
            }
            let size = Int(database.statistics.size)
            try database.close()
            bytes = Array(try disk.contents(of: "db").prefix(size))
            self.pageSize = pageSize
            (newest, older) = (model, before)
        }
    }

    private enum Outcome { case refused, same, older }

    /// Opens a damaged copy and says what it shows. Anything else than the sample's versions is recorded.
    private func outcome(
        _ damaged: [UInt8], of sample: Sample, fault: Fault? = nil, _ context: String
    ) throws -> Outcome {
        let disk = SimDisk()
        try disk.install(damaged, at: "db")
        if let fault { disk.inject(fault) }
        let model: Model
        let database: Database
        do throws(BoltError) {
            database = try Database.open("db", on: disk, options: smallOptions())
            model = try Model(database)
        } catch {
            guard error.description.contains("db") else { throw error }
            return .refused
        }
        #expect(try database.check() == [], "\(context)")
        if model == sample.newest { return .same }
        #expect(model == sample.older && database.notice != nil, "\(context): a wrong answer")
        return .older
    }

    /// One flipped bit at a random offset.
    @Test(arguments: [1024, 4096, 16384])
    func bitFlips(pageSize: Int) throws {
        let sample = try Sample(pageSize: pageSize, seed: UInt64(pageSize))
        #expect(try outcome(sample.bytes, of: sample, "undamaged") == .same)
        var counts: [Outcome: Int] = [:]
        for seed in 0..<UInt64(isSoak ? 4000 : 150) {
            var random = SeededGenerator(seed: seed &+ UInt64(pageSize) << 32)
            var damaged = sample.bytes
            // A tenth of them in the meta pages.
            let offset = random.next(below: random.chance(1, in: 10) ? 2 * pageSize : damaged.count)
            damaged[offset] ^= 1 << UInt8(random.next(below: 8))
            let outcome = try outcome(damaged, of: sample, "page size \(pageSize), seed \(seed), offset \(offset)")
            counts[outcome, default: 0] += 1
            // Behind the meta pages a flip is refused or hits what no version uses.
            #expect(outcome != .older || offset < 2 * pageSize, "seed \(seed), offset \(offset)")
        }
        #expect(counts[.refused, default: 0] > 20 && counts[.same, default: 0] > 10, "\(counts)")
    }

    /// Several bytes of a page replaced, a page in another's place, a page of zeros, an older page of the same number.
    @Test(arguments: [1024, 4096])
    func brokenPages(pageSize: Int) throws {
        let sample = try Sample(pageSize: pageSize, seed: UInt64(pageSize) + 1)
        let pages = sample.bytes.count / pageSize
        var refused = 0
        for seed in 0..<UInt64(isSoak ? 2000 : 150) {
            var random = SeededGenerator(seed: seed &+ 7000)
            var damaged = sample.bytes
            let page = 2 + random.next(below: pages - 2)
            let start = page * pageSize
            switch random.next(below: 3) {
            case 0:
                let from = start + random.next(below: pageSize)
                for i in from..<min(start + pageSize, from + 1 + random.next(below: 64)) {
                    damaged[i] = UInt8(truncatingIfNeeded: random.next())
                }
            case 1:
                let other = (2 + random.next(below: pages - 2)) * pageSize
                damaged.replaceSubrange(start..<start + pageSize, with: sample.bytes[other..<other + pageSize])
            default:
                damaged.replaceSubrange(start..<start + pageSize, with: repeatElement(0, count: pageSize))
            }
            let outcome = try outcome(damaged, of: sample, "page size \(pageSize), seed \(seed), page \(page)")
            #expect(outcome != .older, "seed \(seed)")
            refused += outcome == .refused ? 1 : 0
        }
        #expect(refused > 20)
    }

    /// Files that end early, and reads that give less than was asked for.
    @Test func shortFilesAndReads() throws {
        let sample = try Sample(pageSize: 1024, seed: 3)
        for seed in 0..<UInt64(isSoak ? 2000 : 100) {
            var random = SeededGenerator(seed: seed &+ 9000)
            let context = "seed \(seed)"
            let short = Array(sample.bytes.prefix(random.next(below: sample.bytes.count)))
            if !short.isEmpty { #expect(try outcome(short, of: sample, context) == .refused, "\(context)") }
            let fault = Fault(.read, after: random.next(below: 2), .shortRead(count: random.next(below: 121)))
            _ = try outcome(sample.bytes, of: sample, fault: fault, context)
        }
    }

    /// Damage that comes after the file was opened is not laid out anew as if it were good.
    @Test func damageUnderAnOpenDatabase() throws {
        var refusals = 0
        for seed in 0..<UInt64(isSoak ? 400 : 30) {
            var random = SeededGenerator(seed: seed &+ 300)
            let sample = try Sample(pageSize: 1024, seed: seed &+ 20)
            let disk = SimDisk()
            try disk.install(sample.bytes, at: "db")
            let database = try Database.open("db", on: disk, options: smallOptions())
            let offset = 2048 + random.next(below: sample.bytes.count - 2048)
            try disk.flipBit(random.next(below: 8), at: Int64(offset), of: "db")
            var workload = Workload(seed: seed, largest: 3000)
            var model = sample.newest
            do {
                for _ in 0..<4 {
                    let tx = try database.beginWrite()
                    try workload.transaction(tx, &model, steps: 20)
                    try tx.commit()
                }
            } catch {
                refusals += 1
                continue
            }
            // It went well, so the page was unused, or nobody has changed it: then its seal is still broken.
            let isSound = try database.check() == []
            if isSound { #expect(try Model(database) == model, "seed \(seed)") }
        }
        #expect(refusals > 3)
    }
}
