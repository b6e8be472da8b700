public import Platform

extension Database {
    /// Opens the file at `path`, or creates it with an empty root bucket if it is missing or has no bytes.
    ///
    /// Creation is crash-safe: the new file is prepared under the name `<path>.tmp.new` and renamed.
    /// - Throws: `.locked` if it is open elsewhere (waiting is the caller's business), `.invalidDatabase`,
    ///   `.versionMismatch`, `.checksumError` when neither meta page is valid, `.corrupted` when the pages contradict
    ///   the format, `.disk`.
    /// - Complexity: O(pages): every page in use is visited once, to find the free ones.
    public static func open(
        _ path: String, on disk: any Disk, options: Options = .init()
    ) throws(BoltError) -> Database {
        guard Layout.isPageSize(options.pageSize) else {
            throw .invalidOptions(
                reason: "page size \(options.pageSize), expected a power of two in \(Layout.pageSizes)")
        }
        let file = try openOrCreate(path, on: disk, options: options)
        do { return try open(file, options: options) } catch {
            // The first error is the one to tell.
            try? file.close()
            throw error
        }
    }

    private static func open(_ file: any DiskFile, options: Options) throws(BoltError) -> Database {
        let size = try onDisk { () throws(DiskError) in try file.size() }
        guard size > 0 else { throw .invalidDatabase(file: file.path, reason: "the file is empty") }
        let (meta, older, damage) = try Meta.load(file)
        try meta.validate(file: file.path, fileSize: size)
        let capacity = max(options.mapCapacity, Int(size)) / meta.pageSize * meta.pageSize
        let mapping = try onDisk { () throws(DiskError) in try file.map(capacity: capacity) }
        let source = PageSource(path: file.path, pageSize: meta.pageSize, mapping: mapping)
        let (free, isSealed) =
            options.isSecondLook
            ? (FreePages(), false) : try freePages(source, meta: meta, older: older, fileSize: size)
        let space = WriterSpace(free: free, fileSize: size, isSealed: isSealed)
        return Database(
            file: file, source: source, options: options, meta: meta,
            previousPageCount: older?.pageCount ?? meta.pageCount, space: space, notice: damage)
    }

    private static func openOrCreate(
        _ path: String, on disk: any Disk, options: Options
    ) throws(BoltError) -> any DiskFile {
        if options.isSecondLook { return try onDisk { () throws(DiskError) in try disk.open(path, .read) } }
        if let file = try openExisting(path, on: disk, options: options) { return file }
        let file = try onDisk { () throws(DiskError) in try disk.open(path + ".tmp.new", .create) }
        try lock(file)
        // Whoever held this lock until now may have renamed the file, which is then the database: it must not be
        // touched.
        if let existing = try openExisting(path, on: disk, options: options) {
            try? file.close()
            return existing
        }
        try onDisk { () throws(DiskError) in
            try file.truncate(to: 0)
            try file.write(emptyImage(pageSize: options.pageSize).span.bytes, at: 0)
            try file.sync()
            try disk.rename(path + ".tmp.new", to: path)
            try disk.syncDirectory(parent(of: path))
            try file.close()
        }
        guard let created = try openExisting(path, on: disk, options: options) else {
            throw .invalidDatabase(file: path, reason: "the file was emptied or removed while it was being created")
        }
        return created
    }

    /// The locked file, or nil if there is none. One without bytes, as a crash of another writer may leave it, is as
    /// good as none, unless it is only to be read.
    private static func openExisting(
        _ path: String, on disk: any Disk, options: Options
    ) throws(BoltError) -> (any DiskFile)? {
        if !options.readOnly {
            guard try onDisk({ () throws(DiskError) in try disk.exists(path) }) else { return nil }
        }
        let file = try onDisk { () throws(DiskError) in try disk.open(path, options.readOnly ? .read : .readWrite) }
        try lock(file)
        let size = try onDisk { () throws(DiskError) in try file.size() }
        if size > 0 || options.readOnly { return file }
        try onDisk { () throws(DiskError) in try file.close() }
        return nil
    }

