import Base
import Bolt
import Foundation
import Platform
import PlatformSim
import TestSupport
import Testing

/// Damaged files without our checksums, as bbolt writes them, give an error or do no harm.
@Suite struct CorruptionTests {
    /// A file with nested and inline buckets, branches and overflow pages.
    private func sample(pageSize: Int) throws -> [UInt8] {
        let disk = SimDisk()
        var options = smallOptions(pageSize: pageSize)
        options.persistFreelist = pageSize == 2048
        let database = try Database.open("db", on: disk, options: options)
        var workload = Workload(seed: 5, largest: 3 * pageSize)
        var model = Model()
        for _ in 0..<6 {
            let tx = try database.beginWrite()
            try workload.transaction(tx, &model, steps: 30)
            try tx.commit()
        }
        let size = Int(try database.beginRead().size)
        try database.close()
        return unsealed(Array(try disk.contents(of: "db").prefix(size)), pageSize: pageSize)
    }

    /// The same file without what this library adds to the format.
    private func unsealed(_ file: [UInt8], pageSize: Int) -> [UInt8] {
        var file = file
        for meta in 0..<2 {
            file.replaceSubrange(meta * pageSize + 80..<meta * pageSize + 120, with: repeatElement(0, count: 40))
        }
        for end in stride(from: 3 * pageSize, through: file.count, by: pageSize)
        where file[end - 16..<end - 8].elementsEqual(bytes("martlet1")) {
            file.replaceSubrange(end - 16..<end, with: repeatElement(0, count: 16))
        }
        return file
    }

    /// Uses a damaged file in every way. What it does not survive are traps.
    private func use(_ file: [UInt8], seed: UInt64) throws -> BoltError? {
        let disk = SimDisk()
        try disk.install(file, at: "db")
        do throws(BoltError) {
            let database = try Database.open("db", on: disk, options: smallOptions())
            _ = try database.check()
            var failure: BoltError?
            do throws(BoltError) { _ = try Model(database) } catch { failure = error }
            let read = try database.beginRead()
            for name in (try? read.bucketNames()) ?? [] {
                guard let bucket = try read.bucket(name) else { continue }
                for i in 0..<20 { _ = try bucket.get([0x6B, UInt8(i / 2), UInt8(i * 11)]) }
                var cursor = bucket.cursor()
                var steps = 0
                var more = try cursor.last()
                while more && steps < 5000 {
                    steps += 1
                    more = try cursor.previous()
                }
            }
            var model = Model()
            do throws(BoltError) { model = try Model(database) } catch { return error }
            try change(database, &model, seed)
            return failure
        } catch { return error }
    }

    private func change(_ database: Database, _ model: inout Model, _ seed: UInt64) throws(BoltError) {
        var workload = Workload(seed: seed)
        let tx = try database.beginWrite()
        do {
            try workload.transaction(tx, &model, steps: 15)
        } catch let error as BoltError {
            throw error
        } catch {
            // The damage made the transaction's answers differ from the model's.
        }
        try tx.commit()
    }

    @Test(arguments: [1024, 2048, 4096])
    func bitFlips(pageSize: Int) throws {
        let file = try sample(pageSize: pageSize)
        #expect(try use(file, seed: 0) == nil)
        var errors = 0
        for seed in 0..<UInt64(150) {
            var random = SeededGenerator(seed: seed)
            var damaged = file
            // Half of them where the structure is: in the first bytes of a page.
            var offset = random.next(below: file.count)
            if random.chance(1, in: 2) { offset = offset / pageSize * pageSize + random.next(below: 64) }
            damaged[offset] ^= 1 << UInt8(random.next(below: 8))
            if try use(damaged, seed: seed) != nil { errors += 1 }
        }
        #expect(errors > 10, "page size \(pageSize)")
    }

