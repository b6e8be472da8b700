internal import Base

/// All keys that have a revision after the last compaction, in order: a B+tree in memory whose leaves hold the key
/// bytes packed and a `KeyRecord` for each.
///
/// Nodes are numbered and stand in arrays, so the tree is no graph of objects. Keys leave only by compaction.
///
/// Invariants: (1) within a leaf, and from leaf to leaf along `next`, keys ascend strictly; (2) a branch has one
/// separator fewer than children, and separator i is after every key below child i and not after any below child i + 1;
/// (3) all leaves have the same depth.
struct KeyIndex: Sendable {
    /// Keys in a leaf at most. More makes inserts slower, fewer costs memory.
    static let leafCapacity = 64
    /// Children of a branch at most.
    static let branchCapacity = 64

    struct Leaf: Sendable {
        var keys = KeyBlock()
        var records: [KeyRecord] = []
        /// The leaf with the next larger keys, -1 for the last one.
        var next = -1

        var count: Int { records.count }

        mutating func insert(_ key: RawSpan, _ record: KeyRecord, at slot: Int) {
            keys.insert(key, at: slot)
            if records.count == records.capacity {
                records.reserveCapacity(min(KeyIndex.leafCapacity, records.count + max(8, records.count / 4)))
            }
            records.insert(record, at: slot)
        }
    }

    struct Branch: Sendable {
        var separators = KeyBlock()
        var children: [Int] = []
    }

    /// Where a key stands. Valid until a key is inserted or removed.
    struct Position: Sendable, Equatable {
        var leaf: Int
        var slot: Int
    }

    /// One step of the way from the root to a leaf.
    struct Step: Sendable {
        var branch: Int
        var child: Int
    }

    var leaves: [Leaf] = [Leaf()]
    var branches: [Branch] = []
    var freeLeaves: [Int] = []
    var freeBranches: [Int] = []
    /// A leaf if `height` is 0, else a branch.
    var root = 0
    /// Levels of branches above the leaves.
    var height = 0
    var history = RevisionHistory()
    /// Keys in the tree, those that end in a tombstone included.
    var count = 0
    /// Keys whose newest revision is no tombstone.
    var liveCount = 0

    init() {}

    // MARK: Reading

    /// The leaf in which `key` is or would be. O(log n).
    func leaf(for key: RawSpan) -> Int {
        var node = root
        for _ in 0..<height { node = branches[node].children[child(of: node, for: key)] }
        return node
    }

    @inline(__always)
    func child(of branch: Int, for key: RawSpan) -> Int {
        let (position, found) = branches[branch].separators.search(key)
        return found ? position + 1 : position
    }

    /// The place of `key`, or of the first key after it, and whether it is there. The slot may be one past the leaf's
    /// end.
    func seek(_ key: RawSpan) -> (position: Position, found: Bool) {
        let leaf = leaf(for: key)
        let (slot, found) = leaves[leaf].keys.search(key)
        return (Position(leaf: leaf, slot: slot), found)
    }

    /// The record of `key`, tombstones included. O(log n).
    func record(of key: RawSpan) -> KeyRecord? {
        let (position, found) = seek(key)
        return found ? leaves[position.leaf].records[position.slot] : nil
    }

    /// What a read at main revision `revision` sees of a record; nil when the key does not exist then.
    @inline(__always)
    func visible(_ record: KeyRecord, at revision: Int64) -> VisibleRevision? {
        if record.modifiedMain <= revision {
            if record.isTombstone { return nil }
            return VisibleRevision(modified: record.modified, created: record.created, version: record.version)
        }
        guard let entry = history.newest(in: record.history, through: revision), !entry.isTombstone else { return nil }
        return VisibleRevision(modified: entry.revision, created: 0, version: 0)
    }

    /// The newest revision of `key` that is not after `revision`, tombstones included.
    func newest(of key: RawSpan, through revision: Int64) -> RowKey? {
        guard let record = record(of: key) else { return nil }
        if record.modifiedMain <= revision { return RowKey(record.modified, isTombstone: record.isTombstone) }
        return history.newest(in: record.history, through: revision).map {
            RowKey($0.revision, isTombstone: $0.isTombstone)
        }
    }

    /// The slots of all keys of a range, leaf by leaf in order, until `body` returns false. It must not insert or
    /// remove.
    /// - Parameter end: as in a request: empty for just `start`, one zero byte for no end, else the first key after.
    func forEachRun<Failure: Error>(
        from start: RawSpan, to end: RawSpan, _ body: (_ leaf: Int, _ slots: Range<Int>) throws(Failure) -> Bool
    ) throws(Failure) {
        let (first, found) = seek(start)
        if end.byteCount == 0 {
            if found { _ = try body(first.leaf, first.slot..<(first.slot + 1)) }
            return
        }
        let isOpen = end.byteCount == 1 && end.byte(0) == 0
        guard isOpen || compareBytes(start, end) < 0 else { return }
        var leaf = first.leaf
        var slot = first.slot
        while leaf >= 0 {
            var stop = leaves[leaf].count
            var isLast = false
            if !isOpen, stop > 0, leaves[leaf].keys.compare(stop - 1, to: end) >= 0 {
                stop = leaves[leaf].keys.search(end).position
                isLast = true
            }
            if slot < stop, !(try body(leaf, slot..<stop)) { return }
            if isLast { return }
            leaf = leaves[leaf].next
            slot = 0
        }
    }

    /// How many keys of a range exist at `revision`. O(keys in the range).
    func count(from start: RawSpan, to end: RawSpan, at revision: Int64) -> Int {
        var count = 0
        forEachRun(from: start, to: end) { leaf, slots in
            for slot in slots where visible(leaves[leaf].records[slot], at: revision) != nil { count += 1 }
            return true
        }
        return count
    }

    /// Bytes of the arrays behind it, without the allocator's overhead. O(keys / leaf capacity).
    var allocatedBytes: Int {
        var bytes = leaves.capacity * MemoryLayout<Leaf>.stride + branches.capacity * MemoryLayout<Branch>.stride
        for leaf in leaves {
            bytes += leaf.keys.allocatedBytes + leaf.records.capacity * MemoryLayout<KeyRecord>.stride
        }
        for branch in branches { bytes += branch.separators.allocatedBytes + branch.children.capacity * 8 }
        return bytes
    }
}
