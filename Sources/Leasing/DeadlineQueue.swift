internal import Platform

/// Small numbers, each with a deadline, the earliest in front: a binary heap that knows where each number stands, so
/// that a deadline can be moved or taken out. O(log n) for a change, O(1) for a look.
///
/// Invariants: (1) no item's deadline is earlier than its parent's; (2) `positions[n]` is where number n stands in
/// `heap`, or −1.
struct DeadlineQueue {
    private struct Item {
        var deadline: Instant
        var number: Int
    }

    private var heap: [Item] = []
    private var positions: [Int] = []

    var count: Int { heap.count }

    /// The number with the earliest deadline.
    var first: (number: Int, deadline: Instant)? { heap.first.map { ($0.number, $0.deadline) } }

    /// Gives a number its deadline; it may have had another.
    mutating func set(_ number: Int, _ deadline: Instant) {
        while positions.count <= number { positions.append(-1) }
        var position = positions[number]
        if position < 0 {
            position = heap.count
            heap.append(Item(deadline: deadline, number: number))
            positions[number] = position
        } else {
            heap[position].deadline = deadline
        }
        settle(position)
    }

    /// Takes a number out, if it is there.
    mutating func remove(_ number: Int) {
        guard number < positions.count, positions[number] >= 0 else { return }
        let position = positions[number]
        positions[number] = -1
        let last = heap.removeLast()
        guard position < heap.count else { return }
        place(last, at: position)
        settle(position)
    }

    /// Moves the item at `position` to where it belongs.
    private mutating func settle(_ position: Int) {
        var position = position
        let item = heap[position]
        while position > 0, item.deadline < heap[(position - 1) / 2].deadline {
            place(heap[(position - 1) / 2], at: position)
            position = (position - 1) / 2
        }
        while true {
            var child = 2 * position + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count, heap[child + 1].deadline < heap[child].deadline { child += 1 }
            guard heap[child].deadline < item.deadline else { break }
            place(heap[child], at: position)
            position = child
        }
        place(item, at: position)
    }

    private mutating func place(_ item: Item, at position: Int) {
        heap[position] = item
        positions[item.number] = position
    }

    /// O(n).
    var isConsistent: Bool {
        heap.indices.allSatisfy { i in
            positions[heap[i].number] == i && (i == 0 || heap[(i - 1) / 2].deadline <= heap[i].deadline)
        } && positions.count { $0 >= 0 } == heap.count
    }
}
