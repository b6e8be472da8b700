import Base
import Bolt
import MVCC
import PlatformSim
import Testing

/// What the file is left with after compactions, and copies of it.
@Suite struct SpaceTests {
    /// Overwrites twenty keys many times and compacts.
    private func compacted(_ real: TestStore) throws {
        for i in 0..<4000 {
            try real.put("key \(i % 20)", String(repeating: "v\(i) ", count: 80))
            if i % 200 == 199 { try real.commit() }
        }
        try real.compact(real.store.currentRevision)
        try real.finishCompaction()
        try real.commit()
    }

    /// Commits go on by themselves until the file is short, and then stop.
    @Test func fileShrinksWithoutFurtherPuts() throws {
        let disk = SimDisk()
        let real = try TestStore(on: disk)
        try compacted(real)
        let all = try real.all()
        let hash = try real.store.hash()
        let before = real.store.backend.size
        var commits = 0
        while real.store.backend.hasChanges {
            try real.commit()
            commits += 1
            try #require(commits < 2000, "it does not end")
        }
        let backend = real.store.backend
        #expect(backend.size < before / 10 && backend.size < backend.sizeInUse * 3 / 2 + (64 << 10))
        #expect(try disk.contents(of: TestStore.path).count < before / 5)
        #expect(try real.file.check() == [])
        #expect(try real.all() == all)
        #expect(try real.store.hash() == hash)
        #expect(backend.committedIndex == backend.consistentIndex)
        let figures = (backend.size, backend.sizeInUse)
        try real.reopen()
        #expect((real.store.backend.size, real.store.backend.sizeInUse) == figures)
        #expect(try real.store.hash() == hash)
    }

    /// A copy holds the version of the last commit, whatever is committed meanwhile.
    @Test func copyHoldsTheCommittedState() throws {
        let disk = SimDisk()
        let real = try TestStore(on: disk)
        try compacted(real)
        try real.put("last", "before the copy")
        try real.commit()
        let all = try real.all()
        let copy = try real.file.beginCopy(named: "snapshot for m2")
        #expect(real.file.readers.map(\.name).contains("snapshot for m2"))
        var image: [UInt8] = []
        while Int64(image.count) < copy.size {
            image += try copy.read(at: Int64(image.count), count: 50_000)
            try real.put("key \(image.count % 20)", "written since")
            try real.commit()
        }
        copy.close()
        try disk.install(image, at: "copied")
        let copied = try TestStore(on: disk, path: "copied")
        #expect(try copied.all() == all)
        #expect(try copied.file.check() == [])
        #expect(copied.file.notice == nil)
    }

    /// The work of a slice is bounded by bytes as well, since a compaction's hash reads every row.
    @Test func largeRowsMakeShortSlices() throws {
        let real = try TestStore()
        for i in 0..<60 { try real.put("key \(i % 3)", String(repeating: "x", count: 100 << 10)) }
        try real.compact(real.store.currentRevision)
        var slices = 0
        while real.store.isCompacting {
            _ = try real.store.compactStep()
            slices += 1
        }
        // 60 rows of 101 units each; a slice ends with the row that reaches its limit.
        #expect(slices >= 60 * 101 / (KeyValueStore.compactionSlice + 101))
        #expect(real.store.counters.compactedRows == 57)
    }
}
