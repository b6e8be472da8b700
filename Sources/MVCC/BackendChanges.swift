internal import Base

/// Writes to a bucket other than `key` that are not in the file yet.
struct PendingTable: Sendable {
    enum Change: Sendable, Equatable {
        case put([UInt8])
        case delete
    }

    private var changes: [[UInt8]: Change] = [:]

    var isEmpty: Bool { changes.isEmpty }

    subscript(key: [UInt8]) -> Change? {
        get { changes[key] }
        set { changes[key] = newValue }
    }

    /// All changes in key order. O(n log n).
    var sorted: [(key: [UInt8], change: Change)] {
        changes.map { (key: $0.key, change: $0.value) }.sorted { precedes($0.key, $1.key) }
    }

    mutating func removeAll() { changes.removeAll(keepingCapacity: changes.capacity <= 1024) }
}

/// Everything that one commit writes.
struct BackendChanges: Sendable {
    /// Memory of an emptied row buffer that is kept for the next one.
    static let retainedBytes = 16 << 20

    var rows = RowBuffer()
    /// Rows that are in the file, or in the batch that is being written, and are to be deleted. Ascending.
    private(set) var removedRows: [RowKey] = []
    private(set) var tables = [PendingTable](repeating: PendingTable(), count: BackendBucket.allCases.count)
    /// Puts and deletes so far.
    var operations = 0
    /// Bytes of keys and values in `tables`.
    private(set) var tableBytes = 0

    var isEmpty: Bool { operations == 0 }
    var byteCount: Int { rows.bytes.count + tableBytes + removedRows.count * MemoryLayout<RowKey>.stride }

    mutating func set(_ change: PendingTable.Change, for key: [UInt8], in bucket: BackendBucket) {
        operations += 1
        tableBytes += key.count
        if case .put(let value) = change { tableBytes += value.count }
        tables[bucket.rawValue][key] = change
    }

    mutating func removeStored(_ key: RowKey) {
        operations += 1
        if let last = removedRows.last, key < last {
            // Only when a second compaction starts over within one commit.
            var low = 0
            var high = removedRows.count
            while low < high {
                let middle = (low + high) / 2
                if removedRows[middle] < key { low = middle + 1 } else { high = middle }
            }
            if removedRows[low] != key { removedRows.insert(key, at: low) }
        } else if removedRows.last != key {
            removedRows.append(key)
        }
    }

    /// Whether the row is to be deleted from the file. O(log n).
    func removesStored(_ revision: Revision) -> Bool {
        let position = firstRemoved(from: revision)
        return position < removedRows.count && removedRows[position].revision == revision
    }

    func firstRemoved(from revision: Revision) -> Int {
        var low = 0
        var high = removedRows.count
        while low < high {
            let middle = (low + high) / 2
            if removedRows[middle].revision < revision { low = middle + 1 } else { high = middle }
        }
        return low
    }

    mutating func removeAll() {
        rows.removeAll(retaining: BackendChanges.retainedBytes)
        removedRows.removeAll(keepingCapacity: true)
        for i in tables.indices { tables[i].removeAll() }
        operations = 0
        tableBytes = 0
    }
}
