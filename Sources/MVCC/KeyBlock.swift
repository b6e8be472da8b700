/// Keys in ascending order, packed into one piece of memory.
struct KeyBlock: Sendable {
    private(set) var bytes: [UInt8] = []
    /// Where each key ends in `bytes`.
    private var ends: [UInt32] = []

    var count: Int { ends.count }
    /// What it takes in memory, without the allocator's overhead.
    var allocatedBytes: Int { bytes.capacity + ends.capacity * 4 }

    init(capacity: Int = 0) { ends.reserveCapacity(capacity) }

    @inline(__always)
    func range(at i: Int) -> Range<Int> { (i == 0 ? 0 : Int(ends[i - 1]))..<Int(ends[i]) }

    func key(at i: Int) -> ArraySlice<UInt8> { bytes[range(at: i)] }

    @inline(__always)
    func compare(_ i: Int, to key: RawSpan) -> Int {
        compareBytes(bytes.span.bytes.extracting(range(at: i)), key)
    }

    /// The first position whose key is not before `key`, and whether it is the same. O(log n).
    func search(_ key: RawSpan) -> (position: Int, found: Bool) {
        let all = bytes.span.bytes
        var low = 0
        var high = ends.count
        while low < high {
            let middle = (low &+ high) >> 1
            let order = compareBytes(all.extracting(range(at: middle)), key)
            if order == 0 { return (middle, true) }
            if order < 0 { low = middle &+ 1 } else { high = middle }
        }
        return (low, false)
    }

    mutating func insert(_ key: RawSpan, at i: Int) {
        let start = i == 0 ? 0 : Int(ends[i - 1])
        let size = key.byteCount
        if bytes.count + size > bytes.capacity {
            // Grows by a quarter instead of doubling: an index is mostly such blocks.
            bytes.reserveCapacity(bytes.count + size + max(bytes.count / 4, size * 4))
        }
        if i == ends.count {
            bytes.append(copying: key)
        } else {
            bytes.insert(contentsOf: key.array, at: start)
            for j in i..<ends.count { ends[j] &+= UInt32(size) }
        }
        ends.insert(UInt32(start + size), at: i)
    }

    mutating func append(_ key: ArraySlice<UInt8>) {
        bytes.append(contentsOf: key)
        ends.append(UInt32(bytes.count))
    }

    mutating func remove(at i: Int) {
        let range = range(at: i)
        bytes.removeSubrange(range)
        ends.remove(at: i)
        for j in i..<ends.count { ends[j] -= UInt32(range.count) }
    }

    /// Moves the keys from `i` on into a new block; what stays gives up the memory that it no longer needs.
    mutating func split(at i: Int, capacity: Int) -> KeyBlock {
        let right = slice(i..<count, capacity: capacity)
        self = slice(0..<i, capacity: capacity)
        return right
    }

    /// A copy of some of the keys, with room in bytes for what follows only when `capacity` says that more keys will
    /// come.
    func slice(_ positions: Range<Int>, capacity: Int) -> KeyBlock {
        var block = KeyBlock(capacity: max(capacity, positions.count))
        guard let first = positions.first else { return block }
        let start = range(at: first).lowerBound
        let end = range(at: positions.upperBound - 1).upperBound
        block.bytes.reserveCapacity(end - start)
        block.bytes.append(contentsOf: bytes[start..<end])
        for i in positions { block.ends.append(ends[i] - UInt32(start)) }
        return block
    }

    mutating func append(contentsOf other: KeyBlock) {
        let base = UInt32(bytes.count)
        bytes.append(contentsOf: other.bytes)
        for end in other.ends { ends.append(end + base) }
    }
}
