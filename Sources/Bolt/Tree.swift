/// A bucket's B+tree inside a write transaction. Pages turn into nodes on the way to what is changed; the nodes turn
/// into new pages when the transaction commits.
///
/// Invariants: below a `.page` nothing was changed; a node's old page is freed when the node is made; all leaves are
/// equally deep; the separators of a branch ascend, and only the first may be above keys of its child, until the
/// branch is written.
final class Tree {
    let pages: WritePages
    var root: Child
    /// The root page at the start of the transaction; nil for a bucket without one.
    private let originalRoot: UInt64?
    /// The way to the leaf found last: each branch and the item taken in it.
    var path: [(branch: Branch, index: Int)] = []

    /// A leaf with more items and bytes than this is split at once, so that inserting into it stays cheap.
    static let maxLeafItems = 512
    static let maxLeafPages = 8

    init(pages: WritePages, root: Child) {
        self.pages = pages
        self.root = root
        originalRoot = if case .page(let id) = root { id } else { nil }
    }

    /// Whether anything has to be written.
    var isChanged: Bool {
        switch root {
        case .page(let id): id != originalRoot
        case .leaf(let leaf): leaf.isChanged
        case .branch: true
        }
    }

    func deeper(than page: UInt64) -> BoltError {
        pages.source.corrupted(page, "deeper than \(Layout.maxDepth) levels")
    }

    // MARK: Reading

    /// Lends the item of `key` to `body`, or nil if there is none.
    func find<R>(
        _ key: PageBytes, _ body: (_ value: PageBytes, _ isBucket: Bool) throws(BoltError) -> R
    ) throws(BoltError) -> R? {
        var current = root
        while true {
            switch current {
            case .branch(let branch): current = branch.items[branch.index(for: key)].child
            case .leaf(let leaf):
                let (index, found) = leaf.lowerBound(key)
                return found ? try body(leaf.value(index), leaf.items[index].isBucket) : nil
            case .page(let id):
                // Everything below a page is a page of the committed version.
                guard let (page, element) = try pages.base.find(key, from: try pages.page(id)) else { return nil }
                return try body(page.value(element), element.isBucket)
            }
        }
    }

    // MARK: Nodes

    /// Makes a node of `child`, freeing its page.
    /// - Throws: `.corrupted` if the page's seal is broken: what is damaged must not be laid out anew under a good one.
    func node(_ child: Child) throws(BoltError) -> Child {
        guard case .page(let id) = child else { return child }
        let page = try pages.page(id)
        _ = try page.checkSeal()
        let node: Child = page.isLeaf ? .leaf(try Leaf(page)) : .branch(try Branch(page))
        pages.free(id, count: page.overflow + 1)
        return node
    }

    /// The leaf for `key` as a node, with `path` leading to it.
    func descend(to key: PageBytes) throws(BoltError) -> Leaf {
        try descend { $0.index(for: key) }
    }

    /// The last leaf as a node, with `path` leading to it.
    func descendRight() throws(BoltError) -> Leaf {
        try descend { $0.count - 1 }
    }

    @inline(__always) private func descend(_ choose: (Branch) -> Int) throws(BoltError) -> Leaf {
        path.removeAll(keepingCapacity: true)
        root = try node(root)
        var current = root
        while true {
            switch current {
            case .page: preconditionFailure("not made a node")
            case .leaf(let leaf): return leaf
            case .branch(let branch):
                let index = choose(branch)
                let old = branch.items[index].child
                if case .page(let id) = old, path.count >= Layout.maxDepth { throw deeper(than: id) }
                current = try node(old)
                if case .page = old { branch.setChild(current, at: index) }
                path.append((branch, index))
            }
        }
    }

    /// The separator that all keys of the leaf at `path` are below; nil for the last leaf. Lies in a branch, so it is
    /// good until a branch changes.
    func upperBound() -> PageBytes? {
        for (branch, index) in path.reversed() where index + 1 < branch.count { return branch.key(index + 1) }
        return nil
    }

    // MARK: Changing

    func put(_ key: PageBytes, _ value: PageBytes, isBucket: Bool = false) throws(BoltError) {
        let leaf = try descend(to: key)
        try leaf.put(key, value, isBucket: isBucket)
        splitIfLarge(leaf)
    }

    /// Removes `key`. False if it is not there.
    /// - Throws: `.incompatibleValue` if it is a bucket and `isBucket` is false, or the reverse.
    func delete(_ key: PageBytes, isBucket: Bool = false) throws(BoltError) -> Bool {
        // Looked up first, so that deleting what is not there writes nothing.
        let kind = try find(key) { (_, isBucket) throws(BoltError) in isBucket }
        guard let kind else { return false }
        guard kind == isBucket else { throw .incompatibleValue }
        let leaf = try descend(to: key)
        let (index, found) = leaf.lowerBound(key)
        guard found else {
            throw .corrupted(file: pages.source.path, page: 0, reason: "a key found a moment ago is gone")
        }
        pages.looseBytes += leaf.items[index].size
        leaf.remove(at: index)
        return true
    }

    /// Splits the leaf at `path` in two if it has grown far beyond a page.
    func splitIfLarge(_ leaf: Leaf) {
        guard leaf.count > Tree.maxLeafItems, leaf.size > Tree.maxLeafPages * pages.pageSize else { return }
        let right = leaf.split(at: leaf.count / 2)
        if let (branch, index) = path.last {
            branch.insert(right.key(0), .leaf(right), at: index + 1)
        } else {
            let branch = Branch()
            branch.append(leaf.key(0), .leaf(leaf))
            branch.append(right.key(0), .leaf(right))
            root = .branch(branch)
        }
    }
}