    /// What bbolt's check refuses (`etcdutl snapshot status` runs it), ours refuses as well. The reverse does not hold:
    /// ours also looks at the order of keys and the depth of leaves.
    @Test func agreesWithBbolt() async throws {
        guard let etcdutl = Programs.etcdutl(for: "bbolt's check of damaged files") else { return }
        let pageSize = 1024
        let file = try sample(pageSize: pageSize)
        let directory = try PackageFiles.temporaryDirectory("damaged")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var (both, onlyOurs) = (0, 0)
        for seed in 0..<UInt64(isSoak ? 600 : 40) {
            var random = SeededGenerator(seed: seed &+ 5000)
            var damaged = file
            let page = 2 + random.next(below: file.count / pageSize - 2)
            // The header or the first elements of a page.
            damaged[page * pageSize + random.next(below: 64)] ^= 1 << UInt8(random.next(below: 8))
            let disk = SimDisk()
            try disk.install(damaged, at: "db")
            var isRefused = true
            do throws(BoltError) {
                isRefused = try !Database.open("db", on: disk, options: smallOptions()).check().isEmpty
            } catch {}
            try Data(damaged).write(to: URL(fileURLWithPath: "\(directory)/db"))
            let status = try await Subprocess.run(etcdutl, ["snapshot", "status", "\(directory)/db"])
            if status.status != 0 {
                #expect(isRefused, "seed \(seed), page \(page): \(status.errorText.suffix(300))")
                both += 1
            } else if isRefused {
                onlyOurs += 1
            }
        }
        #expect(both > 3, "both refused \(both), only ours \(onlyOurs)")
    }

    @Test func garbagePages() throws {
        let pageSize = 1024
        let file = try sample(pageSize: pageSize)
        for seed in 0..<UInt64(150) {
            var random = SeededGenerator(seed: seed &+ 1000)
            var damaged = file
            let page = random.next(below: file.count / pageSize - 2) + 2
            let start = page * pageSize + (random.chance(1, in: 2) ? 16 : 0)
            for i in start..<min(start + random.next(below: pageSize), file.count) {
                damaged[i] = UInt8(truncatingIfNeeded: random.next())
            }
            _ = try use(damaged, seed: seed)
        }
    }

    @Test func truncation() throws {
        let file = try sample(pageSize: 1024)
        for seed in 0..<UInt64(60) {
            var random = SeededGenerator(seed: seed)
            let error = try use(Array(file.prefix(1 + random.next(below: file.count - 1))), seed: seed)
            #expect(error != nil, "seed \(seed)")
        }
    }

    @Test func metaPages() throws {
        let disk = SimDisk()
        let options = smallOptions()
        let database = try Database.open("db", on: disk, options: options)
        try database.close()
        let file = Array(try disk.contents(of: "db").prefix(3 * 4096))
        let cases: [(name: String, offsets: [Int], text: String)] = [
            ("magic", [16, 4096 + 16], "invalid database: db: expected magic number 0xed0cdaed at offset 16"),
            ("version", [20, 4096 + 20], "version mismatch: db: expected format version 2, found 3"),
            ("checksum", [64, 4096 + 64], "checksum error: db: meta page 0: expected 0x"),
        ]
        for (name, offsets, text) in cases {
            var damaged = file
            damaged[offsets[0]] ^= 1
            try disk.install(damaged, at: "half")
            #expect(try Model(Database.open("half", on: disk, options: options)) == Model(), "\(name)")
            damaged[offsets[1]] ^= 1
            try disk.install(damaged, at: "db")
            let error = #expect(throws: BoltError.self, "\(name)") {
                _ = try Database.open("db", on: disk, options: options)
            }
            #expect(error?.description.hasPrefix(text) == true, "\(name): \(String(describing: error))")
        }
        try disk.install(bytes("not a database"), at: "foreign")
        let error = #expect(throws: BoltError.self) { _ = try Database.open("foreign", on: disk, options: options) }
        #expect(error?.description.hasPrefix("invalid database: foreign") == true)
        #expect(try disk.contents(of: "foreign") == bytes("not a database"))
    }
}
