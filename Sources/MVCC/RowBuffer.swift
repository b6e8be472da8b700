internal import Base

/// New rows of bucket `key` on their way to the file, in revision order, row key and value one behind the other in one
/// piece of memory.
///
/// Invariants: rows ascend strictly by revision; between the first and the last main revision none is missing, because
/// every revision of the store changes at least one key.
struct RowBuffer: Sendable {
    struct Row: Sendable {
        var main: Int64
        /// Where the row key starts; the row ends where the next one starts.
        var start: UInt32
        private var subAndFlags: UInt32

        private static let tombstoneFlag: UInt32 = 1 << 31
        private static let removedFlag: UInt32 = 1 << 30
        private static let subMask: UInt32 = removedFlag - 1

        init(_ key: RowKey, start: Int) {
            precondition(key.revision.sub <= Int64(Row.subMask), "sub revision \(key.revision) is out of range")
            main = key.revision.main
            self.start = UInt32(start)
            subAndFlags = UInt32(key.revision.sub) | (key.isTombstone ? Row.tombstoneFlag : 0)
        }

        var sub: Int64 { Int64(subAndFlags & Row.subMask) }
        var isTombstone: Bool { subAndFlags & Row.tombstoneFlag != 0 }
        /// Compacted away before it was written: it never reaches the file.
        var isRemoved: Bool {
            get { subAndFlags & Row.removedFlag != 0 }
            set { subAndFlags = newValue ? subAndFlags | Row.removedFlag : subAndFlags & ~Row.removedFlag }
        }
        var revision: Revision { Revision(main: main, sub: sub) }
        var key: RowKey { RowKey(revision, isTombstone: isTombstone) }
        var keySize: Int { isTombstone ? RowKey.size + 1 : RowKey.size }
    }

    private(set) var bytes: [UInt8] = []
    private(set) var rows: [Row] = []

    var isEmpty: Bool { rows.isEmpty }
    var count: Int { rows.count }

    mutating func append(
        _ revision: Revision, _ row: StoredKeyValue, key: ArraySlice<UInt8>, value: ArraySlice<UInt8>
    ) {
        begin(RowKey(revision))
        row.append(key: key, value: value, to: &bytes)
    }

    mutating func appendTombstone(_ revision: Revision, key: ArraySlice<UInt8>) {
        begin(RowKey(revision, isTombstone: true))
        StoredKeyValue(createRevision: 0, modRevision: 0, version: 0, lease: 0).append(key: key, value: [], to: &bytes)
    }

    private mutating func begin(_ key: RowKey) {
        if let last = rows.last {
            precondition(last.revision < key.revision, "row \(key.revision) after \(last.revision)")
        }
        rows.append(Row(key, start: bytes.count))
        key.append(to: &bytes)
    }

    private func end(of position: Int) -> Int {
        position + 1 < rows.count ? Int(rows[position + 1].start) : bytes.count
    }

    func keyRange(at position: Int) -> Range<Int> {
        let start = Int(rows[position].start)
        return start..<(start + rows[position].keySize)
    }

    func valueRange(at position: Int) -> Range<Int> {
        (Int(rows[position].start) + rows[position].keySize)..<end(of: position)
    }

    /// The first row that is not before `revision`. O(1) when every transaction changed one key, else O(log rows).
    func lowerBound(_ revision: Revision) -> Int {
        guard let first = rows.first, first.revision < revision else { return 0 }
        // At least one row for each main revision in between, so the row cannot stand before this.
        let guess = revision.main &- first.main
        var low = 0
        if guess >= 0, guess < Int64(rows.count) {
            if rows[Int(guess)].revision == revision { return Int(guess) }
            if rows[Int(guess)].revision < revision { low = Int(guess) + 1 }
        }
        var high = rows.count
        while low < high {
            let middle = (low + high) / 2
            if rows[middle].revision < revision { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The row of exactly this revision, unless it has been removed.
    func position(of revision: Revision) -> Int? {
        let position = lowerBound(revision)
        guard position < rows.count, rows[position].revision == revision, !rows[position].isRemoved else { return nil }
        return position
    }

    /// - Returns: whether there is such a row.
    mutating func remove(_ revision: Revision) -> Bool {
        guard let position = position(of: revision) else { return false }
        rows[position].isRemoved = true
        return true
    }

    /// Empties it and keeps the memory, unless a burst made that larger than `retained` bytes.
    mutating func removeAll(retaining retained: Int) {
        bytes.removeAll(keepingCapacity: bytes.capacity <= retained)
        rows.removeAll(keepingCapacity: rows.capacity * MemoryLayout<Row>.stride <= retained)
    }
}
