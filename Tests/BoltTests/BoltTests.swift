import Bolt
import Platform
import PlatformSim
import Testing

@Suite struct BasicTests {
    @Test func putGetReopen() throws {
        let disk = SimDisk()
        var options = Database.Options()
        options.mapCapacity = 64 << 20
        var database = try Database.open("db", on: disk, options: options)
        var run = SortedRun()
        for i in 0..<20_000 { run.append(key: key(i), value: Array(repeating: UInt8(i & 255), count: i % 300)) }
        do {
            let tx = try database.beginWrite()
            try tx.createBucketIfMissing(Array("key".utf8))
            try tx.createBucketIfMissing(Array("meta".utf8))
            try tx.put([1], [2], in: Array("meta".utf8))
            try tx.putSorted(run, in: Array("key".utf8))
            let statistics = try tx.commit()
            #expect(statistics.transactionID == 2)
        }
        try database.close()
        database = try Database.open("db", on: disk, options: options)
        let read = try database.beginRead()
        let found = try read.bucket(Array("key".utf8))
        let bucket = try #require(found)
        for i in 0..<20_000 { #expect(try bucket.get(key(i)) == Array(repeating: UInt8(i & 255), count: i % 300)) }
        var cursor = bucket.cursor()
        var more = try cursor.first()
        var n = 0
        while more {
            #expect(cursor.key == key(n))
            n += 1
            more = try cursor.next()
        }
        #expect(n == 20_000)
        #expect(try read.bucket(Array("meta".utf8))?.get([1]) == [2])
    }

    func key(_ i: Int) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: i >> (56 - 8 * $0)) } + [0x5f] }
}
