/// A branch or leaf page whose header was checked: its elements lie inside its bytes.
struct Page {
    /// The whole page with its overflow, or an inline bucket's image.
    let bytes: PageBytes
    /// Where the page is, for messages; for an inline bucket the page that holds it.
    let id: UInt64
    let count: Int
    let isLeaf: Bool
    let source: PageSource

    /// Further pages that belong to this one.
    var overflow: Int { bytes.count / source.pageSize - 1 }

    func corrupted(_ reason: String) -> BoltError { .corrupted(file: source.path, page: id, reason: reason) }

    /// Checks the header in `bytes`, whose length is already known to be right.
    init(bytes: PageBytes, id: UInt64, source: PageSource) throws(BoltError) {
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
    func lowerBound(_ key: PageBytes) throws(BoltError) -> (index: Int, found: Bool) {
        var low = 0
        var high = count
        while low < high {
            let middle = (low &+ high) / 2
            let order = self.key(try leafElement(middle)).compare(key)
            if order == 0 { return (middle, true) }
            if order < 0 { low = middle &+ 1 } else { high = middle }
        }
        return (low, false)
    }

    /// The branch element below which `key` is: the last whose key is not above it, or the first.
    func childIndex(for key: PageBytes) throws(BoltError) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low &+ high) / 2
            if self.key(try branchElement(middle)).compare(key) <= 0 { low = middle &+ 1 } else { high = middle }
        }
        return max(0, low &- 1)
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
    func corrupted(_ page: UInt64, _ reason: String) -> BoltError { .corrupted(file: path, page: page, reason: reason) }

    /// The branch or leaf page `id` of a version with `pageCount` pages.
    @inline(__always) func page(_ id: UInt64, pageCount: UInt64) throws(BoltError) -> Page {
        let bytes = try span(id, pageCount: pageCount)
        return try Page(bytes: bytes, id: id, source: self)
    }

    /// The bytes of page `id` and its overflow, after checking that they are inside the version.
    func span(_ id: UInt64, pageCount: UInt64) throws(BoltError) -> PageBytes {
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
