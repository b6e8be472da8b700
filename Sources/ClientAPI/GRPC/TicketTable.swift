/// Which call waits under which ticket. A ticket is a slot number and how often the slot was used before, so an answer
/// that comes twice, or never should have come, finds nothing.
package struct TicketTable<Element> {
    private struct Slot {
        var generation: UInt32 = 0
        var element: Element?
    }

    /// The most calls that may wait.
    package let limit: Int
    private var slots: [Slot] = []
    private var free: [UInt32] = []
    package private(set) var count = 0

    /// - Parameter limit: the most calls that may wait, at most 2^32 − 1.
    package init(limit: Int) {
        precondition(limit > 0 && limit <= Int(UInt32.max))
        self.limit = limit
    }

    /// - Returns: nil when the table is full. O(1).
    package mutating func insert(_ element: Element) -> UInt64? {
        let index: Int
        if let last = free.popLast() {
            index = Int(last)
        } else {
            guard slots.count < limit else { return nil }
            index = slots.count
            slots.append(Slot())
        }
        slots[index].element = element
        count += 1
        return UInt64(slots[index].generation) << 32 | UInt64(index)
    }

    /// Takes out what waits under the ticket; nil when nothing does (any more). O(1).
    package mutating func remove(_ ticket: UInt64) -> Element? {
        let index = Int(ticket & 0xFFFF_FFFF)
        guard index < slots.count, slots[index].generation == UInt32(ticket >> 32),
            let element = slots[index].element.take()
        else { return nil }
        slots[index].generation &+= 1
        free.append(UInt32(index))
        count -= 1
        return element
    }
}
