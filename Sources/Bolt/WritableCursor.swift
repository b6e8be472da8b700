/// A position in a bucket of a write transaction, which sees the transaction's own changes.
///
/// It remembers the key it is on, not a place in the tree, so the bucket may be changed while it moves: `next` goes to
/// the first key behind the one it was on, whether that one is still there or not. Valid for as long as its bucket.
public struct WritableCursor {
    private let bucket: WritableBucket
    private var current: Item?

    struct Item {
        var key: [UInt8]
        var value: [UInt8]
        var isBucket: Bool
    }

    init(_ bucket: WritableBucket) { self.bucket = bucket }

    /// Whether the cursor is on an item.
    public var isValid: Bool { current != nil }
    /// The item's key. The cursor must be on an item, as for the members below.
    public var key: [UInt8] { item.key }
    /// The item's value; empty for a bucket.
    public var value: [UInt8] { item.value }
    public var isBucket: Bool { item.isBucket }

    private var item: Item {
        guard let current else { preconditionFailure("the cursor is on no item") }
        return current
    }

    /// Moves to the first item. False if the bucket is empty.
    /// - Complexity: O(log n), as for the other moves, and the item's size.
    public mutating func first() throws(BoltError) -> Bool { try move { (tree) throws(BoltError) in try tree.first() } }

    /// Moves to the last item. False if the bucket is empty.
    public mutating func last() throws(BoltError) -> Bool { try move { (tree) throws(BoltError) in try tree.last() } }

    /// Moves to the first item whose key is not below `key`. False if all keys are below it.
    public mutating func seek(_ key: [UInt8]) throws(BoltError) -> Bool {
        try move { (tree) throws(BoltError) in try tree.first(from: key) }
    }

    /// Moves to the next item. False at the end, and when the cursor is on none.
    public mutating func next() throws(BoltError) -> Bool {
        guard let current else { return false }
        // The smallest key above this one.
        return try seek(current.key + [0])
    }

    /// Moves to the item before. False at the beginning, and when the cursor is on none.
    public mutating func previous() throws(BoltError) -> Bool {
        guard let current else { return false }
        return try move { (tree) throws(BoltError) in try tree.last(before: current.key) }
    }

    private mutating func move(_ find: (Tree) throws(BoltError) -> Item?) throws(BoltError) -> Bool {
        current = nil
        current = try find(bucket.openTree())
        return current != nil
    }
}

extension Tree {
    func first() throws(BoltError) -> WritableCursor.Item? { try first(in: root, from: nil, depth: 0) }

    func last() throws(BoltError) -> WritableCursor.Item? { try last(in: root, before: nil, depth: 0) }

    /// The first item whose key is not below `key`.
    func first(from key: [UInt8]) throws(BoltError) -> WritableCursor.Item? {
        try withBytes(key) { (key) throws(BoltError) in try first(in: root, from: key, depth: 0) }
    }

    /// The last item whose key is below `key`.
    func last(before key: [UInt8]) throws(BoltError) -> WritableCursor.Item? {
        try withBytes(key) { (key) throws(BoltError) in try last(in: root, before: key, depth: 0) }
    }

    private enum View {
        case leaf(LeafView)
        case branch(BranchView)
    }

    private func view(_ child: Child, depth: Int) throws(BoltError) -> View {
        switch child {
        case .leaf(let leaf): return .leaf(LeafView(leaf))
        case .branch(let branch): return .branch(BranchView(branch))
        case .page(let id):
            guard depth < Layout.maxDepth else { throw deeper(than: id) }
            let page = try pages.page(id)
            return page.isLeaf ? .leaf(LeafView(page)) : .branch(BranchView(page))
        }
    }

    /// Only the way to `from` can lead to a leaf without a suitable item; or to one that deletes have emptied.
    private func first(
        in child: Child, from key: PageBytes?, depth: Int
    ) throws(BoltError) -> WritableCursor.Item? {
        switch try view(child, depth: depth) {
        case .leaf(let leaf):
            let index = try key.map { (key) throws(BoltError) in try leaf.lowerBound(key) } ?? 0
            return index < leaf.count ? WritableCursor.Item(try leaf.item(index)) : nil
        case .branch(let branch):
            let start = try key.map { (key) throws(BoltError) in try branch.index(for: key) } ?? 0
            for index in start..<branch.count {
                let from = index == start ? key : nil
                if let item = try first(in: branch.child(index), from: from, depth: depth + 1) { return item }
            }
            return nil
        }
    }

    private func last(
        in child: Child, before key: PageBytes?, depth: Int
    ) throws(BoltError) -> WritableCursor.Item? {
        switch try view(child, depth: depth) {
        case .leaf(let leaf):
            let index = try key.map { (key) throws(BoltError) in try leaf.lowerBound(key) } ?? leaf.count
            return index > 0 ? WritableCursor.Item(try leaf.item(index - 1)) : nil
        case .branch(let branch):
            let start = try key.map { (key) throws(BoltError) in try branch.index(for: key) } ?? branch.count - 1
            for index in (0..<start + 1).reversed() {
                let before = index == start ? key : nil
                if let item = try last(in: branch.child(index), before: before, depth: depth + 1) { return item }
            }
            return nil
        }
    }
}

extension WritableCursor.Item {
    fileprivate init(_ item: LeafView.Item) {
        self.init(key: item.key.array, value: item.isBucket ? [] : item.value.array, isBucket: item.isBucket)
    }
}
