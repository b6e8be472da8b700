internal import Base

/// The append messages that are under way to one peer: a ring of their last indices and payload sizes.
///
/// Bounded by count, and softly by bytes: the message that crosses the limit still goes out. The ring grows as needed.
struct Inflights: Sendable {
    private struct Sent {
        var index: LogIndex
        var bytes: UInt64
    }

    let maxCount: Int
    /// Zero: no limit.
    let maxBytes: UInt64
    private(set) var count = 0
    private(set) var bytes: UInt64 = 0
    private var start = 0
    private var ring: [Sent] = []

    init(maxCount: Int, maxBytes: UInt64) {
        self.maxCount = maxCount
        self.maxBytes = maxBytes
    }

    var isFull: Bool { count == maxCount || (maxBytes != 0 && bytes >= maxBytes) }

    mutating func add(_ index: LogIndex, bytes size: UInt64) {
        precondition(!isFull, "an append was sent past the in-flight limit")
        if count == ring.count { grow() }
        var next = start + count
        if next >= ring.count { next -= ring.count }
        ring[next] = Sent(index: index, bytes: size)
        count += 1
        bytes += size
    }

    /// Frees every message whose last entry is at or below `index`.
    mutating func free(through index: LogIndex) {
        while count > 0 && ring[start].index <= index {
            bytes -= ring[start].bytes
            count -= 1
            start += 1
            if start == ring.count { start = 0 }
        }
        if count == 0 { start = 0 }
    }

    mutating func removeAll() {
        count = 0
        bytes = 0
        start = 0
    }

    private mutating func grow() {
        var larger: [Sent] = []
        larger.reserveCapacity(min(max(ring.count * 2, 4), maxCount))
        for i in 0..<count { larger.append(ring[(start + i) % ring.count]) }
        while larger.count < min(max(ring.count * 2, 4), maxCount) { larger.append(Sent(index: .zero, bytes: 0)) }
        ring = larger
        start = 0
    }
}
