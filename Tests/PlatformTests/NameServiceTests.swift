import Base
import PlatformLinux
import Testing

@Suite struct NameServiceTests {
    /// An answer to a question for `_s._tcp.d.`, with one record of each argument's type and data, owner by pointer.
    private func message(_ records: [(type: UInt8, data: [UInt8])], announced: UInt8? = nil) -> [UInt8] {
        var bytes: [UInt8] = [0, 1, 0x81, 0x80, 0, 1, 0, announced ?? UInt8(records.count), 0, 0, 0, 0]
        bytes += [2] + Array("_s".utf8) + [4] + Array("_tcp".utf8) + [1] + Array("d".utf8) + [0, 0, 33, 0, 1]
        for record in records {
            bytes += [0xC0, 12, 0, record.type, 0, 1, 0, 0, 0, 60, 0, UInt8(record.data.count)] + record.data
        }
        return bytes
    }

    private func name(_ labels: String...) -> [UInt8] {
        labels.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    @Test func readsRecords() throws {
        let bytes = message([
            (33, [0, 1, 0, 2, 9, 76] + name("a", "test")),
            // An alias on the way, and a target that points into the question.
            (5, name("x")), (33, [1, 0, 2, 0, 255, 255, 1, 98, 0xC0, 20]),
        ])
        let records = try #require(NameService.records(in: bytes[...]))
        #expect(
            records == [
                ServiceRecord(priority: 1, weight: 2, port: 2380, target: "a.test"),
                ServiceRecord(priority: 256, weight: 512, port: 65535, target: "b.d"),
            ])
    }

    @Test func refusesWhatIsNoAnswer() {
        let whole = message([(33, [0, 1, 0, 2, 9, 76] + name("a", "test"))])
        #expect(NameService.records(in: whole[...])?.count == 1)
        for count in 0..<whole.count { #expect(NameService.records(in: whole.prefix(count)) == nil, "\(count) bytes") }
        #expect(NameService.records(in: message([], announced: 1)[...]) == nil)
        // Data that is too short, and a target that points at itself.
        #expect(NameService.records(in: message([(33, [0, 1, 0, 2, 9, 76])])[...]) == nil)
        let loop = message([(33, [0, 1, 0, 2, 9, 76, 0xC0, 48])])
        #expect(NameService.records(in: loop[...]) == nil, "\(loop.count)")
    }

    /// Nothing that a server sends may trap.
    @Test(arguments: 0..<200 as Range<UInt64>) func survivesDamage(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var bytes = message([
            (33, [0, 1, 0, 2, 9, 76] + name("a", "test")), (33, [1, 0, 2, 0, 0, 1, 1, 98, 0xC0, 20]),
        ])
        for _ in 0..<Int.random(in: 1...6, using: &random) {
            let i = Int.random(in: 0..<bytes.count, using: &random)
            bytes[i] = UInt8.random(in: 0...255, using: &random)
        }
        for record in NameService.records(in: bytes[...]) ?? [] { #expect(record.target.utf8.count <= 1025) }
    }

    @Test func addressesStandForThemselves() throws {
        #expect(try NameService.address(of: "127.0.0.1") == "127.0.0.1")
        #expect(try NameService.address(of: "::1") == "::1")
    }
}
