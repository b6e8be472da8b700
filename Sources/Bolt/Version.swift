/// One immutable state of the file: what a transaction reads from.
struct Version: Sendable {
    let source: PageSource
    let meta: Meta

    /// Which pages a walk through this version reaches.
    @inline(__always) func page(_ id: UInt64) throws(BoltError) -> Page {
        try source.page(id, pageCount: meta.pageCount)
    }

    /// The leaf page and element that hold `key`, or nil.
    func find(_ key: PageBytes, from root: Page) throws(BoltError) -> (page: Page, element: LeafElement)? {
        var page = root
        var depth = 0
        var span: KeySpan?
        while !page.isLeaf {
            depth += 1
            guard depth < Layout.maxDepth else { throw page.corrupted("deeper than \(Layout.maxDepth) levels") }
            let index = try page.childIndex(for: key, in: span)
            span = try page.childSpan(index, in: span)
            let child = try page.branchElement(index).child
            // Begun before the page is known to be one: what a damaged branch names is fetched for nothing.
            if let place = span?.likelyPlace(of: key, pageSize: source.pageSize) {
                source.prefetch(child, at: place.element)
                source.prefetch(child, at: place.key)
                source.prefetch(child, at: place.key &+ 64)
            }
            page = try self.page(child)
        }
        let (index, found) = try page.lowerBound(key, in: span)
        guard found else { return nil }
        return (page, try page.leafElement(index))
    }
}

/// A bucket's place in a version: root page id, or the page image inside its parent.
struct BucketRoot: Sendable {
    var header: BucketHeader
    /// The page that holds the image, and the image, when the bucket is inline.
    var inline: (page: UInt64, image: PageBytes)?

    func page(in version: Version) throws(BoltError) -> Page {
        guard let (page, image) = inline else { return try version.page(header.root) }
        return try Page(bytes: image, id: page, source: version.source)
    }

    /// The bucket called `name` in the tree below `parent`, or nil.
    /// - Throws: `.incompatibleValue` if the name belongs to a value.
    static func find(_ name: PageBytes, below parent: Page, in version: Version) throws(BoltError) -> BucketRoot? {
        guard let (page, element) = try version.find(name, from: parent) else { return nil }
        guard element.isBucket else { throw .incompatibleValue }
        return try BucketRoot(page, element)
    }

    init(_ page: Page, _ element: LeafElement) throws(BoltError) {
        let (header, inline) = try BucketHeader.decode(page, element)
        self.header = header
        self.inline = inline.map { ($0.id, $0.bytes) }
    }

    init(root: UInt64, sequence: UInt64) { header = BucketHeader(root: root, sequence: sequence) }
}
