import Base
import EtcdProto
import Foundation
import MVCC
import SwiftProtobuf
import Testing

/// Enough keys for an index of several levels: they come in random order and in order, and most of them go again.
@Suite struct ManyKeysTests {
    @Test(arguments: [1, 2] as [UInt64])
    func growsAndShrinks(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let real = try TestStore()
        var keys = (0..<9000).map { "key/\($0 % 7)/\($0)" }
        if seed == 1 { keys.shuffle(using: &random) } else { keys.sort() }
        for key in keys { try real.put(key, "v") }
        try expect(keys, real, seed)

        keys.shuffle(using: &random)
        for key in keys.dropFirst(200) { try real.delete(key) }
        keys = Array(keys.prefix(200))
        try real.put("last", "v")
        keys.append("last")
        try expect(keys, real, seed)

        try real.compact(real.store.currentRevision)
        while real.store.isCompacting { _ = try real.store.compactStep(limit: 500) }
        #expect(real.store.keyCount == 201, "seed \(seed)")
        try expect(keys, real, seed)

        for i in 0..<3000 where i % 3 == 0 {
            try real.put("key/\(i)", "w")
            keys.append("key/\(i)")
        }
        try expect(keys, real, seed)
    }

    private func expect(_ keys: [String], _ real: TestStore, _ seed: UInt64) throws {
        let expected = Set(keys).sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
        let found = try real.range(
            .with {
                $0.key = Data([0]); $0.rangeEnd = Data([0]); $0.keysOnly = true
            })
        #expect(found.kvs.map { String(decoding: $0.key, as: UTF8.self) } == expected, "seed \(seed)")
        #expect(real.store.liveKeyCount == expected.count, "seed \(seed)")
        for key in expected.prefix(50) { #expect(try real.get(key) != nil, "seed \(seed), \(key)") }
        let middle = expected[expected.count / 2]
        let tail = try real.range(
            .with {
                $0.key = Data(middle.utf8); $0.rangeEnd = Data([0]); $0.countOnly = true
            })
        #expect(tail.count == Int64(expected.count - expected.count / 2), "seed \(seed)")
    }
}
