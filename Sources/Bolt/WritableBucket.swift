/// A bucket of a write transaction. Valid until the transaction ends or the bucket is deleted.
public final class WritableBucket {
    let pages: WritePages
    let tree: Tree
    private var header: BucketHeader
    private let isRoot: Bool
    private let isNew: Bool
    /// What the tree's first leaf points into when the bucket was inline.
    private let inlineCopy: PageChunk?
    private var isDeleted = false
    private var isSequenceChanged = false
    /// Buckets inside this one that were opened in this transaction.
    private var children: [[UInt8]: WritableBucket] = [:]

    /// The root bucket.
    init(root pages: WritePages) {
        self.pages = pages
        let meta = pages.base.meta
        header = BucketHeader(root: meta.root, sequence: meta.rootSequence)
        tree = Tree(pages: pages, root: .page(meta.root))
        isRoot = true
        isNew = false
        inlineCopy = nil
    }

    /// A bucket that does not exist yet.
    private init(newIn pages: WritePages) {
        self.pages = pages
        header = BucketHeader(root: 0, sequence: 0)
        tree = Tree(pages: pages, root: .leaf(Leaf()))
        isRoot = false
        isNew = true
        inlineCopy = nil
    }

    /// The bucket whose value in its parent is `value`.
    private init(_ pages: WritePages, _ value: PageBytes) throws(BoltError) {
        self.pages = pages
        // Copied, because the parent's items may move while this bucket is in use.
        let copy = PageChunk(capacity: max(1, value.count))
        copy.writer(at: 0, count: copy.capacity).put(value, at: 0)
        let (header, inline) = try BucketHeader.decode(
            copy.bytes(at: 0, count: value.count), page: 0, source: pages.source)
        self.header = header
        inlineCopy = inline == nil ? nil : copy
        let root: Child = if let inline { .leaf(try Leaf(inline)) } else { .page(header.root) }
        tree = Tree(pages: pages, root: root)
        isRoot = false
        isNew = false
    }

    private func check() throws(BoltError) {
        try pages.checkOpen()
        guard !isDeleted else { throw .bucketNotFound }
    }

    // MARK: Items

    /// A copy of the value of `key` as this transaction sees it, or nil if there is none or the key names a bucket.
    public func get(_ key: [UInt8]) throws(BoltError) -> [UInt8]? {
        try check()
        let found = try withBytes(key) { (key) throws(BoltError) -> [UInt8]?? in
            try tree.find(key) { (value, isBucket) throws(BoltError) in isBucket ? nil : value.array }
        }
        return found ?? nil
    }

    /// Sets the value of `key`.
    /// - Throws: `.keyRequired`, `.keyTooLarge`, `.valueTooLarge`, `.incompatibleValue` if the key names a bucket.
    /// - Complexity: O(log n), and the size of the leaf the first time that the transaction changes it.
    public func put(_ key: [UInt8], _ value: [UInt8]) throws(BoltError) {
        try checkPut(key, value)
        try withBytes(key) { (key) throws(BoltError) in
            try withBytes(value) { (value) throws(BoltError) in try tree.put(key, value) }
        }
    }

    private func checkPut(_ key: [UInt8], _ value: [UInt8]) throws(BoltError) {
        try check()
        guard !isRoot else { throw .incompatibleValue }
        try checkKey(key.count)
        try checkValue(value.count)
    }

    /// Removes `key`; false if it is not there.
    /// - Throws: `.incompatibleValue` if the key names a bucket.
    @discardableResult
    public func delete(_ key: [UInt8]) throws(BoltError) -> Bool {
        try check()
        return try withBytes(key) { (key) throws(BoltError) in try tree.delete(key) }
    }

    /// Puts all items of a run. Items behind the bucket's last key are laid out in pages directly, which is the fast
    /// way to append.
    /// - Throws: `.unsorted`, before anything is changed, or the errors of `put`.
    public func putSorted(_ run: SortedRun) throws(BoltError) {
        try check()
        guard !isRoot else { throw .incompatibleValue }
        try withBytes(run.bytes) { (bytes) throws(BoltError) in
            let view = RunView(bytes: bytes, items: run.items)
            try view.validate()
            try tree.put(view)
        }
    }

    /// Removes the keys of a run, whose values are ignored, and returns how many of them were there.
    /// - Throws: `.unsorted`, before anything is changed; `.incompatibleValue` if a key names a bucket.
    @discardableResult
    public func deleteSorted(_ keys: SortedRun) throws(BoltError) -> Int {
        try check()
        return try withBytes(keys.bytes) { (bytes) throws(BoltError) in
            let view = RunView(bytes: bytes, items: keys.items)
            try view.validate()
            return try tree.delete(view)
        }
    }

    /// A cursor over the bucket, not yet on an item.
    public func cursor() -> WritableCursor { WritableCursor(self) }

    /// The tree, for a cursor.
    func openTree() throws(BoltError) -> Tree {
        try check()
        return tree
    }

    /// The bucket's counter, which only its users give a meaning.
    public var sequence: UInt64 { header.sequence }

    public func setSequence(_ value: UInt64) throws(BoltError) {
        try check()
        header.sequence = value
        isSequenceChanged = true
    }

    /// Adds one to the counter and returns it.
    public func nextSequence() throws(BoltError) -> UInt64 {
        try setSequence(header.sequence &+ 1)
        return header.sequence
    }

    // MARK: Buckets inside

