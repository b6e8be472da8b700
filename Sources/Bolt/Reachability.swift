/// Walks a version from its root bucket and notes every page in use, nested buckets included.
///
/// The walk checks what a writer must rely on: pages inside the file, each reached once, element bounds, depth, and the
/// seals. The order of keys is `check()`'s business.
struct Reachability {
    private var pages = PageSet()
    private let version: Version
    /// Pages that another walk reached; a subtree that begins in one of them is left out, pages being immutable.
    private let known: PageSet
    /// A page without a seal, if there is one.
    private(set) var unsealedPage: UInt64?

    /// - Parameter known: the pages of another version of the same file, or none.
    init(of version: Version, apartFrom known: Reachability? = nil) {
        self.version = version
        self.known = known?.pages ?? PageSet()
    }

    var count: Int { pages.count }

    func contains(_ page: UInt64) -> Bool { pages.contains(page) }

    /// Notes a run of pages, none of which was reached before.
    mutating func insert(_ run: PageRun) throws(BoltError) {
        for page in run.start..<run.start + UInt64(run.count) {
            guard pages.insert(page) else { throw version.source.corrupted(page, "reached by two references") }
        }
    }

    /// Walks the whole version.
    /// - Complexity: O(bytes of the pages in use).
    mutating func walk() throws(BoltError) { try walk(version.meta.root, depth: 0) }

    private mutating func walk(_ id: UInt64, depth: Int) throws(BoltError) {
        if known.contains(id) { return }
        let page = try version.page(id)
        guard depth < Layout.maxDepth else { throw page.corrupted("deeper than \(Layout.maxDepth) levels") }
        try insert(PageRun(start: id, count: page.overflow + 1))
        if try !page.checkSeal() { unsealedPage = unsealedPage ?? id }
        if page.isLeaf {
            try walkLeaf(page, depth: depth)
        } else {
            for index in 0..<page.count { try walk(try page.branchElement(index).child, depth: depth + 1) }
        }
    }

    private mutating func walkLeaf(_ page: Page, depth: Int) throws(BoltError) {
        for index in 0..<page.count {
            let element = try page.leafElement(index)
            guard element.isBucket else { continue }
            let (header, inline) = try BucketHeader.decode(page, element)
            if let inline {
                for index in 0..<inline.count where try inline.leafElement(index).isBucket {
                    throw page.corrupted("bucket inside an inline bucket")
                }
            } else {
                try walk(header.root, depth: depth + 1)
            }
        }
    }
}
