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

    /// The newest entries of each key; not empty while in use. Slot 0 stands for "no history" and is never used.
    private var slots = SlotTable()
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
            if slots[slot].count == Self.chunkEntries {
                older[slot, default: []].append(slots[slot].entries)
                slots[slot] = .empty
            }
            slots[slot].append(entry)
            return slot
        }
        if let reused = free.take() {
            slots[reused] = .one(entry)
            return reused
        }
        return slots.append(.one(entry))
    }

    /// The entries of a slot. O(n).
    package func entries(of slot: UInt32) -> [Entry] { chunks(before: slot).flatMap { $0 } + slots[slot].entries }

    private func chunks(before slot: UInt32) -> [[Entry]] {
        // Most slots are short, and a store without a long one asks nothing.
        if older.isEmpty || slots[slot].count == 0 { return [] }
        return older[slot] ?? []
    }

    /// The newest entry of a slot that is not after `revision`. O(log n).
    package func newest(in slot: UInt32, through revision: Int64) -> Entry? {
        guard slot != 0 else { return nil }
        if let entry = slots[slot].newest(through: revision) { return entry }
        let chunks = chunks(before: slot)
        let chunk = Self.firstChunk(of: chunks, after: revision)
        guard chunk > 0 else { return nil }
        return chunks[chunk - 1][Self.upperBound(chunks[chunk - 1], revision) - 1]
    }

    /// How many of the entries are not after `revision`.
    fileprivate static func upperBound(_ entries: [Entry], _ revision: Int64) -> Int {
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
        count -= slots[slot].count
        slots[slot] = .empty
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
            let isInTail = slots[slot].first.map { $0.main <= entry.main } ?? false
            let whole = isInTail ? chunks.count : chunk - 1
            count -= chunks.prefix(whole).reduce(0) { $0 + $1.count }
            chunks.removeFirst(whole)
            if !isInTail {
                count -= Self.drop(&chunks[0], before: entry, keeping: keeping)
                if chunks[0].isEmpty { chunks.removeFirst() }
            }
            if !chunks.isEmpty { older[slot] = chunks }
            guard isInTail else { return slot }
        }
        count -= slots[slot].drop(before: entry, keeping: keeping)
        guard slots[slot].count == 0 else { return slot }
        free.add(slot)
        return 0
    }

    /// Likewise for one array, which gives up the memory that it no longer needs.
    /// - Returns: how many were dropped.
    fileprivate static func drop(_ entries: inout [Entry], before entry: Entry, keeping: Bool) -> Int {
        let position = upperBound(entries, entry.main) - (keeping ? 1 : 0)
        guard position > 0 else { return 0 }
        entries = position == entries.count ? [] : Array(entries.dropFirst(position))
        return position
    }

    /// The newest entries of a key, oldest first. A single one, which is what most keys have, stands in the slot
    /// itself: a block of memory for each would take four times as much, and a compaction would give back a million.
    fileprivate enum Tail: Sendable {
        case one(Entry)
        /// None while the slot is not in use.
        case many([Entry])

        static let empty = Tail.many([])

        var count: Int {
            switch self {
            case .one: 1
            case .many(let entries): entries.count
            }
        }

        var first: Entry? {
            switch self {
            case .one(let entry): entry
            case .many(let entries): entries.first
            }
        }

        var entries: [Entry] {
            switch self {
            case .one(let entry): [entry]
            case .many(let entries): entries
            }
        }

        func newest(through revision: Int64) -> Entry? {
            switch self {
            case .one(let entry): return entry.main <= revision ? entry : nil
            case .many(let entries):
                let position = upperBound(entries, revision)
                return position > 0 ? entries[position - 1] : nil
            }
        }

        mutating func append(_ entry: Entry) {
            switch consume self {
            case .one(let first): self = .many([first, entry])
            case .many(var entries):
                if entries.isEmpty {
                    self = .one(entry)
                } else {
                    entries.append(entry)
                    self = .many(entries)
                }
            }
        }

        /// Drops the entries before `entry`, and that as well unless it is kept.
        /// - Returns: how many.
        mutating func drop(before entry: Entry, keeping: Bool) -> Int {
            switch consume self {
            case .one(let only):
                let drops = only.main <= entry.main && !keeping
                self = drops ? .empty : .one(only)
                return drops ? 1 : 0
            case .many(var entries):
                let dropped = RevisionHistory.drop(&entries, before: entry, keeping: keeping)
                self = entries.count == 1 ? .one(entries[0]) : .many(entries)
                return dropped
            }
        }
    }
}

/// The slots, in pieces: to grow as one array they would now and then be copied, millions of them in one step.
private struct SlotTable: Sendable {
    private static let pieceBits: UInt32 = 10

    private var pieces: [[RevisionHistory.Tail]] = []

    init() { _ = append(.empty) }

    subscript(slot: UInt32) -> RevisionHistory.Tail {
        _read { yield pieces[Int(slot >> Self.pieceBits)][Int(slot & (1 << Self.pieceBits - 1))] }
        _modify { yield &pieces[Int(slot >> Self.pieceBits)][Int(slot & (1 << Self.pieceBits - 1))] }
    }

    /// - Returns: the new slot's number.
    mutating func append(_ tail: RevisionHistory.Tail) -> UInt32 {
        if pieces.last.map({ $0.count == 1 << Self.pieceBits }) ?? true {
            pieces.append([])
            pieces[pieces.count - 1].reserveCapacity(1 << Self.pieceBits)
        }
        pieces[pieces.count - 1].append(tail)
        return UInt32(pieces.count - 1) << Self.pieceBits | UInt32(pieces[pieces.count - 1].count - 1)
    }
}

/// Numbers of slots to be used again, as a stack in pieces, for the same reason.
private struct FreeSlots: Sendable {
    /// 1 KiB. glibc puts small blocks that are freed aside and sorts them in when it is asked for a block of that size
    /// or more. A compaction that frees the entries of many keys asks for nothing else, so with larger pieces there
    /// would be thousands to sort in at once, which takes most of a millisecond.
    private static let pieceEntries = 256

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
