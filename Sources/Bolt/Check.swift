/// Something in a database that contradicts the format or itself.
public struct Problem: Equatable, Sendable, CustomStringConvertible {
    /// The page where it shows.
    public var page: UInt64
    public var reason: String

    public var description: String { "page \(page): \(reason)" }
}

extension ReadTransaction {
    /// Walks everything that this version reaches and reports what is wrong with it: page ids and kinds, pages reached
    /// twice, broken seals, elements that leave their page, keys out of order or outside of their parent's separators,
    /// leaves at different depths, nested buckets included.
    ///
    /// At most `limit` problems are reported; an empty answer means that the version is sound.
    /// - Complexity: O(pages and elements); a bit of memory for each page.
    public func check(limit: Int = 100) throws(BoltError) -> [Problem] {
        try checkOpen()
        var checker = Checker(version, limit: limit)
        checker.checkTree(version.meta.root)
        return checker.problems
    }
}

extension Database {
    /// Checks the current version as `ReadTransaction.check` does, and that every page is either in use or free: none
    /// both, none neither, and no stored freelist that says otherwise.
    /// Commits may go on meanwhile.
    /// - Throws: `.closed`.
    public func check(limit: Int = 100) throws(BoltError) -> [Problem] {
        let (read, free) = try read(named: "check", copiesOnly: false)
        defer { read.close() }
        var checker = Checker(read.version, limit: limit)
        checker.checkTree(read.version.meta.root)
        checker.checkFreePages(free)
        return checker.problems
    }
}

/// One check of one version.
struct Checker {
    private let version: Version
    private let limit: Int
    private(set) var problems: [Problem] = []
    private var reached: [Bool]
    private var reachedCount = 0

    /// What holds for a page below a branch: its keys' bounds, and where its leaves are.
    private struct Place {
        var lower: PageBytes?
        var upper: PageBytes?
        var depth = 0
    }

    /// The depth of the current bucket's leaves, once one was met.
    private var leafDepth: Int?

    init(_ version: Version, limit: Int) {
        self.version = version
        self.limit = limit
        reached = Array(repeating: false, count: Int(version.meta.pageCount))
    }

    private mutating func report(_ page: UInt64, _ reason: String) {
        if problems.count < limit { problems.append(Problem(page: page, reason: reason)) }
    }

    private mutating func report(_ error: BoltError, at page: UInt64) {
        if case .corrupted(_, let page, let reason) = error {
            report(page, reason)
        } else {
            report(page, error.description)
        }
    }

    /// Checks a bucket's tree from its root page.
    mutating func checkTree(_ root: UInt64, nesting: Int = 0) {
        guard nesting < Layout.maxDepth else { return report(root, "buckets nested too deep") }
        let outer = leafDepth
        leafDepth = nil
        checkPage(root, Place(), nesting: nesting)
        leafDepth = outer
    }

    private mutating func checkPage(_ id: UInt64, _ place: Place, nesting: Int) {
        do throws(BoltError) {
            let page = try version.page(id)
            guard place.depth < Layout.maxDepth else { return report(id, "deeper than \(Layout.maxDepth) levels") }
            for used in id...id + UInt64(page.overflow) {
                guard !reached[Int(used)] else { return report(used, "reached by two references") }
                reached[Int(used)] = true
            }
            reachedCount += page.overflow + 1
            checkSeal(page)
            if page.isLeaf {
                if let leafDepth, leafDepth != place.depth { report(id, "leaf at another depth than those before it") }
                leafDepth = place.depth
                if page.count == 0, place.depth > 0 { report(id, "leaf without items below a branch") }
                try checkLeaf(page, place, nesting: nesting)
            } else {
                try checkBranch(page, place, nesting: nesting)
            }
        } catch { report(error, at: id) }
    }

    private mutating func checkSeal(_ page: Page) {
        do throws(BoltError) {
            if try !page.checkSeal(), version.meta.addition?.isSealed == true {
                report(page.id, "the page has no checksum, though all pages of this version had one")
            }
        } catch { report(error, at: page.id) }
    }

