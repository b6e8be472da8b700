internal import Platform

/// The one transaction that changes the database. Used by one thread at a time; ends with `commit()` or `rollback()`,
/// or is rolled back when the last reference is gone.
///
/// Nothing reaches the file before `commit()`. Memory grows with what is changed: batches belong in transactions of
/// some ten thousand operations. Reads here see the transaction's own changes.
public final class WriteTransaction {
    private let database: Database
    private let pages: WritePages
    /// The bucket that holds all others; it takes no values itself.
    public let rootBucket: WritableBucket

    init(database: Database, meta: Meta, space: WriterSpace) {
        self.database = database
        pages = WritePages(base: Version(source: database.source, meta: meta), space: space)
        rootBucket = WritableBucket(root: pages)
    }

    deinit { rollback() }

    /// The id that this transaction's version will have.
    public var transactionID: UInt64 { pages.base.meta.transactionID + 1 }

    // MARK: Top-level buckets

    /// The top-level bucket called `name`, or nil.
    public func bucket(_ name: [UInt8]) throws(BoltError) -> WritableBucket? { try rootBucket.bucket(name) }

    @discardableResult
    public func createBucketIfMissing(_ name: [UInt8]) throws(BoltError) -> WritableBucket {
        try rootBucket.createBucketIfMissing(name)
    }

    @discardableResult
    public func createBucket(_ name: [UInt8]) throws(BoltError) -> WritableBucket { try rootBucket.createBucket(name) }

    public func deleteBucket(_ name: [UInt8]) throws(BoltError) { try rootBucket.deleteBucket(name) }

    /// The bucket found by following names from the root bucket.
    /// - Throws: `.bucketNotFound` if one of them is missing.
    public func bucket(path: [[UInt8]]) throws(BoltError) -> WritableBucket {
        var bucket = rootBucket
        for name in path {
            guard let next = try bucket.bucket(name) else { throw .bucketNotFound }
            bucket = next
        }
        return bucket
    }

    // MARK: Items of top-level buckets, with the errors of `WritableBucket` and `.bucketNotFound`

    public func get(_ key: [UInt8], in bucket: [UInt8]) throws(BoltError) -> [UInt8]? {
        try self.bucket(path: [bucket]).get(key)
    }

    public func put(_ key: [UInt8], _ value: [UInt8], in bucket: [UInt8]) throws(BoltError) {
        try self.bucket(path: [bucket]).put(key, value)
    }

    @discardableResult
    public func delete(_ key: [UInt8], in bucket: [UInt8]) throws(BoltError) -> Bool {
        try self.bucket(path: [bucket]).delete(key)
    }

    public func putSorted(_ run: SortedRun, in bucket: [UInt8]) throws(BoltError) {
        try self.bucket(path: [bucket]).putSorted(run)
    }

    @discardableResult
    public func deleteSorted(_ keys: SortedRun, in bucket: [UInt8]) throws(BoltError) -> Int {
        try self.bucket(path: [bucket]).deleteSorted(keys)
    }

    // MARK: End

    /// Undoes everything. Does nothing after the transaction has ended.
    public func rollback() {
        guard !pages.isEnded else { return }
        database.endWrite(pages.spaceAfterRollback(), committed: nil, failure: nil)
    }

    /// Makes the changes durable and then visible: new pages, sync, meta page, sync. A transaction that changed nothing
    /// touches nothing and leaves the version as it is.
    ///
    /// When it throws, the changes are undone; if that was in or after the first sync, what is on the disk is unknown,
    /// and no write transaction can begin until the file is opened again.
    @discardableResult
    public func commit() throws(BoltError) -> CommitStatistics {
        try pages.checkOpen()
        var statistics = CommitStatistics()
        var isUnknown = false
        do {
            guard let meta = try newMeta() else {
                statistics.transactionID = pages.base.meta.transactionID
                rollback()
                return statistics
            }
            try writePages(&statistics)
            isUnknown = true
            try sync()
            try write(meta, &statistics)
            try sync()
            statistics.transactionID = meta.transactionID
            statistics.pagesFreed = pages.freed.reduce(0) { $0 + $1.count }
            let space = pages.spaceAfterCommit(meta.transactionID)
            database.endWrite(space, committed: meta, failure: nil)
            return statistics
        } catch {
            let failure = isUnknown ? error.description : nil
            database.endWrite(pages.spaceAfterRollback(), committed: nil, failure: failure)
            throw error
        }
    }

