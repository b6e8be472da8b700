import Base
import Bolt
import PlatformSim
import Testing

/// Looking a key up guesses where it is: it must be found wherever the keys lie, and nothing else with it.
@Suite struct KeySearchTests {
    enum Keys: String, CaseIterable {
        case counting, gaps, clustered, doubling, sharedStart, zeros, random

        func make(_ random: inout SeededGenerator) -> [[UInt8]] {
            func number(_ value: UInt64) -> [UInt8] {
                (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64($0))) }
            }
            return switch self {
            case .counting: (0..<3_000).map { number(UInt64($0)) + [0x5F] }
            case .gaps: (0..<3_000).filter { $0 % 7 < 3 || $0 > 2_000 }.map { number(UInt64($0) * 3) }
            case .clustered: (0..<3_000).map { number(UInt64($0 / 100) << 40 + UInt64($0 % 100)) }
            case .doubling: (0..<63).flatMap { bit in (0..<9).map { number((1 << UInt64(bit)) + $0) } }
            case .sharedStart: (0..<2_000).map { Array("a long start that is shared/".utf8) + number(UInt64($0)) }
            case .zeros: (1..<12).flatMap { n in (0..<90).map { [UInt8](repeating: 0, count: n) + [UInt8($0)] } }
            case .random:
                (0..<3_000).map { _ in
                    (0..<1 + random.next(below: 12)).map { _ in UInt8(random.next(below: 256)) }
                }
            }
        }
    }

    @Test("Every key is found, and what is not there is not", arguments: Keys.allCases)
    func find(_ kind: Keys) throws {
        var random = SeededGenerator(seed: 7)
        let keys = Set(kind.make(&random)).sorted { $0.lexicographicallyPrecedes($1) }
        let database = try Database.open("db", on: SimDisk(), options: smallOptions())
        let transaction = try database.beginWrite()
        try transaction.createBucket([1])
        for key in keys { try transaction.put(key, key + [0xFF], in: [1]) }
        try transaction.commit()
        let read = try database.beginRead()
        defer { read.close() }
        let bucket = try #require(try read.bucket([1]))
        let known = Set(keys)
        for (place, key) in keys.enumerated() {
            #expect(try bucket.get(key) == key + [0xFF], "\(kind): \(key)")
            // The nearest that are not there: what is longer by a zero, and what is less in its last byte.
            var less = key
            less[less.count - 1] &-= 1
            for other in [key + [0], less, less + [0xFF, 0xFF]] where !known.contains(other) {
                #expect(try bucket.get(other) == nil, "\(kind): \(other)")
            }
            var cursor = bucket.cursor()
            #expect(try cursor.seek(key) && cursor.key == key, "\(kind): \(key)")
            let more = try cursor.seek(key + [0])
            #expect(more == (place + 1 < keys.count) && (!more || cursor.key == keys[place + 1]), "\(kind): \(key)")
        }
    }
}
