import Base
import Bolt
import Foundation
import PlatformLinux
import TestSupport
import Testing

/// Prints speeds; meant for release builds: `MARTLET_BENCH=1 swift test -c release --filter SpeedTests`.
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["MARTLET_BENCH"] != nil, "needs MARTLET_BENCH=1"))
struct SpeedTests {
    private static let batches = 100
    private static let batchSize = 10_000

    private func key(_ main: Int) -> [UInt8] {
        var key = [UInt8](repeating: 0, count: 17)
        for i in 0..<8 { key[i] = UInt8(truncatingIfNeeded: main >> (56 - 8 * i)) }
        key[8] = 0x5F
        return key
    }

    private func report(_ what: String, _ count: Int, _ duration: Duration) {
        let seconds = Double(duration.components.seconds) + Double(duration.components.attoseconds) / 1e18
        print("\(what): \(Int(Double(count) / seconds)) per second (\(count) in \(seconds) s)")
    }

    /// A million puts in batches of 10,000 with two small ones each, both syncs included; random gets; a compaction.
    @Test func appendGetCompact() throws {
        let directory = try PackageFiles.temporaryDirectory("bolt-speed")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let clock = ContinuousClock()
        let database = try Database.open("\(directory)/db", on: LinuxDisk())
        let value = [UInt8](repeating: 0x61, count: 256)
        var run = SortedRun()
        var writeCalls = 0
        var revision = 0
        let puts = try clock.measure {
            for batch in 0..<Self.batches {
                run.removeAll(keepingCapacity: true)
                for _ in 0..<Self.batchSize {
                    revision += 1
                    run.append(key: key(revision), value: value)
                }
                let tx = try database.beginWrite()
                try tx.createBucketIfMissing(bytes("key"))
                try tx.createBucketIfMissing(bytes("meta")).put(bytes("consistent_index"), key(batch))
                try tx.putSorted(run, in: bytes("key"))
                writeCalls += try tx.commit().writeCalls
            }
        }
        report("puts", revision, puts)
        print("write calls per commit: \(Double(writeCalls) / Double(Self.batches)); \(database.statistics)")

        let read = try database.beginRead()
        let found = try read.bucket(bytes("key"))
        let bucket = try #require(found)
        var random = SeededGenerator(seed: 1)
        let keys = (0..<Self.batchSize * 10).map { _ in key(1 + random.next(below: revision)) }
        var total = 0
        let gets = try clock.measure {
            for key in keys {
                total += try bucket.withValue(for: key) { (value) throws(BoltError) in value.count } ?? 0
            }
        }
        #expect(total == keys.count * 256)
        report("gets", keys.count, gets)

        var rows = 0
        let scan = try clock.measure {
            var cursor = bucket.cursor()
            var more = try cursor.first()
            while more {
                rows += cursor.isBucket ? 0 : 1
                more = try cursor.next()
            }
        }
        report("rows scanned", rows, scan)
        read.close()

        var removed = 0
        let deletes = try clock.measure {
            for start in stride(from: 1, to: revision, by: 20_000) {
                run.removeAll(keepingCapacity: true)
                for main in stride(from: start, to: start + 20_000, by: 2) { run.append(key: key(main)) }
                let tx = try database.beginWrite()
                removed += try tx.deleteSorted(run, in: bytes("key"))
                try tx.commit()
            }
        }
        report("scattered deletes", removed, deletes)
        try database.close()
        let opened = try clock.measure { _ = try Database.open("\(directory)/db", on: LinuxDisk()) }
        report("open, pages", 1, opened)
    }
}
