/// A leaf page that a write transaction changes: items that point into the page it was read from, or into bytes of its
/// own for what was put since.
final class Leaf {
    struct Item {
        /// Where key and value begin, one behind the other.
        var start: Int
        var valueCount: UInt32
        /// At most `Layout.maxKeyCount`.
        var keyCount: UInt16
        var isBucket: Bool
        /// In `added` instead of in the page.
        var isAdded: Bool

        /// Bytes that the item takes in a page.
        @inline(__always) var size: Int { Layout.element + Int(keyCount) + Int(valueCount) }
    }

    private(set) var items: [Item] = []
    /// Bytes of the page image: header, elements, keys and values.
    private(set) var size = Layout.pageHeader
    /// Items were removed, so the leaf may have become too small.
    var isShrunk = false
    /// Differs from the page or image that it was read from.
    private(set) var isChanged: Bool
    private let page: PageBytes?
    private var added: GrowingBytes?
    /// `added` is rewritten when it has grown to this, so that values replaced over and over do not pile up.
    private var addedLimit = 1 << 18

    /// An empty leaf.
    init() {
        page = nil
        isChanged = true
    }

    /// The items of a page, or of an inline bucket's image, whose memory stays as it is during the transaction.
    init(_ page: Page) throws(BoltError) {
        self.page = page.bytes
        isChanged = false
        items.reserveCapacity(page.count + 4)
        for index in 0..<page.count {
            let element = try page.leafElement(index)
            guard element.keyCount <= Layout.maxKeyCount else {
                throw page.corrupted("leaf element \(index) has a key of \(element.keyCount) bytes")
            }
            let item = Item(
                start: element.keyStart, valueCount: UInt32(element.valueCount), keyCount: UInt16(element.keyCount),
                isBucket: element.isBucket, isAdded: false)
            items.append(item)
            size += item.size
        }
    }

    var count: Int { items.count }

    @inline(__always) func key(_ index: Int) -> PageBytes {
        let item = items[index]
        return bytes(item).slice(0, Int(item.keyCount))
    }

    @inline(__always) func value(_ index: Int) -> PageBytes {
        let item = items[index]
        return bytes(item).slice(Int(item.keyCount), Int(item.valueCount))
    }

    /// Key and value.
    @inline(__always) func bytes(_ item: Item) -> PageBytes {
        let count = Int(item.keyCount) &+ Int(item.valueCount)
        if item.isAdded, let added { return added.slice(item.start, count) }
        guard let page else { preconditionFailure("an item of no page") }
        return page.slice(item.start, count)
    }

    /// The first item whose key is not below `key`, and whether it is equal.
    func lowerBound(_ key: PageBytes) -> (index: Int, found: Bool) {
        var low = 0
        var high = items.count
        while low < high {
            let middle = (low &+ high) / 2
            let order = self.key(middle).compare(key)
            if order == 0 { return (middle, true) }
            if order < 0 { low = middle &+ 1 } else { high = middle }
        }
        return (low, false)
    }

    /// Inserts an item, or replaces the value of the one with this key.
    /// - Throws: `.incompatibleValue` if a value would replace a bucket or the reverse.
    func put(_ key: PageBytes, _ value: PageBytes, isBucket: Bool) throws(BoltError) {
        let (index, found) = lowerBound(key)
        if found {
            guard items[index].isBucket == isBucket else { throw .incompatibleValue }
            replace(index, key, value)
        } else {
            items.insert(add(key, value, isBucket: isBucket), at: index)
            size += items[index].size
        }
        isChanged = true
    }

    private func replace(_ index: Int, _ key: PageBytes, _ value: PageBytes) {
        let old = items[index]
        if old.isAdded, Int(old.valueCount) == value.count, let added {
            added.overwrite(at: old.start + key.count, with: value)
            return
        }
        items[index] = add(key, value, isBucket: old.isBucket)
        size += items[index].size - old.size
        if let added, added.count > addedLimit { compact() }
    }

    /// Appends an item whose key is above all others.
    func append(_ key: PageBytes, _ value: PageBytes, isBucket: Bool = false) {
        let item = add(key, value, isBucket: isBucket)
        items.append(item)
        size += item.size
        isChanged = true
    }

    private func add(_ key: PageBytes, _ value: PageBytes, isBucket: Bool) -> Item {
        let added = added ?? GrowingBytes(capacity: max(512, key.count + value.count))
        self.added = added
        let start = added.append(key)
        _ = added.append(value)
        return Item(
            start: start, valueCount: UInt32(value.count), keyCount: UInt16(key.count), isBucket: isBucket,
            isAdded: true)
    }

    /// Copies what is still used of `added`.
    private func compact() {
        guard let old = added else { return }
        let new = GrowingBytes(capacity: size)
        for index in items.indices where items[index].isAdded {
            let item = items[index]
            items[index].start = new.append(old.slice(item.start, Int(item.keyCount) + Int(item.valueCount)))
        }
        added = new
        addedLimit = max(1 << 18, 2 * new.count)
    }

    func remove(at index: Int) {
        size -= items[index].size
        items.remove(at: index)
        isShrunk = true
        isChanged = true
    }

    /// Moves all items of `other`, whose keys are above this leaf's, to the end of this one.
    func absorb(_ other: Leaf) {
        for index in 0..<other.count {
            append(other.key(index), other.value(index), isBucket: other.items[index].isBucket)
        }
    }

    /// Splits off the items from `index` on.
    func split(at index: Int) -> Leaf {
        let right = Leaf()
        for i in index..<count { right.append(key(i), value(i), isBucket: items[i].isBucket) }
        size -= right.size - Layout.pageHeader
        items.removeSubrange(index...)
        isChanged = true
        return right
    }
}
