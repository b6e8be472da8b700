/// What one commit does of a sweep: its limits, and what it has done so far.
struct Sweep {
    /// Pages from here on are moved.
    let cutoff: UInt64
    private let byteLimit: Int
    private let visitLimit: Int
    /// Pages looked at.
    var visits = 0
    /// Bytes of pages moved or joined.
    var bytes = 0
    /// Pages moved or joined.
    var pagesMoved = 0
    /// Where a tree goes on when the limits were reached, or a leaf with buckets was met.
    var resumeKey: [UInt8]?
    /// The buckets with pages of their own in the leaf last looked at.
    var buckets: [[UInt8]] = []

    init(cutoff: UInt64, byteLimit: Int, visitLimit: Int) {
        self.cutoff = cutoff
        self.byteLimit = byteLimit
        self.visitLimit = visitLimit
    }

    /// The commit has done its part.
    var isSpent: Bool { bytes >= byteLimit || visits >= visitLimit }
    /// The walk has to come back before it goes on to the next leaf.
    fileprivate var pauses: Bool { isSpent || !buckets.isEmpty }
}

extension Tree {
    /// Leaves that are joined at most at a time.
    private static let joinedLeaves = 8

    /// Goes on with a sweep in this tree at the leaf of `start`, and returns the key where to go on after this; nil
    /// when the tree is done. At least one leaf is looked at.
    func sweep(from start: [UInt8], _ sweep: inout Sweep) throws(BoltError) -> [UInt8]? {
        sweep.resumeKey = nil
        sweep.buckets = []
        root = try withBytes(start) { (start) throws(BoltError) in try swept(root, from: start, &sweep, depth: 0) }
        return sweep.resumeKey
    }

    private func swept(
        _ child: Child, from start: PageBytes?, _ sweep: inout Sweep, depth: Int
    ) throws(BoltError) -> Child {
        switch child {
        case .branch(let branch):
            _ = try sweepBranch(BranchView(branch), from: start, &sweep, depth: depth)
            return child
        case .leaf(let leaf):
            sweep.visits += 1
            try noteBuckets(in: LeafView(leaf), &sweep)
            return child
        case .page(let id):
            guard depth < Layout.maxDepth else { throw deeper(than: id) }
            let page = try pages.page(id)
            sweep.visits += 1
            if page.isLeaf {
                try noteBuckets(in: LeafView(page), &sweep)
                return id >= sweep.cutoff ? try moved(page, &sweep) : child
            }
            var branch = try sweepBranch(BranchView(page), from: start, &sweep, depth: depth)
            // A node is laid out anew when the transaction commits, in the lowest free place.
            if id >= sweep.cutoff, branch.node == nil, pages.space.free.hasPage(below: id) {
                sweep.bytes += pages.pageSize
                sweep.pagesMoved += 1
                return .branch(try branch.makeNode(in: self))
            }
            return branch.node.map { .branch($0) } ?? child
        }
    }

    private func sweepBranch(
        _ branch: BranchView, from start: PageBytes?, _ sweep: inout Sweep, depth: Int
    ) throws(BoltError) -> BranchView {
        var branch = branch
        var start = start
        var index = try start.map { (key) throws(BoltError) in try branch.index(for: key) } ?? 0
        while index < branch.count {
            if start == nil, sweep.pauses {
                sweep.resumeKey = try branch.key(index).array
                break
            }
            try joinLeaves(&branch, at: index, &sweep)
            let old = try branch.child(index)
            let new = try swept(old, from: start, &sweep, depth: depth + 1)
            start = nil
            if new != old { try branch.makeNode(in: self).setChild(new, at: index) }
            if sweep.resumeKey != nil { break }
            index += 1
        }
        return branch
    }

    /// Notes the buckets that have pages of their own.
    private func noteBuckets(in leaf: LeafView, _ sweep: inout Sweep) throws(BoltError) {
        for index in 0..<leaf.count {
            let item = try leaf.item(index)
            guard item.isBucket, item.value.count >= Layout.bucketHeader, item.value.u64(at: 0) != 0 else { continue }
            sweep.buckets.append(item.key.array)
        }
    }

    /// Copies a leaf page to the lowest free place before it, if there is one.
    private func moved(_ page: Page, _ sweep: inout Sweep) throws(BoltError) -> Child {
        let count = page.overflow + 1
        guard pages.space.free.hasPage(below: page.id) else { return .page(page.id) }
        // One without a seal is laid out anew, to get one. What is damaged must not get a seal that fits.
        guard try page.checkSeal() else { return try node(.page(page.id)) }
        guard let (id, writer) = pages.allocate(count, below: page.id) else { return .page(page.id) }
        writer.put(page.bytes, at: 0)
        writer.put(id, at: 0)
        writer.seal()
        pages.free(page.id, count: count)
        sweep.bytes += count * pages.pageSize
        sweep.pagesMoved += count
        return .page(id)
    }

    // MARK: Half-empty leaves

    /// Makes one node of up to eight leaves from `index` on if that saves a quarter of their pages.
    private func joinLeaves(_ branch: inout BranchView, at index: Int, _ sweep: inout Sweep) throws(BoltError) {
        var count = 0
        var bytes = 0
        while count < Tree.joinedLeaves, index + count < branch.count,
            let size = try leafSize(try branch.child(index + count))
        {
            bytes += size
            count += 1
        }
        let room = pages.pageRoom - Layout.pageHeader
        let needed = max(1, (bytes + room * 9 / 10 - 1) / (room * 9 / 10))
        guard count > 1, needed * 4 <= count * 3 else { return }
        let branch = try branch.makeNode(in: self)
        let joined = try node(branch.items[index].child)
        guard case .leaf(let left) = joined else { return }
        branch.setChild(joined, at: index)
        for _ in 1..<count {
            guard case .leaf(let right) = try node(branch.items[index + 1].child) else { return }
            left.absorb(right)
            branch.remove(at: index + 1)
        }
        sweep.visits += count
        sweep.bytes += needed * pages.pageSize
        sweep.pagesMoved += needed
    }

    /// Bytes of a leaf's items; nil for a branch, and for a leaf with overflow pages, which is never half empty.
    private func leafSize(_ child: Child) throws(BoltError) -> Int? {
        switch child {
        case .branch: return nil
        case .leaf(let leaf): return leaf.size <= pages.pageRoom ? leaf.size - Layout.pageHeader : nil
        case .page(let id):
            let page = try pages.page(id)
            guard page.isLeaf, page.overflow == 0 else { return nil }
            guard page.count > 0 else { return 0 }
            // Keys and values lie one behind the other, so the last element tells how far they reach.
            let last = try page.leafElement(page.count - 1)
            return last.keyStart + last.keyCount + last.valueCount - Layout.pageHeader
        }
    }
}
