/// A position in a bucket that moves in key order.
///
/// A cursor is on an item after `first`, `last`, `seek`, `next` or `previous` returned true; only then may its item be
/// read. After one of them returned false, or failed, it is on none until the next `first`, `last` or `seek`. It keeps
/// the bucket's transaction alive. Pages that are out of order stop it with `.corrupted`, so that it ends on any file.
public struct Cursor: Sendable {
    /// One page of the path from the root, and the element taken in it.
    private struct Level {
        let page: Page
        var index: Int
    }

    private let bucket: Bucket
    private var path: [Level] = []
    private var element: LeafElement?

    init(_ bucket: Bucket) { self.bucket = bucket }

    /// Whether the cursor is on an item.
    public var isValid: Bool { element != nil }

    /// Moves to the first item. False if the bucket is empty.
    public mutating func first() throws(BoltError) -> Bool {
        try start()
        try descend(toLast: false)
        return try settle(forward: true)
    }

    /// Moves to the last item. False if the bucket is empty.
    public mutating func last() throws(BoltError) -> Bool {
        try start()
        try descend(toLast: true)
        return try settle(forward: false)
    }

    /// Moves to the first item whose key is not below `key`. False if all keys are below it.
    /// - Complexity: O(log n).
    public mutating func seek(_ key: [UInt8]) throws(BoltError) -> Bool {
        try start()
        try withBytes(key) { (key) throws(BoltError) in
            var span: KeySpan?
            while !path[path.count - 1].page.isLeaf {
                let page = path[path.count - 1].page
                let index = try page.childIndex(for: key, in: span)
                span = try page.childSpan(index, in: span)
                path[path.count - 1].index = index
                try push()
            }
            path[path.count - 1].index = try path[path.count - 1].page.lowerBound(key, in: span).index
        }
        return try settle(forward: true)
    }

    /// Moves to the next item. False at the end.
    public mutating func next() throws(BoltError) -> Bool { try step(forward: true) }

    /// Moves to the item before. False at the beginning.
    public mutating func previous() throws(BoltError) -> Bool { try step(forward: false) }

    private mutating func start() throws(BoltError) {
        element = nil
        path.removeAll(keepingCapacity: true)
        path.append(Level(page: try bucket.root(), index: 0))
    }

    /// Appends the child that the last level's index names.
    private mutating func push() throws(BoltError) {
        let level = path[path.count - 1]
        guard path.count < Layout.maxDepth else {
            throw level.page.corrupted("deeper than \(Layout.maxDepth) levels")
        }
        let child = try level.page.branchElement(level.index).child
        path.append(Level(page: try bucket.transaction.version.page(child), index: 0))
    }

    /// Goes down to a leaf along the first or the last children.
    private mutating func descend(toLast: Bool) throws(BoltError) {
        while true {
            if toLast { path[path.count - 1].index = path[path.count - 1].page.count - 1 }
            guard !path[path.count - 1].page.isLeaf else { return }
            try push()
        }
    }

    /// Makes the element at the leaf level's index the current one, going on to the next leaf that has one.
    private mutating func settle(forward: Bool) throws(BoltError) -> Bool {
        while true {
            let leaf = path[path.count - 1]
            if leaf.index >= 0 && leaf.index < leaf.page.count {
                element = try leaf.page.leafElement(leaf.index)
                return true
            }
            repeat {
                path.removeLast()
                guard !path.isEmpty else { return false }
                path[path.count - 1].index += forward ? 1 : -1
            } while path[path.count - 1].index < 0
                || path[path.count - 1].index >= path[path.count - 1].page.count
            try push()
            try descend(toLast: !forward)
        }
    }

    private mutating func step(forward: Bool) throws(BoltError) -> Bool {
        guard let old = element else { return false }
        try bucket.transaction.checkOpen()
        element = nil
        let oldPage = path[path.count - 1].page
        path[path.count - 1].index += forward ? 1 : -1
        guard try settle(forward: forward), let new = element else { return false }
        let page = path[path.count - 1].page
        let order = page.key(new).compare(oldPage.key(old))
        guard forward ? order > 0 : order < 0 else {
            element = nil
            throw page.corrupted("key \(path.last?.index ?? 0) is out of order")
        }
        return true
    }
}

extension Cursor {
    private var leaf: (page: Page, element: LeafElement) {
        guard let element, let level = path.last else { preconditionFailure("the cursor is on no item") }
        return (level.page, element)
    }

    /// A copy of the item's key. The cursor must be on an item, as for the members below.
    public var key: [UInt8] { leaf.page.key(leaf.element).array }

    /// A copy of the item's value; empty for a bucket.
    public var value: [UInt8] { isBucket ? [] : leaf.page.value(leaf.element).array }

    /// Whether the item is a bucket.
    public var isBucket: Bool { leaf.element.isBucket }

    /// Lends key and value to `body` where they lie in the file, without a copy. The value of a bucket is empty.
    public func withItem<R>(
        _ body: (_ key: Span<UInt8>, _ value: Span<UInt8>) throws(BoltError) -> R
    ) throws(BoltError) -> R {
        let (page, element) = leaf
        try bucket.transaction.checkOpen()
        let value = element.isBucket ? page.bytes.slice(0, 0) : page.value(element)
        return try page.key(element).withSpan { (key) throws(BoltError) -> R in
            try value.withSpan { (value) throws(BoltError) -> R in try body(key, value) }
        }
    }

    /// The bucket that the item is, or nil if it is a value.
    public func openBucket() throws(BoltError) -> Bucket? {
        let (page, element) = leaf
        guard element.isBucket else { return nil }
        return Bucket(transaction: bucket.transaction, place: try BucketRoot(page, element))
    }
}
