internal import Base

/// The former revisions of the keys that have any, one slot for each such key, oldest first.
struct RevisionHistory: Sendable {
    struct Entry: Sendable {
        var main: Int64
        private var subAndFlag: UInt32

        init(main: Int64, sub: UInt32, isTombstone: Bool) {
            self.main = main
            subAndFlag = sub | (isTombstone ? 1 << 31 : 0)
        }

        var sub: UInt32 { subAndFlag & ~(1 << 31) }
        var isTombstone: Bool { subAndFlag >> 31 == 1 }
        var revision: Revision { Revision(main: main, sub: Int64(sub)) }
    }

    /// Slots of up to so many entries give memory back when entries are dropped.
    private static let copiedEntries = 1024

    /// Slot 0 stands for "no history" and is never used.
    private var slots: [[Entry]] = [[]]
    private var free: [UInt32] = []
    /// Entries in all slots together.
    private(set) var count = 0

    /// Adds the newest former revision of a key.
    /// - Parameter slot: the key's slot, 0 if it has none yet.
    /// - Returns: the key's slot.
    mutating func append(_ entry: Entry, to slot: UInt32) -> UInt32 {
        count += 1
        if slot != 0 {
            slots[Int(slot)].append(entry)
            return slot
        }
        if let reused = free.popLast() {
            slots[Int(reused)].append(entry)
            return reused
        }
        slots.append([entry])
        return UInt32(slots.count - 1)
    }

    subscript(slot: UInt32) -> [Entry] { slots[Int(slot)] }

    /// The newest entry of a slot that is not after `revision`. O(log n).
    func newest(in slot: UInt32, through revision: Int64) -> Entry? {
        guard slot != 0 else { return nil }
        let position = upperBound(slot, revision)
        return position > 0 ? slots[Int(slot)][position - 1] : nil
    }

    private func upperBound(_ slot: UInt32, _ revision: Int64) -> Int {
        var low = 0
        var high = slots[Int(slot)].count
        while low < high {
            let middle = (low + high) / 2
            if slots[Int(slot)][middle].main <= revision { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Drops what a compaction at `revision` takes: everything before the newest entry that is not after it, and that
    /// entry too if it is a tombstone from before `revision`.
    /// - Returns: the slot, 0 when nothing is left, and whether an entry not after `revision` was kept.
    mutating func compact(_ slot: UInt32, at revision: Int64) -> (slot: UInt32, kept: Bool) {
        let position = upperBound(slot, revision)
        guard position > 0 else { return (slot, false) }
        let newest = slots[Int(slot)][position - 1]
        let kept = !newest.isTombstone || newest.main == revision
        return (drop(kept ? position - 1 : position, from: slot), kept)
    }

    /// Drops everything of a slot.
    mutating func release(_ slot: UInt32) {
        guard slot != 0 else { return }
        _ = drop(slots[Int(slot)].count, from: slot)
    }

    private mutating func drop(_ dropped: Int, from slot: UInt32) -> UInt32 {
        guard dropped > 0 else { return slot }
        count -= dropped
        if dropped == slots[Int(slot)].count {
            slots[Int(slot)] = []
            free.append(slot)
            return 0
        }
        if slots[Int(slot)].count <= RevisionHistory.copiedEntries {
            slots[Int(slot)] = Array(slots[Int(slot)].dropFirst(dropped))
        } else {
            // Giving memory back by a copy would take too long at once.
            slots[Int(slot)].removeFirst(dropped)
        }
        return slot
    }
}
