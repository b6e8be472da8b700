/// A branch or leaf page whose header was checked: its elements lie inside its bytes.
struct Page {
    /// The whole page with its overflow, or an inline bucket's image.
    let bytes: PageBytes
    /// Where the page is, for messages; for an inline bucket the page that holds it.
    let id: UInt64
    let count: Int
    let isLeaf: Bool
    /// Whoever has a page keeps the transaction alive that it is of, as for its bytes, and that keeps the source. So a
    /// page is a plain value: looking for a key counts no references.
    unowned(unsafe) let source: PageSource

    /// Further pages that belong to this one.
    var overflow: Int { bytes.count / source.pageSize - 1 }

    @inline(never) func corrupted(_ reason: @autoclosure () -> String) -> BoltError {
        .corrupted(file: source.path, page: id, reason: reason())
    }

    /// Checks the header in `bytes`, whose length is already known to be right.
    @inline(__always) init(bytes: PageBytes, id: UInt64, source: PageSource) throws(BoltError) {
        let flags = bytes.u16(at: 8)
        self.bytes = bytes
        self.id = id
        self.source = source
        count = Int(bytes.u16(at: 10))
        isLeaf = flags == Layout.leafFlag
        guard isLeaf || flags == Layout.branchFlag else {
            throw corrupted("flags \(hex(UInt64(flags))), expected a branch (0x1) or leaf (0x2) page")
        }
        guard Layout.pageHeader + count * Layout.element <= bytes.count else {
            throw corrupted("\(count) elements do not fit in \(bytes.count) bytes")
        }
        guard isLeaf || count > 0 else { throw corrupted("branch page without children") }
    }

    /// Element `index` of a leaf page, its key and value inside the page.
    @inline(__always) func leafElement(_ index: Int) throws(BoltError) -> LeafElement {
        let offset = Layout.pageHeader &+ index &* Layout.element
        let keyStart = offset &+ Int(bytes.u32(at: offset &+ 4))
        let keyCount = Int(bytes.u32(at: offset &+ 8))
        let valueCount = Int(bytes.u32(at: offset &+ 12))
        guard keyStart &+ keyCount &+ valueCount <= bytes.count, keyStart &- offset >= Layout.element else {
            throw corrupted("leaf element \(index) reaches outside the page")
        }
        return LeafElement(
            isBucket: bytes.u32(at: offset) & Layout.bucketFlag != 0, keyStart: keyStart, keyCount: keyCount,
            valueCount: valueCount)
    }

    /// Element `index` of a branch page, its key inside the page.
    @inline(__always) func branchElement(_ index: Int) throws(BoltError) -> BranchElement {
        let offset = Layout.pageHeader &+ index &* Layout.element
        let keyStart = offset &+ Int(bytes.u32(at: offset))
        let keyCount = Int(bytes.u32(at: offset &+ 4))
        guard keyStart &+ keyCount <= bytes.count, keyStart &- offset >= Layout.element else {
            throw corrupted("branch element \(index) reaches outside the page")
        }
        return BranchElement(keyStart: keyStart, keyCount: keyCount, child: bytes.u64(at: offset &+ 8))
    }

    @inline(__always) func key(_ element: LeafElement) -> PageBytes { bytes.slice(element.keyStart, element.keyCount) }
    @inline(__always) func value(_ element: LeafElement) -> PageBytes {
        bytes.slice(element.keyStart &+ element.keyCount, element.valueCount)
    }
    @inline(__always) func key(_ element: BranchElement) -> PageBytes {
        bytes.slice(element.keyStart, element.keyCount)
    }

    /// The first leaf element whose key is not below `key`, and whether it is equal. `count` when all are below.
    @inline(__always) func lowerBound(_ key: PageBytes, in span: KeySpan? = nil) throws(BoltError) -> (
        index: Int, found: Bool
    ) {
        let range = try narrow(key, span) { (index) throws(BoltError) in self.key(try leafElement(index)) }
        var low = range.lowerBound
        var high = range.upperBound
        while low < high {
            let middle = (low &+ high) / 2
            let order = self.key(try leafElement(middle)).compare(key)
            if order == 0 { return (middle, true) }
            if order < 0 { low = middle &+ 1 } else { high = middle }
        }
        return (low, false)
    }

    /// The branch element below which `key` is: the last whose key is not above it, or the first.
    @inline(__always) func childIndex(for key: PageBytes, in span: KeySpan? = nil) throws(BoltError) -> Int {
        let range = try narrow(key, span) { (index) throws(BoltError) in self.key(try branchElement(index)) }
        var low = range.lowerBound
        var high = range.upperBound
        while low < high {
            let middle = (low &+ high) / 2
            if self.key(try branchElement(middle)).compare(key) <= 0 { low = middle &+ 1 } else { high = middle }
        }
        return max(0, low &- 1)
    }

    /// Where the keys below branch element `index` lie, as far as this page tells.
    @inline(__always) func childSpan(_ index: Int, in span: KeySpan?) throws(BoltError) -> KeySpan? {
        let first = key(try branchElement(index)).leadingWord
        let next = index &+ 1
        if next < count { return KeySpan(first: first, beyond: key(try branchElement(next)).leadingWord) }
        return span.map { KeySpan(first: first, beyond: $0.beyond) }
    }

    /// Pages with fewer elements are halved from the start.
    private static let fewElements = 4

