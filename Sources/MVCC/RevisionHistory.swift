internal import Base

/// The former revisions of the keys that have any, one slot for each such key, oldest first.
package struct RevisionHistory: Sendable {
    package struct Entry: Sendable {
        package var main: Int64
        private var subAndFlag: UInt32

        package init(main: Int64, sub: UInt32, isTombstone: Bool) {
            self.main = main
            subAndFlag = sub | (isTombstone ? 1 << 31 : 0)
        }

        package var sub: UInt32 { subAndFlag & ~(1 << 31) }
        package var isTombstone: Bool { subAndFlag >> 31 == 1 }
        var revision: Revision { Revision(main: main, sub: Int64(sub)) }
    }

    /// Entries of a slot that stand in one array; older ones of a key with more are kept in full chunks of so many. So
    /// no append and no compaction ever moves more than a chunk, whatever the key has been through.
    static let chunkEntries = 1024

    /// Slot 0 stands for "no history" and is never used. The newest entries of each key; not empty while in use.
    private var slots: [[Entry]] = [[]]
    /// The full chunks of keys that have more, oldest first.
    private var older: [UInt32: [[Entry]]] = [:]
    private var free = FreeSlots()
    package init() {}

    /// Entries in all slots together.
    package private(set) var count = 0

    /// Adds the newest former revision of a key.
    /// - Parameter slot: the key's slot, 0 if it has none yet.
    /// - Returns: the key's slot.
    package mutating func append(_ entry: Entry, to slot: UInt32) -> UInt32 {
        count += 1
        if slot != 0 {
            if slots[Int(slot)].count == Self.chunkEntries {
                older[slot, default: []].append(slots[Int(slot)])
                slots[Int(slot)] = []
            }
            slots[Int(slot)].append(entry)
            return slot
        }
        if let reused = free.take() {
            slots[Int(reused)].append(entry)
            return reused
        }
        slots.append([entry])
        return UInt32(slots.count - 1)
    }

    /// The entries of a slot. O(n).
    package func entries(of slot: UInt32) -> [Entry] { chunks(before: slot).flatMap { $0 } + slots[Int(slot)] }

    private func chunks(before slot: UInt32) -> [[Entry]] {
        // Most slots are short, and a store without a long one asks nothing.
        if older.isEmpty || slots[Int(slot)].isEmpty { return [] }
        return older[slot] ?? []
    }

    /// The newest entry of a slot that is not after `revision`. O(log n).
    package func newest(in slot: UInt32, through revision: Int64) -> Entry? {
        guard slot != 0 else { return nil }
        let position = Self.upperBound(slots[Int(slot)], revision)
        if position > 0 { return slots[Int(slot)][position - 1] }
        let chunks = chunks(before: slot)
        let chunk = Self.firstChunk(of: chunks, after: revision)
        guard chunk > 0 else { return nil }
        return chunks[chunk - 1][Self.upperBound(chunks[chunk - 1], revision) - 1]
    }

    /// How many of the entries are not after `revision`.
    private static func upperBound(_ entries: [Entry], _ revision: Int64) -> Int {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].main <= revision { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// How many of the chunks begin at or before `revision`.
    private static func firstChunk(of chunks: [[Entry]], after revision: Int64) -> Int {
        var low = 0
        var high = chunks.count
        while low < high {
            let middle = (low + high) / 2
            if chunks[middle][0].main <= revision { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Drops what a compaction at `revision` takes: everything before the newest entry that is not after it, and that
    /// entry too if it is a tombstone from before `revision`. O(log n + chunks dropped).
    /// - Returns: the slot, 0 when nothing is left, and whether an entry not after `revision` was kept.
    package mutating func compact(_ slot: UInt32, at revision: Int64) -> (slot: UInt32, kept: Bool) {
        guard let newest = newest(in: slot, through: revision) else { return (slot, false) }
        let kept = !newest.isTombstone || newest.main == revision
        return (drop(from: slot, before: newest, keeping: kept), kept)
    }

    /// Drops everything of a slot. O(chunks).
    package mutating func release(_ slot: UInt32) {
        guard slot != 0 else { return }
        count -= slots[Int(slot)].count
        slots[Int(slot)] = []
        if !older.isEmpty, let chunks = older.removeValue(forKey: slot) {
            count -= chunks.reduce(0) { $0 + $1.count }
        }
        free.add(slot)
    }

    /// Drops the entries before `entry`, and that as well unless it is kept.
    /// - Returns: the slot, 0 when nothing is left.
    private mutating func drop(from slot: UInt32, before entry: Entry, keeping: Bool) -> UInt32 {
        if !older.isEmpty, var chunks = older.removeValue(forKey: slot) {
            let chunk = Self.firstChunk(of: chunks, after: entry.main)
            let isInTail = slots[Int(slot)].first.map { $0.main <= entry.main } ?? false
            let whole = isInTail ? chunks.count : chunk - 1
            count -= chunks.prefix(whole).reduce(0) { $0 + $1.count }
            chunks.removeFirst(whole)
            if !isInTail {
                Self.drop(&chunks[0], before: entry, keeping: keeping, &count)
                if chunks[0].isEmpty { chunks.removeFirst() }
            }
            if !chunks.isEmpty { older[slot] = chunks }
            guard isInTail else { return slot }
        }
        Self.drop(&slots[Int(slot)], before: entry, keeping: keeping, &count)
        guard slots[Int(slot)].isEmpty else { return slot }
        free.add(slot)
        return 0
    }

    /// Likewise for one array, which gives up the memory that it no longer needs.
    private static func drop(_ entries: inout [Entry], before entry: Entry, keeping: Bool, _ count: inout Int) {
        let position = upperBound(entries, entry.main) - (keeping ? 1 : 0)
        guard position > 0 else { return }
        count -= position
        entries = position == entries.count ? [] : Array(entries.dropFirst(position))
    }
}

/// Numbers of slots to be used again, as a stack in pieces: to grow as one array it would now and then copy millions of
/// them in one step.
private struct FreeSlots: Sendable {
    private static let pieceEntries = 4096

    private var pieces: [[UInt32]] = []

    mutating func add(_ slot: UInt32) {
        if pieces.last.map({ $0.count == Self.pieceEntries }) ?? true {
            pieces.append([])
            pieces[pieces.count - 1].reserveCapacity(Self.pieceEntries)
        }
        pieces[pieces.count - 1].append(slot)
    }

    mutating func take() -> UInt32? {
        guard let slot = pieces.last?.last else { return nil }
        pieces[pieces.count - 1].removeLast()
        if pieces[pieces.count - 1].isEmpty { pieces.removeLast() }
        return slot
    }
}
