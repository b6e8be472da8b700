internal import Base

extension KeyIndex {
    /// Records a put of `key` at `revision`, which must be after all revisions of the key.
    /// - Returns: the record before, if there was one, and the one now.
    @discardableResult
    mutating func put(_ key: RawSpan, at revision: Revision, hasLease: Bool) -> (old: KeyRecord?, new: KeyRecord) {
        let (position, found) = seek(key)
        guard found else {
            let record = KeyRecord(revision, created: revision.main, version: 1, hasLease: hasLease)
            insert(key, record, at: position)
            return (nil, record)
        }
        let old = leaves[position.leaf].records[position.slot]
        let record = KeyRecord(
            revision, created: old.isTombstone ? revision.main : old.created, version: old.version + 1,
            hasLease: hasLease, history: retire(old, before: revision))
        if old.isTombstone { liveCount += 1 }
        leaves[position.leaf].records[position.slot] = record
        return (old, record)
    }

    /// Ends the key at `position` with a tombstone. Keeps all positions valid.
    mutating func tombstone(at position: Position, _ revision: Revision) {
        let old = leaves[position.leaf].records[position.slot]
        precondition(!old.isTombstone, "a tombstone at \(revision) on a tombstone at \(old.modified)")
        leaves[position.leaf].records[position.slot] = .tombstone(revision, history: retire(old, before: revision))
        liveCount -= 1
    }

    private mutating func retire(_ old: KeyRecord, before revision: Revision) -> UInt32 {
        precondition(old.modified < revision, "revision \(revision) after \(old.modified) of the same key")
        let entry = RevisionHistory.Entry(main: old.modifiedMain, sub: old.sub, isTombstone: old.isTombstone)
        return history.append(entry, to: old.history)
    }

    /// Takes a row of the file, in revision order, when the store is opened.
    /// - Returns: false when the row's revision is not after those of the same key that were taken before.
    mutating func restore(_ key: RawSpan, _ row: RowKey, created: Int64, version: Int64, hasLease: Bool) -> Bool {
        let (position, found) = seek(key)
        guard found else {
            insert(
                key,
                row.isTombstone
                    ? .tombstone(row.revision, history: 0)
                    : KeyRecord(row.revision, created: created, version: max(version, 1), hasLease: hasLease),
                at: position)
            return true
        }
        let old = leaves[position.leaf].records[position.slot]
        guard old.modified < row.revision else { return false }
        let slot = retire(old, before: row.revision)
        leaves[position.leaf].records[position.slot] =
            row.isTombstone
            ? .tombstone(row.revision, history: slot)
            : KeyRecord(row.revision, created: created, version: max(version, 1), hasLease: hasLease, history: slot)
        liveCount += (row.isTombstone ? 0 : 1) - (old.isTombstone ? 0 : 1)
        return true
    }

    /// Adds a key that is not in the tree, where `seek` found its place.
    mutating func insert(_ key: RawSpan, _ record: KeyRecord, at position: Position) {
        count += 1
        if !record.isTombstone { liveCount += 1 }
        guard leaves[position.leaf].count >= KeyIndex.leafCapacity else {
            leaves[position.leaf].insert(key, record, at: position.slot)
            return
        }
        let path = path(to: key)
        let left = position.leaf
        let isAppend = position.slot == leaves[left].count
        // Keys that come in order leave full leaves behind.
        let cut = isAppend ? leaves[left].count : leaves[left].count / 2
        var right = Leaf()
        right.keys = leaves[left].keys.split(at: cut, capacity: 0)
        right.records.reserveCapacity(leaves[left].count - cut + 8)
        right.records.append(contentsOf: leaves[left].records[cut...])
        var kept: [KeyRecord] = []
        kept.reserveCapacity(cut + (isAppend ? 0 : 8))
        kept.append(contentsOf: leaves[left].records[..<cut])
        leaves[left].records = kept
        right.next = leaves[left].next
        if position.slot > cut || isAppend {
            right.insert(key, record, at: position.slot - cut)
        } else {
            leaves[left].insert(key, record, at: position.slot)
        }
        let separator = shortestSeparator(
            after: leaves[left].keys.key(at: leaves[left].count - 1), through: right.keys.key(at: 0))
        let number = allocate(right)
        leaves[left].next = number
        addChild(number, separator, path: path)
    }

    /// The shortest byte string after `a` and not after `b`.
    private func shortestSeparator(after a: ArraySlice<UInt8>, through b: ArraySlice<UInt8>) -> [UInt8] {
        var common = 0
        for (x, y) in zip(a, b) {
            if x != y { break }
            common += 1
        }
        return Array(b.prefix(common + 1))
    }

    /// The branches from the root down to the leaf for `key`.
    func path(to key: RawSpan) -> [Step] {
        var path: [Step] = []
        path.reserveCapacity(height)
        var node = root
        for _ in 0..<height {
            let child = child(of: node, for: key)
            path.append(Step(branch: node, child: child))
            node = branches[node].children[child]
        }
        return path
    }

    /// Hangs a new node to the right of the one at the end of `path`.
    private mutating func addChild(_ node: Int, _ separator: [UInt8], path: [Step]) {
        var node = node
        var separator = separator
        for step in path.reversed() {
            branches[step.branch].separators.insert(separator.span.bytes, at: step.child)
            branches[step.branch].children.insert(node, at: step.child + 1)
            let total = branches[step.branch].children.count
            guard total > KeyIndex.branchCapacity else { return }
            let cut = step.child + 2 == total ? total - 1 : total / 2
            var right = Branch()
            right.children = Array(branches[step.branch].children[cut...])
            separator = Array(branches[step.branch].separators.key(at: cut - 1))
            right.separators = branches[step.branch].separators.slice(cut..<(total - 1), capacity: 0)
            branches[step.branch].separators = branches[step.branch].separators.slice(0..<(cut - 1), capacity: 0)
            branches[step.branch].children.removeLast(total - cut)
            node = allocate(right)
        }
        var top = Branch()
        top.children = [root, node]
        top.separators.insert(separator.span.bytes, at: 0)
        root = allocate(top)
        height += 1
    }

    private mutating func allocate(_ leaf: Leaf) -> Int {
        if let number = freeLeaves.popLast() {
            leaves[number] = leaf
            return number
        }
        leaves.append(leaf)
        return leaves.count - 1
    }

    private mutating func allocate(_ branch: Branch) -> Int {
        if let number = freeBranches.popLast() {
            branches[number] = branch
            return number
        }
        branches.append(branch)
        return branches.count - 1
    }
}
