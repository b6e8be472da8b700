import Base
import Bolt
import Foundation
import Platform
import PlatformLinux
import PlatformSim
import Synchronization
import TestSupport
import Testing

@Suite struct DatabaseTests {
    @Test func locksAndLifeCycle() throws {
        let disk = SimDisk()
        let options = smallOptions()
        let database = try Database.open("db", on: disk, options: options)
        #expect(throws: BoltError.locked(file: "db")) { _ = try Database.open("db", on: disk, options: options) }
        let tx = try database.beginWrite()
        #expect(throws: BoltError.writerActive) { _ = try database.beginWrite() }
        #expect(throws: BoltError.writerActive) { try database.close() }
        try tx.createBucket([1])
        #expect(throws: BoltError.bucketExists) { try tx.createBucket([1]) }
        #expect(throws: BoltError.bucketNotFound) { try tx.put([1], [1], in: [2]) }
        #expect(throws: BoltError.keyRequired) { try tx.put([], [1], in: [1]) }
        #expect(throws: BoltError.keyTooLarge(count: 32769)) {
            try tx.put([UInt8](repeating: 1, count: 32769), [1], in: [1])
        }
        try tx.put([UInt8](repeating: 1, count: 32768), [1], in: [1])
        var run = SortedRun()
        run.append(key: [2])
        run.append(key: [2])
        #expect(throws: BoltError.unsorted(index: 1)) { try tx.putSorted(run, in: [1]) }
        #expect(throws: BoltError.incompatibleValue) { try tx.rootBucket.put([1], [1]) }
        try tx.commit()
        #expect(throws: BoltError.transactionEnded) { try tx.commit() }
        #expect(throws: BoltError.transactionEnded) { try tx.put([1], [1], in: [1]) }
        let read = try database.beginRead()
        try database.close()
        try database.close()
        #expect(try read.bucket([1])?.get([UInt8](repeating: 1, count: 32768)) == [1])
        #expect(throws: BoltError.closed) { _ = try database.beginRead() }
        #expect(throws: BoltError.closed) { _ = try database.beginWrite() }
        read.close()
        #expect(throws: BoltError.transactionEnded) { _ = try read.bucket([1]) }