    private static func lock(_ file: any DiskFile) throws(BoltError) {
        do { try onDisk { () throws(DiskError) in try file.lock(.flock) } } catch {
            try? file.close()
            throw error
        }
    }

    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// Two meta pages and an empty leaf as the root bucket.
    private static func emptyImage(pageSize: Int) -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 3 * pageSize)
        for page in 0..<2 {
            let meta = Meta(
                pageSize: pageSize, root: 2, pageCount: 3, transactionID: UInt64(page),
                addition: MetaAddition(isSealed: true, pagesInUse: 3))
            let encoded = meta.encoded(page: UInt64(page))
            image.replaceSubrange(page * pageSize..<page * pageSize + encoded.count, with: encoded)
        }
        let leaf = PageChunk(capacity: pageSize)
        let writer = leaf.writer(at: 0, count: pageSize)
        writer.header(2, flags: Layout.leafFlag, count: 0, pageSize: pageSize)
        writer.finish(from: Layout.pageHeader)
        image.replaceSubrange(2 * pageSize..<3 * pageSize, with: leaf.bytes(at: 0, count: pageSize).array)
        return image
    }

    /// The pages that nothing uses are free. Those that only the older meta page reaches are pending, as if the newest
    /// transaction had freed them, so that the older version stays readable until its meta page is replaced.
    ///
    /// The walk looks at every page in use and its seal, which is the check of the whole file at every start.
    private static func freePages(
        _ source: PageSource, meta: Meta, older: Meta?, fileSize: Int64
    ) throws(BoltError) -> (free: FreePages, isSealed: Bool) {
        var reachable = Reachability(of: Version(source: source, meta: meta))
        try reachable.walk()
        let isSealed = reachable.unsealedPage == nil
        if let addition = meta.addition, addition.isSealed, let page = reachable.unsealedPage {
            throw source.corrupted(page, "the page has no checksum, though all pages of this version had one")
        }
        if meta.freelist != Layout.noFreelist {
            let (run, stored) = try source.freelist(meta)
            for page in stored where reachable.contains(page) {
                throw source.corrupted(meta.freelist, "the freelist holds page \(page), which is in use")
            }
            try reachable.insert(run)
        }
        if let addition = meta.addition, addition.pagesInUse != UInt64(reachable.count) + Layout.firstPage {
            throw source.corrupted(
                meta.page,
                "\(addition.pagesInUse) pages should be in use, but \(reachable.count + Int(Layout.firstPage)) are")
        }
        var free = FreePages()
        var pending: [PageRun] = []
        let old = previousPages(source, newest: reachable, older: older, fileSize: fileSize)
        for page in Layout.firstPage..<meta.pageCount where !reachable.contains(page) {
            if old?.contains(page) == true {
                pending.append(PageRun(start: page, count: 1))
            } else {
                free.insert(PageRun(start: page, count: 1))
            }
        }
        free.addPending(pending, transactionID: meta.transactionID)
        return (free, isSealed)
    }

    /// What the older version reaches beyond the newest. A writer that stopped half way may have reused some of it
    /// already (bbolt does so), so what is wrong there ends the walk and is no error.
    private static func previousPages(
        _ source: PageSource, newest: Reachability, older: Meta?, fileSize: Int64
    ) -> Reachability? {
        guard let older, (try? older.validate(file: source.path, fileSize: fileSize)) != nil else { return nil }
        var old = Reachability(of: Version(source: source, meta: older), apartFrom: newest)
        try? old.walk()
        return old
    }
}

extension PageSource {
    /// The stored freelist: its own pages, and the page ids in it.
    func freelist(_ meta: Meta) throws(BoltError) -> (run: PageRun, pages: [UInt64]) {
        let bytes = try span(meta.freelist, pageCount: meta.pageCount)
        guard bytes.u16(at: 8) == Layout.freelistFlag else {
            throw corrupted(meta.freelist, "flags \(hex(UInt64(bytes.u16(at: 8)))), expected a freelist (0x10) page")
        }
        var count = UInt64(bytes.u16(at: 10))
        var start = Layout.pageHeader
        if count == 0xFFFF {
            count = bytes.u64(at: start)
            start += 8
        }
        if case .broken(let expected, let found) = bytes.seal {
            throw corrupted(
                meta.freelist, "checksum of the page: expected \(hex(expected)), found \(hex(found))")
        }
        guard count <= UInt64(bytes.count - start) / 8 else {
            throw corrupted(meta.freelist, "\(count) page ids do not fit in \(bytes.count) bytes")
        }
        var pages: [UInt64] = []
        pages.reserveCapacity(Int(count))
        for index in 0..<Int(count) {
            let page = bytes.u64(at: start + 8 * index)
            guard page >= Layout.firstPage, page < meta.pageCount, pages.last.map({ $0 < page }) ?? true else {
                throw corrupted(meta.freelist, "page id \(page) at position \(index) is out of range or order")
            }
            pages.append(page)
        }
        return (PageRun(start: meta.freelist, count: bytes.count / pageSize), pages)
    }
}
