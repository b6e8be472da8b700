import Base
import Testing

@Suite("Base") struct BaseTests {
    @Test("CRC-32C of the check string, whole and in pieces of every size")
    func crc() {
        let check = Array("123456789".utf8)
        #expect(CRC32C.checksum(check) == 0xE306_9283)
        let long = (0..<1000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for cut in stride(from: 0, through: long.count, by: 37) {
            var crc = CRC32C()
            crc.update(Array(long[..<cut]))
            crc.update(Array(long[cut...]))
            #expect(crc.value == CRC32C.checksum(long))
        }
    }

    @Test("The same seed gives the same numbers; the first ones never change")
    func seededGenerator() {
        var a = SeededGenerator(seed: 42)
        var b = SeededGenerator(seed: 42)
        let first = (0..<4).map { _ in a.next() }
        #expect(first == (0..<4).map { _ in b.next() })
        #expect(Set(first).count == 4)
        var c = SeededGenerator(seed: 43)
        #expect(c.next() != first[0])
        for _ in 0..<1000 { #expect((0..<7).contains(a.next(below: 7))) }
    }

    @Test("A mailbox refuses what is over its limit, keeps order, and wakes once per batch", arguments: [1, 7, 64])
    func mailbox(limit: Int) {
        let box = Mailbox<Int>(limit: limit, wake: {})
        for i in 0..<limit { #expect(box.post(i)) }
        #expect(!box.post(-1))
        #expect(!box.post(contentsOf: [-1, -2]))
        var batch: [Int] = []
        box.drain(into: &batch)
        #expect(batch == Array(0..<limit))
        box.close()
        #expect(!box.post(1))
    }

    @Test("A histogram counts each value in the first bucket that holds it")
    func histogram() {
        var h = Histogram(from: 0.001, doubling: 3)
        for v in [0.0005, 0.001, 0.0011, 0.004, 9] { h.observe(v) }
        #expect(h.bounds == [0.001, 0.002, 0.004])
        #expect(h.counts == [2, 1, 1, 1])
        #expect(h.count == 5)
    }
}