        var readOnly = options
        readOnly.readOnly = true
        let again = try Database.open("db", on: disk, options: readOnly)
        #expect(throws: BoltError.readOnly(file: "db")) { _ = try again.beginWrite() }
        #expect(try again.check() == [])
    }

    /// Also while a reader keeps the mapping alive.
    @Test func closingReleasesTheLock() throws {
        let directory = try PackageFiles.temporaryDirectory("bolt")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let database = try Database.open("\(directory)/db", on: LinuxDisk())
        let read = try database.beginRead()
        try database.close()
        let again = try Database.open("\(directory)/db", on: LinuxDisk())
        #expect(try again.check() == [])
        #expect(try read.bucketNames() == [])
    }

    @Test func droppedTransactionRollsBack() throws {
        let database = try Database.open("db", on: SimDisk(), options: smallOptions())
        do {
            let tx = try database.beginWrite()
            try tx.createBucketIfMissing([1])
        }
        #expect(try Model(database) == Model())
        let tx = try database.beginWrite()
        #expect(try tx.commit().writeCalls == 0)
        #expect(database.statistics.transactionID == 1)
    }

    @Test func emptyFileBecomesADatabase() throws {
        let disk = SimDisk()
        try disk.install([], at: "dir/db")
        let database = try Database.open("dir/db", on: disk, options: smallOptions())
        #expect(try database.check() == [])
        #expect(try disk.list("dir") == ["db"])
    }

    @Test func fullAddressSpaceIsAnError() throws {
        var options = smallOptions()
        options.mapCapacity = 40 * 4096
        let database = try Database.open("db", on: SimDisk(), options: options)
        var tx = try database.beginWrite()
        try tx.createBucketIfMissing([1]).put([1], [1])
        try tx.commit()
        tx = try database.beginWrite()
        try tx.put([2], [UInt8](repeating: 0, count: 40 * 4096), in: [1])
        #expect(throws: BoltError.full(file: "db", capacity: 40 * 4096)) { try tx.commit() }
        tx = try database.beginWrite()
        try tx.put([2], [2], in: [1])
        try tx.commit()
        #expect(try database.check() == [])
    }

    @Test func inlineBucketsGrowAndShrink() throws {
        let database = try Database.open("db", on: SimDisk(), options: smallOptions())
        func isInline() throws -> Bool? { try database.beginRead().bucket([1])?.isInline }
        var tx = try database.beginWrite()
        try tx.createBucketIfMissing([1])
        try tx.commit()
        #expect(try isInline() == true)
        for (count, expected) in [(900, true), (1100, false), (5000, false), (900, true), (0, true)] {
            tx = try database.beginWrite()
            try tx.put([7], [UInt8](repeating: 9, count: count), in: [1])
            try tx.commit()
            #expect(try isInline() == expected, "\(count) bytes")
            #expect(try database.beginRead().bucket([1])?.get([7])?.count == count)
            #expect(try database.check() == [])
        }
        tx = try database.beginWrite()
        try tx.bucket([1])?.createBucket([8]).put([1], [2])
        try tx.commit()
        #expect(try isInline() == false)
        let inner = try database.beginRead().bucket([1])?.bucket([8])
        #expect(inner?.isInline == true)
        #expect(try inner?.get([1]) == [2])
        #expect(try database.beginRead().bucket([1])?.get([8]) == nil)
        #expect(throws: BoltError.incompatibleValue) { _ = try database.beginRead().bucket([1])?.bucket([7]) }
    }

    @Test(arguments: [4096, 8192, 16384, 32768, 65536])
    func pageSizes(pageSize: Int) throws {
        let disk = SimDisk()
        var database = try Database.open("db", on: disk, options: smallOptions(pageSize: pageSize))
        var tx = try database.beginWrite()
        try tx.createBucketIfMissing([1])
        var run = SortedRun()
        for i in 0..<3000 { run.append(key: [UInt8(i >> 8), UInt8(i & 255)], value: [UInt8](repeating: 1, count: 99)) }
        try tx.putSorted(run, in: [1])
        try tx.put([255], [UInt8](repeating: 3, count: 5 * pageSize + 17), in: [1])
        try tx.commit()
        try database.close()
        // The page size is the file's, whatever the options say; also when only the second meta page shows it.
        try disk.flipBit(3, at: 20, of: "db")
        database = try Database.open("db", on: disk, options: smallOptions())
        #expect(database.pageSize == pageSize)
        #expect(database.statistics.transactionID == 1)
        try database.close()
        try disk.flipBit(3, at: 20, of: "db")
        database = try Database.open("db", on: disk, options: smallOptions())
        #expect(try database.beginRead().bucket([1])?.get([255])?.count == 5 * pageSize + 17)
        #expect(try database.check() == [])
        tx = try database.beginWrite()
        try tx.deleteBucket([1])
        try tx.commit()
        #expect(try database.check() == [])
        #expect(database.statistics.pendingPages > 3)
        #expect(try Model(database) == Model())
    }

    /// Freed pages wait for the commit after next, then they are used before the file grows.
    @Test func freedPagesAreUsedAgain() throws {
        let database = try Database.open("db", on: SimDisk(), options: smallOptions())
        var sizes: [Int64] = []
        for round in 0..<30 {
            let tx = try database.beginWrite()
            try tx.createBucketIfMissing([1])
            for i in 0..<200 { try tx.put([UInt8(i)], [UInt8](repeating: UInt8(round), count: 100), in: [1]) }
            try tx.commit()
            sizes.append(database.statistics.size)
        }
        #expect(sizes[4] == sizes[29], "\(sizes)")
    }

    /// Readers on several threads, new and old ones, each see one version throughout.
    @Test func readersSeeOneVersion() async throws {
        let database = try Database.open("db", on: SimDisk(), options: smallOptions())
        func write(_ generation: UInt8) throws {
            let tx = try database.beginWrite()
            try tx.createBucketIfMissing([1])
            for i in 0..<300 { try tx.put([UInt8(i >> 8), UInt8(i & 255)], [generation], in: [1]) }
            try tx.put([255], [UInt8](repeating: generation, count: 6000), in: [1])
            try tx.commit()
        }
        try write(0)
        let flag = Flag()
        let old = try database.beginRead()
        try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<3 {
                group.addTask {
                    var versions = 0
                    while !flag.isDone.load(ordering: .relaxed) || versions == 0 {
                        let read = try database.beginRead()
                        for _ in 0..<3 { try expectOneGeneration(read, nil) }
                        versions += 1
                        await Task.yield()
                    }
                    return versions
                }
            }
            for generation in 1...60 {
                try write(UInt8(generation))
                if generation % 20 == 0 { try expectOneGeneration(old, 0) }
                await Task.yield()
            }
            flag.isDone.store(true, ordering: .relaxed)
            for try await versions in group { #expect(versions > 0) }
        }
        #expect(database.statistics.openReaders == 1)
        #expect(database.statistics.oldestReader == old.transactionID)
        try expectOneGeneration(old, 0)
        old.close()
        #expect(try database.check() == [])
    }
}

private final class Flag: Sendable {
    let isDone = Atomic<Bool>(false)
}

private func expectOneGeneration(_ read: ReadTransaction, _ expected: UInt8?) throws {
    let found = try read.bucket([1])
    let bucket = try #require(found)
    let generation = try bucket.get([0, 0])?.first
    if let expected { #expect(generation == expected) }
    var cursor = bucket.cursor()
    var more = try cursor.first()
    var count = 0
    while more {
        #expect(cursor.value.first == generation)
        count += 1
        more = try cursor.next()
    }
    #expect(count == 301)
}