    /// The elements among which `key` has to be looked for: all before them are below it, all behind above it.
    ///
    /// Keys that count, as revisions do, lie evenly: their first 8 bytes tell where one must be, and it is there or
    /// next to it. Where they do not, two looks are lost. What a look costs is the memory that it waits for, so what
    /// the parent says of the keys here spares looking at the first and the last.
    @inline(__always) private func narrow(
        _ key: PageBytes, _ span: KeySpan?, _ keyAt: (Int) throws(BoltError) -> PageBytes
    ) throws(BoltError) -> Range<Int> {
        guard let span, count >= Self.fewElements, let place = span.place(of: key, among: count) else {
            return 0..<count
        }
        let guess = min(count &- 1, place)
        let order = try keyAt(guess).compare(key)
        if order == 0 { return guess..<guess &+ 1 }
        let neighbour = order < 0 ? guess &+ 1 : guess &- 1
        guard neighbour >= 0, neighbour < count else { return max(0, neighbour)..<max(0, neighbour) }
        let second = try keyAt(neighbour).compare(key)
        if second == 0 { return neighbour..<neighbour &+ 1 }
        if order < 0 { return second < 0 ? neighbour &+ 1..<count : neighbour..<neighbour }
        return second > 0 ? 0..<neighbour : guess..<guess
    }
}

/// Between which keys those of a page lie, by their first 8 bytes. It is what a parent says, good for guesses only.
struct KeySpan {
    let first: UInt64
    let beyond: UInt64

    /// Where the key would be among `count` that lie evenly, at most `count`; nil if that cannot be told.
    @inline(__always) func place(of key: PageBytes, among count: Int) -> Int? {
        let word = key.leadingWord
        guard first <= word, word < beyond else { return nil }
        return Int(Double(word &- first) * Double(count) / Double(beyond &- first))
    }
}

extension KeySpan {
    /// Where in a leaf page the element and the key would be if the keys counted without gaps, as revisions do that no
    /// compaction has thinned out, and all items were equally large. With that the three parts of a leaf that a search
    /// looks at, one after the other, can be fetched at once.
    @inline(__always) func likelyPlace(of key: PageBytes, pageSize: Int) -> (element: Int, key: Int)? {
        let items = Int(truncatingIfNeeded: beyond &- first)
        let index = Int(truncatingIfNeeded: key.leadingWord &- first)
        guard items > 0, items <= pageSize / (2 * Layout.element), index >= 0, index < items else { return nil }
        let start = Layout.pageHeader &+ items &* Layout.element
        let size = Int(Float(pageSize &- start) / Float(items))
        return (Layout.pageHeader &+ index &* Layout.element, start &+ index &* size)
    }
}

/// Where a leaf element's key and value are in their page; the value follows the key.
struct LeafElement {
    let isBucket: Bool
    let keyStart: Int
    let keyCount: Int
    let valueCount: Int
}

struct BranchElement {
    let keyStart: Int
    let keyCount: Int
    let child: UInt64
}

extension PageSource {
    @inline(never) func corrupted(_ page: UInt64, _ reason: @autoclosure () -> String) -> BoltError {
        .corrupted(file: path, page: page, reason: reason())
    }

    /// The branch or leaf page `id` of a version with `pageCount` pages.
    @inline(__always) func page(_ id: UInt64, pageCount: UInt64) throws(BoltError) -> Page {
        let bytes = try span(id, pageCount: pageCount)
        return try Page(bytes: bytes, id: id, source: self)
    }

    /// The bytes of page `id` and its overflow, after checking that they are inside the version.
    @inline(__always) func span(_ id: UInt64, pageCount: UInt64) throws(BoltError) -> PageBytes {
        guard id >= Layout.firstPage, id < pageCount else {
            throw corrupted(id, "referenced, but the pages go from 2 to \(pageCount - 1)")
        }
        let header = bytes(id, pages: 1)
        guard header.u64(at: 0) == id else { throw corrupted(id, "the page says it is page \(header.u64(at: 0))") }
        let overflow = UInt64(header.u32(at: 12))
        guard overflow < pageCount - id else {
            throw corrupted(id, "\(overflow) overflow pages, but the last page is \(pageCount - 1)")
        }
        return overflow == 0 ? header : bytes(id, pages: Int(overflow) + 1)
    }
}

/// A bucket's header in its parent's value: where its tree is.
struct BucketHeader: Sendable {
    /// Root page id; 0 when the bucket is inline.
    var root: UInt64
    var sequence: UInt64

    /// Reads the value of a bucket element, which lies in `page`.
    static func decode(
        _ value: PageBytes, page: UInt64, source: PageSource
    ) throws(BoltError) -> (header: BucketHeader, inline: Page?) {
        guard value.count >= Layout.bucketHeader else {
            throw source.corrupted(page, "bucket value of \(value.count) bytes, expected at least 16")
        }
        let header = BucketHeader(root: value.u64(at: 0), sequence: value.u64(at: 8))
        guard header.root == 0 else { return (header, nil) }
        guard value.count >= Layout.bucketHeader + Layout.pageHeader else {
            throw source.corrupted(page, "inline bucket of \(value.count) bytes, expected at least 32")
        }
        let image = value.slice(Layout.bucketHeader, value.count - Layout.bucketHeader)
        let inline = try Page(bytes: image, id: page, source: source)
        guard inline.isLeaf else { throw source.corrupted(page, "inline bucket that is not a leaf") }
        return (header, inline)
    }

    static func decode(_ page: Page, _ element: LeafElement) throws(BoltError) -> (header: BucketHeader, inline: Page?)
    {
        try decode(page.value(element), page: page.id, source: page.source)
    }

    /// As it is written at the start of the value.
    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        for field in [root, sequence] {
            for shift in stride(from: UInt64(0), to: 64, by: 8) {
                bytes.append(UInt8(truncatingIfNeeded: field >> shift))
            }
        }
        return bytes
    }
}