    private mutating func checkBranch(_ page: Page, _ place: Place, nesting: Int) throws(BoltError) {
        for index in 0..<page.count {
            let element = try page.branchElement(index)
            let key = page.key(element)
            checkOrder(key, after: index == 0 ? nil : page.key(try page.branchElement(index - 1)), page, index, place)
            let next = index + 1 < page.count ? page.key(try page.branchElement(index + 1)) : place.upper
            checkPage(element.child, Place(lower: key, upper: next, depth: place.depth + 1), nesting: nesting)
        }
    }

    private mutating func checkLeaf(_ page: Page, _ place: Place, nesting: Int) throws(BoltError) {
        for index in 0..<page.count {
            let element = try page.leafElement(index)
            let key = page.key(element)
            if key.count == 0 { report(page.id, "empty key at element \(index)") }
            if key.count > Layout.maxKeyCount { report(page.id, "key of \(key.count) bytes at element \(index)") }
            checkOrder(key, after: index == 0 ? nil : page.key(try page.leafElement(index - 1)), page, index, place)
            guard element.isBucket else { continue }
            do throws(BoltError) {
                let (header, inline) = try BucketHeader.decode(page, element)
                if let inline {
                    try checkInline(inline, nesting: nesting)
                } else {
                    checkTree(header.root, nesting: nesting + 1)
                }
            } catch { report(error, at: page.id) }
        }
    }

    private mutating func checkInline(_ page: Page, nesting: Int) throws(BoltError) {
        for index in 0..<page.count where try page.leafElement(index).isBucket {
            report(page.id, "bucket inside an inline bucket")
        }
        try checkLeaf(page, Place(), nesting: Layout.maxDepth)
    }

    private mutating func checkOrder(
        _ key: PageBytes, after previous: PageBytes?, _ page: Page, _ index: Int, _ place: Place
    ) {
        if let previous, previous.compare(key) >= 0 {
            report(page.id, "key of element \(index) is not above the one before")
        }
        if let lower = place.lower, key.compare(lower) < 0 {
            report(page.id, "key of element \(index) is below the parent's separator")
        }
        if let upper = place.upper, key.compare(upper) >= 0 {
            report(page.id, "key of element \(index) is not below the parent's next separator")
        }
    }

    /// Compares the pages that the walk reached with the free ones. After `checkTree`.
    mutating func checkFreePages(_ free: FreePages) {
        do throws(BoltError) {
            try checkStoredFreelist()
        } catch { report(error, at: version.meta.freelist) }
        var isFree = Array(repeating: false, count: reached.count)
        let unused = free.allPages
        if unused.count != free.freeCount + free.pendingCount { report(0, "pages that are freed twice") }
        unused.forEach { page in
            guard page < version.meta.pageCount else {
                return report(page, "free, but the pages end at \(version.meta.pageCount - 1)")
            }
            isFree[Int(page)] = true
            if reached[Int(page)] { report(page, "free and in use") }
        }
        if let addition = version.meta.addition, addition.pagesInUse != UInt64(reachedCount) + Layout.firstPage {
            report(
                version.meta.page,
                "\(addition.pagesInUse) pages should be in use, but \(reachedCount + Int(Layout.firstPage)) are")
        }
        for page in Int(Layout.firstPage)..<reached.count where !reached[page] && !isFree[page] {
            report(UInt64(page), "neither free nor in use")
        }
    }

    private mutating func checkStoredFreelist() throws(BoltError) {
        guard version.meta.freelist != Layout.noFreelist else { return }
        let (run, stored) = try version.source.freelist(version.meta)
        for page in stored where reached[Int(page)] { report(page, "in the stored freelist and in use") }
        for page in run.start..<run.start + UInt64(run.count) {
            if reached[Int(page)] { report(page, "part of the stored freelist and in use") }
            reached[Int(page)] = true
        }
        reachedCount += run.count
    }
}
