/// Finds keys that one branch of a transaction changes twice.
///
/// etcd collects, for each list of operations, the deleted ranges D and the put keys P: first the list's own deletes go
/// into D; then each nested transaction in turn, whose puts must hit neither P of the earlier ones nor D, and whose
/// deletes join D only afterwards; last the list's own puts, which must hit neither. The two branches of one
/// transaction do not see each other. So with the walk "own deletes, nested ones in turn, own puts", a put is refused
/// exactly when its key is already put, or lies in a range already deleted, by anything walked before it that is not in
/// the other branch of a transaction around both.
///
/// What follows, and clients rely on: a delete nested before a put of its key is refused, one nested after it is not; a
/// `range_end` that is not above the key, the "to the end" `\0` included, covers nothing here.
///
/// Two branches of one transaction are walked one after the other, and what the first one left is taken back while the
/// second is walked. Walking the shorter one first makes that O(n log n) in all.
package struct TxnOverlap: Sendable {
    private enum Change {
        /// The rank of the key among all put keys.
        case put(Int)
        /// The ranks of the put keys that the range covers.
        case delete(Range<Int>)
    }

    /// Where the keys of all puts lie, ascending, each key once.
    private var keys: [Range<Int>] = []
    /// By rank: how often the key is put by what is in force.
    private var putCounts: [Int] = []
    /// A Fenwick tree over ranks of differences: its prefix sum is the number of deletes in force that cover a rank.
    private var deleteTree: [Int] = []
    /// What is in force, in the order of the walk.
    private var trail: [Change] = []
    /// By transaction: the operations of its two branches, nested ones included.
    private var weights: [(success: Int, failure: Int)] = []

    package init() {}

    /// Whether no branch changes a key twice. All keys must be there. O(n log n) key comparisons.
    package mutating func isFree(_ outline: TxnOutline, _ bytes: Span<UInt8>) -> Bool {
        rankKeys(outline, bytes)
        weigh(outline)
        let whole = outline.txns[0]
        for branch in [whole.success, whole.failure] {
            putCounts = [Int](repeating: 0, count: keys.count)
            deleteTree = [Int](repeating: 0, count: keys.count + 2)
            trail.removeAll(keepingCapacity: true)
            guard walk(branch, outline, bytes) else { return false }
        }
        return true
    }

    /// Walks a list and leaves its changes in force, on the trail; false when one of them is refused.
    private mutating func walk(_ branch: Range<Int>, _ outline: TxnOutline, _ bytes: Span<UInt8>) -> Bool {
        for case .deleteRange(let delete) in outline.operations[branch] {
            let first = rank(of: delete.key, bytes)
            let end: Int
            if delete.rangeEnd.isEmpty {
                let found = first < keys.count && compareKeys(keys[first], delete.key, in: bytes) == 0
                end = found ? first + 1 : first
            } else {
                end = max(first, rank(of: delete.rangeEnd, bytes))
            }
            apply(.delete(first..<end), 1)
            trail.append(.delete(first..<end))
        }
        for case .txn(let index) in outline.operations[branch] {
            let txn = outline.txns[index]
            let successFirst = weights[index].success <= weights[index].failure
            let start = trail.count
            guard walk(successFirst ? txn.success : txn.failure, outline, bytes) else { return false }
            let end = trail.count
            for i in start..<end { apply(trail[i], -1) }
            guard walk(successFirst ? txn.failure : txn.success, outline, bytes) else { return false }
            for i in start..<end { apply(trail[i], 1) }
        }
        for case .put(let put) in outline.operations[branch] {
            let rank = rank(of: put.key, bytes)
            guard putCounts[rank] == 0, deletesCovering(rank) == 0 else { return false }
            apply(.put(rank), 1)
            trail.append(.put(rank))
        }
        return true
    }

    private mutating func apply(_ change: Change, _ sign: Int) {
        switch change {
        case .put(let rank): putCounts[rank] += sign
        case .delete(let ranks):
            if ranks.isEmpty { return }
            add(sign, from: ranks.lowerBound)
            add(-sign, from: ranks.upperBound)
        }
    }

    /// Adds `value` to all ranks from `rank` on.
    private mutating func add(_ value: Int, from rank: Int) {
        var i = rank + 1
        while i < deleteTree.count {
            deleteTree[i] += value
            i += i & -i
        }
    }

    private func deletesCovering(_ rank: Int) -> Int {
        var i = rank + 1
        var sum = 0
        while i > 0 {
            sum += deleteTree[i]
            i -= i & -i
        }
        return sum
    }

    private mutating func rankKeys(_ outline: TxnOutline, _ bytes: Span<UInt8>) {
        var all: [Range<Int>] = []
        all.reserveCapacity(outline.puts)
        for case .put(let put) in outline.operations { all.append(put.key) }
        sortKeys(&all, in: bytes)
        keys.removeAll(keepingCapacity: true)
        for key in all where keys.isEmpty || compareKeys(keys[keys.count - 1], key, in: bytes) != 0 {
            keys.append(key)
        }
    }

    /// The number of put keys below `key`. O(log n).
    private func rank(of key: Range<Int>, _ bytes: Span<UInt8>) -> Int {
        var low = 0
        var high = keys.count
        while low < high {
            let middle = (low + high) / 2
            if compareKeys(keys[middle], key, in: bytes) < 0 { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// Nested transactions stand behind the one that holds them, so one pass from the end adds them up.
    private mutating func weigh(_ outline: TxnOutline) {
        weights = [(success: Int, failure: Int)](repeating: (0, 0), count: outline.txns.count)
        for index in outline.txns.indices.reversed() {
            let txn = outline.txns[index]
            weights[index] = (weight(of: txn.success, outline), weight(of: txn.failure, outline))
        }
    }

    private func weight(of branch: Range<Int>, _ outline: TxnOutline) -> Int {
        var sum = branch.count
        for case .txn(let index) in outline.operations[branch] {
            sum += weights[index].success + weights[index].failure
        }
        return sum
    }
}

/// Bytewise order: negative, zero or positive as `a` is below, equal to or above `b`.
private func compareKeys(_ a: Range<Int>, _ b: Range<Int>, in bytes: Span<UInt8>) -> Int {
    for i in 0..<min(a.count, b.count) {
        let x = bytes[a.lowerBound + i]
        let y = bytes[b.lowerBound + i]
        if x != y { return x < y ? -1 : 1 }
    }
    return a.count - b.count
}

/// Sorts keys bytewise by merging: a span cannot be captured by the closure that `Array.sort` wants. O(n log n).
private func sortKeys(_ keys: inout [Range<Int>], in bytes: Span<UInt8>) {
    var source = keys
    var width = 1
    while width < source.count {
        var merged: [Range<Int>] = []
        merged.reserveCapacity(source.count)
        var start = 0
        while start < source.count {
            let middle = min(start + width, source.count)
            let end = min(middle + width, source.count)
            var left = start
            var right = middle
            while left < middle || right < end {
                let takesLeft =
                    right == end || (left < middle && compareKeys(source[left], source[right], in: bytes) <= 0)
                merged.append(takesLeft ? source[left] : source[right])
                if takesLeft { left += 1 } else { right += 1 }
            }
            start = end
        }
        source = merged
        width *= 2
    }
    keys = source
}
