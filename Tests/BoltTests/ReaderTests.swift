import Bolt
import PlatformSim
import Testing

/// Readers by name, what they hold up, and how much they may.
@Suite struct ReaderTests {
    private func commit(_ database: Database, _ generation: Int) throws {
        let tx = try database.beginWrite()
        try tx.createBucketIfMissing([1])
        for i in 0..<100 { try tx.put([UInt8(i)], [UInt8](repeating: UInt8(generation), count: 400), in: [1]) }
        try tx.commit()
    }

    @Test func reportsWhoHoldsWhat() throws {
        let database = try Database.open("db", on: SimDisk(), options: smallOptions())
        for generation in 1...3 { try commit(database, generation) }
        let old = try database.beginRead(named: "old range")
        try commit(database, 4)
        let copy = try database.beginCopy(named: "snapshot")
        try commit(database, 5)
        try commit(database, 6)
        let reports = database.readers
        #expect(reports.map(\.name) == ["old range", "snapshot"])
        #expect(reports.map(\.versionsBehind) == [3, 2])
        #expect(reports[0].heldBytes > reports[1].heldBytes && reports[1].heldBytes > 2 * 10 * 4096)
        #expect(reports.allSatisfy { !$0.isExpired })
        let pending = database.statistics.pendingPages
        old.close()
        copy.close()
        #expect(database.readers == [])
        for generation in 7...9 { try commit(database, generation) }
        #expect(database.statistics.pendingPages < pending)
    }

    /// A reader that holds up too much is refused. Its pages come back when it is closed; a copy's at once.
    @Test func holdingUpTooMuchIsRefused() throws {
        var options = smallOptions()
        options.maxHeldBytes = 100 * 4096
        let database = try Database.open("db", on: SimDisk(), options: options)
        for generation in 1...3 { try commit(database, generation) }
        let read = try database.beginRead(named: "forgotten")
        let found = try read.bucket([1])
        let bucket = try #require(found)
        var cursor = bucket.cursor()
        #expect(try cursor.first())
        let copy = try database.beginCopy(named: "stuck")
        var generation = 4
        while database.readers.count == 2 {
            #expect(try bucket.get([7])?.first == 3)
            #expect(try copy.read(at: 0, count: 100).count == 100)
            try commit(database, generation)
            generation += 1
            try #require(generation < 40, "nobody is turned away")
        }
        #expect(throws: BoltError.readerExpired(name: "stuck")) { _ = try copy.read(at: 0, count: 100) }
        #expect(throws: BoltError.readerExpired(name: "forgotten")) { _ = try bucket.get([7]) }
        #expect(throws: BoltError.readerExpired(name: "forgotten")) { _ = try cursor.next() }
        #expect(throws: BoltError.readerExpired(name: "forgotten")) { _ = try read.bucketNames() }
        #expect(database.readers.map(\.name) == ["forgotten"])
        #expect(database.readers.first?.isExpired == true)

        // Its memory is still looked at by whoever has it, so its pages are kept until it goes.
        let held = database.statistics.pendingPages
        try commit(database, 41)
        #expect(database.statistics.pendingPages > held)
        read.close()
        for generation in 42...44 { try commit(database, generation) }
        #expect(database.statistics.pendingPages < 40)
        #expect(try database.check() == [])
    }
}
