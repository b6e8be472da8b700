/// What is below an item of a branch, or at the root of a bucket: a page as it is in the file, or a node that the write
/// transaction changes.
enum Child {
    case page(UInt64)
    case leaf(Leaf)
    case branch(Branch)

    /// Whether both stand for the same page or are the same node.
    static func != (a: Child, b: Child) -> Bool {
        switch (a, b) {
        case (.page(let a), .page(let b)): a != b
        case (.leaf(let a), .leaf(let b)): a !== b
        case (.branch(let a), .branch(let b)): a !== b
        case (.page, _), (.leaf, _), (.branch, _): true
        }
    }
}

/// A branch page that a write transaction changes.
final class Branch {
    struct Item {
        /// The separator, in `keys`.
        var start: Int
        var keyCount: Int
        var child: Child

        var size: Int { Layout.element + keyCount }
    }

    private(set) var items: [Item] = []
    private var keys: GrowingBytes
    /// Bytes of the page image: header, elements and keys.
    private(set) var size = Layout.pageHeader
    var isShrunk = false

    init() { keys = GrowingBytes(capacity: 4096) }

    init(_ page: Page) throws(BoltError) {
        keys = GrowingBytes(capacity: page.bytes.count)
        items.reserveCapacity(page.count + 4)
        for index in 0..<page.count {
            let element = try page.branchElement(index)
            guard element.keyCount <= Layout.maxKeyCount else {
                throw page.corrupted("branch element \(index) has a key of \(element.keyCount) bytes")
            }
            append(page.key(element), .page(element.child))
        }
    }

    var count: Int { items.count }

    @inline(__always) func key(_ index: Int) -> PageBytes { keys.slice(items[index].start, items[index].keyCount) }

    /// The item below which `key` is: the last whose separator is not above it, or the first.
    func index(for key: PageBytes) -> Int {
        var low = 0
        var high = items.count
        while low < high {
            let middle = (low &+ high) / 2
            if self.key(middle).compare(key) <= 0 { low = middle &+ 1 } else { high = middle }
        }
        return max(0, low &- 1)
    }

    func setChild(_ child: Child, at index: Int) { items[index].child = child }

    func append(_ key: PageBytes, _ child: Child) { insert(key, child, at: count) }

    /// - Precondition: `key` is not a view into this branch.
    func insert(_ key: PageBytes, _ child: Child, at index: Int) {
        let item = Item(start: keys.append(key), keyCount: key.count, child: child)
        items.insert(item, at: index)
        size += item.size
    }

    func remove(at index: Int) {
        size -= items[index].size
        items.remove(at: index)
        isShrunk = true
    }

    func removeLast() {
        size -= items[items.count - 1].size
        items.removeLast()
    }

    /// Moves all items of `other`, whose separators are above this branch's, to the end of this one.
    func absorb(_ other: Branch) {
        for index in 0..<other.count { append(other.key(index), other.items[index].child) }
    }
}
