import Bolt
import PlatformSim
import TestSupport
import Testing

/// The example of docs/formats/bolt.md, byte by byte.
@Suite struct FormatTests {
    @Test func exampleOfTheDocumentation() throws {
        let disk = SimDisk()
        let database = try Database.open("db", on: disk, options: smallOptions())
        let tx = try database.beginWrite()
        try tx.createBucketIfMissing(bytes("b")).put(bytes("k"), bytes("v"))
        try tx.commit()
        let file = try disk.contents(of: "db")
        let leaf = Hex.bytes(
            """
            03 00 00 00 00 00 00 00 02 00 01 00 00 00 00 00
            01 00 00 00 10 00 00 00 01 00 00 00 32 00 00 00
            62
            00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            00 00 00 00 00 00 00 00 02 00 01 00 00 00 00 00
            00 00 00 00 10 00 00 00 01 00 00 00 01 00 00 00
            6b 76
            """)
        #expect(Hex.text(file[3 * 4096..<3 * 4096 + leaf.count]) == Hex.text(leaf))
        #expect(file[3 * 4096 + leaf.count..<4 * 4096 - 16].allSatisfy { $0 == 0 })
        let seal = Hex.bytes("6d 61 72 74 6c 65 74 31 3f f1 e9 f2 db 1c 19 3b")
        #expect(Hex.text(file[4 * 4096 - 16..<4 * 4096]) == Hex.text(seal))
        let meta = Hex.bytes(
            """
            00 00 00 00 00 00 00 00 04 00 00 00 00 00 00 00
            ed da 0c ed 02 00 00 00 00 10 00 00 00 00 00 00
            03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
            ff ff ff ff ff ff ff ff 04 00 00 00 00 00 00 00
            02 00 00 00 00 00 00 00 e6 7d 87 1f 1d 80 59 c7
            4d 61 72 74 6c 65 74 4d 02 00 00 00 00 00 00 00
            01 00 00 00 00 00 00 00 03 00 00 00 00 00 00 00
            7d 4a 0e 52 3c ff 81 97
            """)
        #expect(Hex.text(file[0..<meta.count]) == Hex.text(meta))
    }
}