    /// Lays out all pages and returns the new version's meta page, or nil if nothing changed.
    private func newMeta() throws(BoltError) -> Meta? {
        guard try rootBucket.write() != nil else { return nil }
        var meta = pages.base.meta
        if meta.freelist != Layout.noFreelist {
            let (run, _) = try database.source.freelist(meta)
            pages.free(run.start, count: run.count)
        }
        meta.transactionID += 1
        meta.root = rootBucket.root.root
        meta.rootSequence = rootBucket.root.sequence
        meta.freelist = database.options.persistFreelist ? try pages.writeFreelist() : Layout.noFreelist
        meta.pageCount = pages.pageCount
        return meta
    }

    /// Grows the file if needed and writes the new pages, neighbours in one call. The sync that follows makes the new
    /// length durable with them, before any meta page refers to it.
    private func writePages(_ statistics: inout CommitStatistics) throws(BoltError) {
        let file = database.file
        let needed = Int64(pages.pageCount) * Int64(pages.pageSize)
        if needed > pages.space.fileSize {
            let length = min(needed + growth(needed), Int64(database.source.capacity))
            try onDisk { () throws(DiskError) in try file.truncate(to: length) }
            pages.space.fileSize = length
        }
        var calls = 0
        var bytes = 0
        try pages.forEachStretch { (chunk, offset, count, position) throws(BoltError) in
            try onDisk { () throws(DiskError) in
                try chunk.write(from: offset, count: count, to: file, at: position)
            }
            calls += 1
            bytes += count
        }
        statistics.writeCalls += calls
        statistics.bytesWritten += bytes
        statistics.pagesWritten += bytes / pages.pageSize
    }

    /// Bytes by which the file is made longer than needed, so that not every commit changes its length: an eighth, at
    /// least 16 pages and at most 16 MiB. They are a hole and take no space on the disk.
    private func growth(_ needed: Int64) -> Int64 {
        let pageSize = Int64(pages.pageSize)
        return min(16 << 20, max(16 * pageSize, needed / 8)) / pageSize * pageSize
    }

    private func write(_ meta: Meta, _ statistics: inout CommitStatistics) throws(BoltError) {
        let bytes = meta.encoded(page: meta.page)
        let position = Int64(meta.page) * Int64(pages.pageSize)
        try onDisk { () throws(DiskError) in try database.file.write(bytes.span.bytes, at: position) }
        statistics.writeCalls += 1
        statistics.bytesWritten += bytes.count
        statistics.pagesWritten += 1
    }

    private func sync() throws(BoltError) {
        guard !database.options.noSync else { return }
        try onDisk { () throws(DiskError) in try database.file.syncData() }
    }
}

extension WritePages {
    /// Lays out a freelist page with every page that is free or that some version will stop using. Returns its id.
    func writeFreelist() throws(BoltError) -> UInt64 {
        // Taking the page can only shorten the list, so this length is enough.
        let most = space.free.freeCount + space.free.pendingCount + freed.reduce(0) { $0 + $1.count }
        let (id, writer) = try allocate((Layout.pageHeader + 8 + 8 * most + pageSize - 1) / pageSize)
        var list = space.free.allPages()
        for run in freed { list.append(contentsOf: run.start..<run.start + UInt64(run.count)) }
        list.sort()
        writer.header(id, flags: Layout.freelistFlag, count: min(list.count, 0xFFFF), pageSize: pageSize)
        var offset = Layout.pageHeader
        if list.count >= 0xFFFF {
            writer.put(UInt64(list.count), at: offset)
            offset += 8
        }
        for page in list {
            writer.put(page, at: offset)
            offset += 8
        }
        writer.zero(from: offset)
        return id
    }
}