    /// The bucket called `name` inside this one, or nil.
    /// - Throws: `.incompatibleValue` if the name is a key with a value.
    public func bucket(_ name: [UInt8]) throws(BoltError) -> WritableBucket? {
        try check()
        if let child = children[name] { return child }
        let pages = pages
        let child = try withBytes(name) { (name) throws(BoltError) -> WritableBucket? in
            try tree.find(name) { (value, isBucket) throws(BoltError) in
                guard isBucket else { throw .incompatibleValue }
                return try WritableBucket(pages, value)
            }
        }
        children[name] = child
        return child
    }

    /// Creates the bucket called `name` inside this one.
    /// - Throws: `.bucketExists`, `.bucketNameRequired`, `.keyTooLarge`, `.incompatibleValue` if the name is a key with
    ///   a value.
    @discardableResult
    public func createBucket(_ name: [UInt8]) throws(BoltError) -> WritableBucket {
        guard try bucket(name) == nil else { throw .bucketExists }
        guard !name.isEmpty else { throw .bucketNameRequired }
        try checkKey(name.count)
        let child = WritableBucket(newIn: pages)
        try putHeader(name, [UInt8](repeating: 0, count: Layout.bucketHeader))
        children[name] = child
        return child
    }

    @discardableResult
    public func createBucketIfMissing(_ name: [UInt8]) throws(BoltError) -> WritableBucket {
        if let existing = try bucket(name) { return existing }
        return try createBucket(name)
    }

    /// Deletes the bucket called `name` with everything inside it.
    /// - Throws: `.bucketNotFound`, `.incompatibleValue` if the name is a key with a value.
    /// - Complexity: O(its pages).
    public func deleteBucket(_ name: [UInt8]) throws(BoltError) {
        guard let child = try bucket(name) else { throw .bucketNotFound }
        try child.freeAll(depth: 0)
        children[name] = nil
        _ = try withBytes(name) { (name) throws(BoltError) in try tree.delete(name, isBucket: true) }
    }

    private func putHeader(_ name: [UInt8], _ value: [UInt8]) throws(BoltError) {
        try withBytes(name) { (name) throws(BoltError) in
            try withBytes(value) { (value) throws(BoltError) in try tree.put(name, value, isBucket: true) }
        }
    }

    /// Frees every page of the bucket and of the buckets inside it.
    private func freeAll(depth: Int) throws(BoltError) {
        for name in children.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            try children[name]?.freeAll(depth: depth + 1)
        }
        let opened = children
        try tree.freeAll(depth: depth) { (name) in opened[name] != nil }
        children = [:]
        isDeleted = true
    }

    // MARK: Commit

    /// Goes on with a sweep at `position` (`Reclaim.position`) in this bucket and those inside it.
    /// - Returns: where to go on after this; nil when all is done.
    func sweep(from position: ArraySlice<[UInt8]>, _ sweep: inout Sweep, depth: Int = 0) throws(BoltError) -> [[UInt8]]?
    {
        guard depth < Layout.maxDepth else { return nil }
        var start = position.first ?? []
        if position.count > 1 {
            if let rest = try sweepBucket(start, from: position.dropFirst(), &sweep, depth: depth) { return rest }
            start += [0]
        }
        while true {
            let next = try tree.sweep(from: start, &sweep)
            for name in sweep.buckets where !name.lexicographicallyPrecedes(start) {
                if sweep.isSpent { return [name, []] }
                if let rest = try sweepBucket(name, from: [], &sweep, depth: depth) { return rest }
            }
            guard let next else { return nil }
            if sweep.isSpent { return [next] }
            start = next
        }
    }

    private func sweepBucket(
        _ name: [UInt8], from position: ArraySlice<[UInt8]>, _ sweep: inout Sweep, depth: Int
    ) throws(BoltError) -> [[UInt8]]? {
        // It may have gone since the last commit, or a value may have taken its name.
        let kind = try withBytes(name) { (name) throws(BoltError) in
            try tree.find(name) { (_, isBucket) throws(BoltError) in isBucket }
        }
        guard kind == true, let child = try bucket(name) else { return nil }
        sweep.visits += 1
        return try child.sweep(from: position, &sweep, depth: depth + 1).map { [name] + $0 }
    }

    /// Lays out everything that changed, and returns the bucket's value for its parent, or nil if nothing changed.
    func write() throws(BoltError) -> [UInt8]? {
        // By name, so that the same changes always give the same pages.
        for name in children.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            if let value = try children[name]?.write() { try putHeader(name, value) }
        }
        guard tree.isChanged || isNew || isSequenceChanged else { return nil }
        if tree.isChanged { try tree.rebalance() }
        if let image = inlineImage() { return image }
        header.root = try tree.write()
        return header.encoded
    }

    /// The root page and sequence after `write`, for the meta page.
    var root: BucketHeader { header }

    /// Header and page image, if the bucket is small enough to live in its parent.
    private func inlineImage() -> [UInt8]? {
        guard !isRoot, case .leaf(let leaf) = tree.root,
            leaf.size <= Layout.maxInlineCount(pageSize: pages.pageSize),
            !leaf.items.contains(where: \.isBucket)
        else { return nil }
        header.root = 0
        let image = PageChunk(capacity: leaf.size)
        _ = leaf.write(0..<leaf.count, to: image.writer(at: 0, count: leaf.size), id: 0, pageSize: pages.pageSize)
        return header.encoded + image.bytes(at: 0, count: leaf.size).array
    }
}
