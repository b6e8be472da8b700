internal import Base

extension KeyIndex {
    /// What one slice of a compaction did.
    struct CompactionSlice: Sendable {
        /// Where the next slice starts; nil when all keys are done.
        var resumeKey: [UInt8]?
        /// Whether any key of the slice keeps a revision at the compaction.
        var kept: Bool
        var visited: Int
    }

    /// Drops from the index what a compaction at `revision` takes, leaf by leaf.
    /// - Parameters:
    ///   - start: the slice's first key; empty for the very first.
    ///   - limit: stop after the leaf in which so many keys have been visited.
    mutating func compact(at revision: Int64, from start: [UInt8], limit: Int) -> CompactionSlice {
        var slice = CompactionSlice(resumeKey: start, kept: false, visited: 0)
        while let key = slice.resumeKey, slice.visited < limit {
            let path = path(to: key.span.bytes)
            let leaf = path.last.map { branches[$0.branch].children[$0.child] } ?? root
            // Taken before the leaf changes: the next leaf may be merged into this one.
            slice.resumeKey = nextLeafKey(path)
            slice.visited += leaves[leaf].count
            if compactLeaf(leaf, at: revision) { slice.kept = true }
            rebalance(path, leaf)
        }
        return slice
    }

    /// The smallest separator after the leaf at the end of `path`: every key of the next leaf is at or after it.
    private func nextLeafKey(_ path: [Step]) -> [UInt8]? {
        for step in path.reversed() where step.child < branches[step.branch].separators.count {
            return Array(branches[step.branch].separators.key(at: step.child))
        }
        return nil
    }

    private mutating func compactLeaf(_ leaf: Int, at revision: Int64) -> Bool {
        var anyKept = false
        var remaining: [Int] = []
        for slot in 0..<leaves[leaf].count {
            var record = leaves[leaf].records[slot]
            var keepsKey = true
            if record.modifiedMain <= revision {
                history.release(record.history)
                record.history = 0
                keepsKey = !record.isTombstone || record.modifiedMain == revision
                if keepsKey { anyKept = true }
            } else {
                let (slot, kept) = history.compact(record.history, at: revision)
                record.history = slot
                if kept { anyKept = true }
            }
            leaves[leaf].records[slot] = record
            if keepsKey { remaining.append(slot) }
        }
        if remaining.count < leaves[leaf].count {
            count -= leaves[leaf].count - remaining.count
            var keys = KeyBlock(capacity: remaining.count)
            for slot in remaining { keys.append(leaves[leaf].keys.key(at: slot)) }
            leaves[leaf].keys = keys
            let records = leaves[leaf].records
            leaves[leaf].records = remaining.map { records[$0] }
        }
        return anyKept
    }

    /// Merges a leaf that has become small with a neighbour below the same branch, and so on upwards.
    private mutating func rebalance(_ path: [Step], _ leaf: Int) {
        guard var step = path.last, leaves[leaf].count < KeyIndex.leafCapacity / 4 else { return }
        let parent = step.branch
        let total = branches[parent].children.count
        guard total > 1 else {
            shrink(path)
            return
        }
        if step.child + 1 == total { step.child -= 1 }
        let left = branches[parent].children[step.child]
        let right = branches[parent].children[step.child + 1]
        let merged = leaves[left].count + leaves[right].count
        guard merged <= KeyIndex.leafCapacity * 3 / 4 || leaves[left].count == 0 || leaves[right].count == 0 else {
            return
        }
        leaves[left].keys.append(contentsOf: leaves[right].keys)
        leaves[left].records.append(contentsOf: leaves[right].records)
        leaves[left].next = leaves[right].next
        leaves[right] = Leaf()
        freeLeaves.append(right)
        branches[parent].children.remove(at: step.child + 1)
        branches[parent].separators.remove(at: step.child)
        shrink(path)
    }

    /// Merges branches that have become small, from the lowest of `path` upwards, and takes away a root with one child.
    private mutating func shrink(_ path: [Step]) {
        var level = path.count - 1
        while level > 0, branches[path[level].branch].children.count < KeyIndex.branchCapacity / 4 {
            let parent = path[level - 1].branch
            guard branches[parent].children.count > 1 else { break }
            let child = min(path[level - 1].child, branches[parent].children.count - 2)
            let left = branches[parent].children[child]
            let right = branches[parent].children[child + 1]
            guard branches[left].children.count + branches[right].children.count <= KeyIndex.branchCapacity * 3 / 4
            else { break }
            branches[left].separators.append(branches[parent].separators.key(at: child))
            branches[left].separators.append(contentsOf: branches[right].separators)
            branches[left].children.append(contentsOf: branches[right].children)
            branches[right] = Branch()
            freeBranches.append(right)
            branches[parent].children.remove(at: child + 1)
            branches[parent].separators.remove(at: child)
            level -= 1
        }
        while height > 0, branches[root].children.count == 1 {
            let old = root
            root = branches[old].children[0]
            branches[old] = Branch()
            freeBranches.append(old)
            height -= 1
        }
    }
}
