import Base
import RaftCore
import Testing

@Suite("Memory storage") struct StorageTests {
    static func entries(_ range: ClosedRange<UInt64>, term: UInt64 = 1) -> [Entry] {
        range.map { Entry(term: Term(term), index: LogIndex($0), data: [UInt8(truncatingIfNeeded: $0)]) }
    }

    /// Entries 6 to 20 behind a snapshot at 5.
    static func filled() throws -> MemoryStorage {
        var storage = MemoryStorage()
        try storage.apply(Snapshot(metadata: SnapshotMetadata(index: LogIndex(5), term: Term(1))))
        storage.append(entries(6...20))
        return storage
    }

    @Test func termsAreKnownFromTheLastCompacted() throws {
        var storage = try Self.filled()
        #expect(try storage.term(at: LogIndex(5)) == Term(1))
        try storage.compact(to: LogIndex(8))
        #expect(storage.firstIndex == LogIndex(9))
        #expect(try storage.term(at: LogIndex(8)) == Term(1))
        #expect(throws: StorageError.compacted) { try storage.term(at: LogIndex(7)) }
        #expect(throws: StorageError.unavailable) { try storage.term(at: LogIndex(21)) }
    }

    @Test func entriesHaveBounds() throws {
        let storage = try Self.filled()
        let all = try storage.entries(from: LogIndex(6), to: LogIndex(21), maxSize: noLimit)
        #expect(all == Self.entries(6...20))
        #expect(throws: StorageError.compacted) {
            try storage.entries(from: LogIndex(5), to: LogIndex(7), maxSize: noLimit)
        }
        #expect(throws: StorageError.unavailable) {
            try storage.entries(from: LogIndex(6), to: LogIndex(22), maxSize: noLimit)
        }
    }

    @Test func pagesHoldOneEntryAtLeast() throws {
        let storage = try Self.filled()
        let size = Self.entries(6...6)[0].encodedSize
        for (limit, count) in [(0, 1), (size, 1), (2 * size - 1, 1), (2 * size, 2), (noLimit, 15)] {
            #expect(try storage.entries(from: LogIndex(6), to: LogIndex(21), maxSize: limit).count == count)
        }
    }

    @Test func compactionHasBounds() throws {
        var storage = try Self.filled()
        #expect(throws: StorageError.compacted) { try storage.compact(to: LogIndex(5)) }
        #expect(throws: StorageError.unavailable) { try storage.compact(to: LogIndex(21)) }
        try storage.compact(to: LogIndex(20))
        #expect(storage.firstIndex == LogIndex(21) && storage.lastIndex == LogIndex(20))
    }

    @Test func appendsReplaceFromTheirFirstIndex() throws {
        var storage = try Self.filled()
        storage.append(Self.entries(10...12, term: 2))
        #expect(storage.lastIndex == LogIndex(12))
        #expect(try storage.term(at: LogIndex(9)) == Term(1))
        #expect(try storage.term(at: LogIndex(10)) == Term(2))
        // What is compacted is passed over.
        storage.append(Self.entries(3...7, term: 3))
        #expect(storage.firstIndex == LogIndex(6) && storage.lastIndex == LogIndex(7))
        storage.append(Self.entries(2...4, term: 4))
        #expect(storage.lastIndex == LogIndex(7))
    }

    @Test func aGapTraps() async {
        await #expect(processExitsWith: .failure) {
            var storage = try StorageTests.filled()
            storage.append(StorageTests.entries(22...23))
        }
    }

    @Test func snapshotsOnlyAdvance() throws {
        var storage = try Self.filled()
        let state = ConfState(voters: [MemberID(1)])
        let made = try storage.createSnapshot(at: LogIndex(10), confState: state, data: [9])
        #expect(made.metadata == SnapshotMetadata(confState: state, index: LogIndex(10), term: Term(1)))
        #expect(try storage.snapshot() == made)
        #expect(throws: StorageError.snapshotOutOfDate) { try storage.createSnapshot(at: LogIndex(10)) }
        #expect(throws: StorageError.unavailable) { try storage.createSnapshot(at: LogIndex(21)) }
        #expect(throws: StorageError.snapshotOutOfDate) { try storage.apply(made) }
        // The membership of the last one goes on until another is given.
        #expect(try storage.createSnapshot(at: LogIndex(11)).metadata.confState == state)
        try storage.apply(Snapshot(metadata: SnapshotMetadata(index: LogIndex(30), term: Term(4))))
        #expect(storage.firstIndex == LogIndex(31) && storage.lastIndex == LogIndex(30))
        #expect(try storage.term(at: LogIndex(30)) == Term(4))
    }

    @Test func errorsReadAsEtcds() {
        let texts: [StorageError: String] = [
            .compacted: "requested index is unavailable due to compaction",
            .unavailable: "requested entry at index is unavailable",
            .snapshotOutOfDate: "requested index is older than the existing snapshot",
            .snapshotTemporarilyUnavailable: "snapshot is temporarily unavailable",
        ]
        for (error, text) in texts { #expect(error.description == text) }
    }

    /// Long logs cross the chunks that entries are kept in: against an array that does the same.
    @Test func longLogsAgreeWithAnArray() throws {
        var random = SeededGenerator(seed: 3)
        var storage = MemoryStorage()
        var model: [Entry] = []
        var base: UInt64 = 0
        for term in 1...UInt64(400) {
            let last = base + UInt64(model.count)
            switch random.next(below: 4) {
            case 0..<2:
                let first = base + 1 + UInt64(random.next(below: Int(last - base) + 1))
                let more = Self.entries(first...(first + UInt64(random.next(below: 700))), term: term)
                model.removeLast(model.count - Int(first - base - 1))
                model += more
                storage.append(more)
            case 2 where last > base:
                let index = base + 1 + UInt64(random.next(below: Int(last - base)))
                try storage.compact(to: LogIndex(index))
                model.removeFirst(Int(index - base))
                base = index
            default: break
            }
            #expect(storage.firstIndex.rawValue == base + 1)
            #expect(storage.lastIndex.rawValue == base + UInt64(model.count))
            let all = try storage.entries(from: storage.firstIndex, to: storage.lastIndex.next(), maxSize: noLimit)
            #expect(all == model)
        }
    }
}
