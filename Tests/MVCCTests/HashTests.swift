import Base
import EtcdProto
import MVCC
import TestSupport
import Testing

/// The worked example of docs/formats/backend.md: every number in it was given by real servers.
@Suite struct HashTests {
    @Test func workedExample() throws {
        let real = try TestStore()
        try real.put("a", "1")
        try real.put("b", "1")
        try real.put("a", "2")
        try real.delete("b")
        try real.put("c", "1")

        let rows = try real.store.backend.items(in: .key)
        #expect(
            rows.map { Hex.text($0.key) + " " + Hex.text($0.value) } == [
                "00000000000000025f0000000000000000 0a01611002180220012a0131",
                "00000000000000035f0000000000000000 0a01621003180320012a0131",
                "00000000000000045f0000000000000000 0a01611002180420022a0132",
                "00000000000000055f000000000000000074 0a0162",
                "00000000000000065f0000000000000000 0a01631006180620012a0131",
            ])
        for (revision, hash) in [
            (1, 1_084_519_789), (2, 2_587_454_935), (3, 2_143_169_314), (4, 3_086_679_940), (5, 1_416_966_122),
            (6, 3_076_932_441),
        ] as [(Int64, UInt32)] {
            let expected = KeyValueHash(hash: hash, compactRevision: -1, revision: revision)
            #expect(try real.store.hashKV(revision) == expected)
        }
        #expect(try real.store.hashKV(0) == real.store.hashKV(6))
        #expect(refusal { _ = try real.store.hashKV(7) } == .futureRevision)
    }

    /// - Parameter commits: whether rows are in the file, or in the buffer, when they are removed.
    @Test(arguments: [false, true]) func compactedExample(commits: Bool) throws {
        let real = try TestStore()
        func settle() throws { if commits { try real.commit() } }
        try real.put("a", "1")
        try real.put("b", "1")
        try settle()
        try real.put("a", "2")
        try real.delete("b")
        try real.put("c", "1")
        try settle()
        try real.compact(5)
        try real.finishCompaction()
        try settle()
        #expect(try real.store.backend.items(in: .key).count == 3)
        #expect(refusal { _ = try real.store.hashKV(4) } == .compacted)
        #expect(try real.store.hashKV(5) == KeyValueHash(hash: 1_416_966_122, compactRevision: -1, revision: 5))
        #expect(try real.store.hashKV(6) == KeyValueHash(hash: 709_067_906, compactRevision: 5, revision: 6))

        try real.delete("a")
        try real.delete("c")
        try settle()
        #expect(try real.store.hashKV(6).hash == 709_067_906)
        #expect(try real.store.hashKV(7).hash == 2_610_168_427)
        #expect(try real.store.hashKV(8).hash == 773_007_372)

        try real.compact(8)
        try real.finishCompaction()
        #expect(try real.store.hashKV(0) == KeyValueHash(hash: 1_084_519_789, compactRevision: 8, revision: 8))
        #expect(try real.store.hashKV(5) == KeyValueHash(hash: 1_416_966_122, compactRevision: -1, revision: 5))
        #expect(refusal { _ = try real.store.hashKV(7) } == .compacted)
        #expect(try real.store.hashKV(8) == KeyValueHash(hash: 2_471_380_856, compactRevision: 5, revision: 8))
        #expect(
            try real.store.backend.items(in: .key).map { Hex.text($0.key) } == ["00000000000000085f000000000000000074"])

        try real.commit()
        try real.reopen()
        #expect(refusal { _ = try real.store.hashKV(5) } == .compacted)
        #expect(try real.store.hashKV(8) == KeyValueHash(hash: 1_084_519_789, compactRevision: 8, revision: 8))
        #expect(real.store.currentRevision == 8)
    }

    @Test func compactionAtZero() throws {
        let real = try TestStore()
        try real.put("a", "1")
        try real.compact(0)
        try real.finishCompaction()
        #expect(try real.store.hashKV(0) == KeyValueHash(hash: 1_084_519_789, compactRevision: -1, revision: 0))
        #expect(refusal { try real.compact(0) } == .compacted)
    }

    /// - Parameter limit: how much a slice does.
    @Test(arguments: [1, 3, 1000]) func slicesGiveTheWholeHash(limit: Int) throws {
        let real = try TestStore()
        for i in 0..<60 {
            try real.put("key/\(i % 7)", "\(i)")
            if i % 11 == 3 { try real.delete("key/\(i % 5)") }
            if i % 13 == 0 { try real.commit() }
            if i == 30 { try real.compact(20) }
        }
        // The compaction goes on between the slices, and so do writes.
        #expect(real.store.isCompacting)
        for revision in real.store.compactRevision...real.store.currentRevision {
            let expected = try real.store.hashKV(revision)
            var run = try real.store.beginHash(revision)
            var slices = 1
            var hash = try real.store.hashStep(&run, limit: limit)
            while hash == nil {
                try real.put("later", "\(slices)")
                if slices % 4 == 0 { try real.commit() }
                if real.store.isCompacting { _ = try real.store.compactStep(limit: 1) }
                hash = try real.store.hashStep(&run, limit: limit)
                slices += 1
            }
            #expect(hash == expected)
            #expect(limit > 1 || revision <= 20 || slices > 5)
        }
    }

    @Test func aHashBeginsAgainBehindACompaction() throws {
        let real = try TestStore()
        for i in 0..<20 { try real.put("key/\(i % 3)", "\(i)") }
        func begun(_ revision: Int64) throws -> HashRun {
            var run = try real.store.beginHash(revision)
            for _ in 0..<3 { #expect(try real.store.hashStep(&run, limit: 2) == nil) }
            return run
        }
        var run = try begun(20)
        var gone = try begun(8)
        try real.compact(10)
        try real.finishCompaction()
        var hash: KeyValueHash?
        while hash == nil { hash = try real.store.hashStep(&run, limit: 2) }
        #expect(try hash == real.store.hashKV(20))
        #expect(hash?.compactRevision == 10)
        #expect(refusal { _ = try real.store.hashStep(&gone) } == .compacted)
    }
}
