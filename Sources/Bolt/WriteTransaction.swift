internal import Platform

/// The one transaction that changes the database. Used by one thread at a time; ends with `commit()` or `rollback()`,
/// or is rolled back when the last reference is gone.
///
/// Nothing reaches the file before `commit()`. Memory grows with what is changed: batches belong in transactions of
/// some ten thousand operations. Reads here see the transaction's own changes.
public final class WriteTransaction {
    /// Bytes after which a large commit syncs what it has written so far: a disk that takes everything at once lets
    /// other files' syncs wait, such as those of a log.
    private static let syncStep = 1 << 20

    private let database: Database
    private let pages: WritePages
    private let coming: ComingSpace
    /// The bucket that holds all others; it takes no values itself.
    public let rootBucket: WritableBucket

    init(database: Database, meta: Meta, space: WriterSpace, coming: ComingSpace) {
        self.database = database
        self.coming = coming
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
        end(committed: nil, failure: nil)
    }

    private func end(committed space: WriterSpace?, failure: String?) {
        let fileSize = pages.space.fileSize
        database.endWrite(committed: space, fileSize: fileSize, chunks: pages.end(), failure: failure)
    }

    /// Makes the changes durable and then visible: new pages, sync, meta page, sync. A transaction that changed nothing
    /// touches nothing and leaves the version as it is, unless there are pages to move.
    ///
    /// When it throws, the changes are undone; if that was in or after the first sync, what is on the disk is unknown,
    /// and no write transaction can begin until the file is opened again.
    @discardableResult
    public func commit() throws(BoltError) -> CommitStatistics {
        try pages.checkOpen()
        var statistics = CommitStatistics()
        var isUnknown = false
        do {
            try reclaim(&statistics)
            guard let meta = try newMeta() else {
                statistics.transactionID = pages.base.meta.transactionID
                cutFile(shortest: database.shortestLength, &statistics)
                end(committed: pages.space, failure: nil)
                return statistics
            }
            try writePages(&statistics, &isUnknown)
            isUnknown = true
            try sync()
            try write(meta, &statistics)
            try sync()
            let shortest = database.publish(meta)
            statistics.transactionID = meta.transactionID
            statistics.pagesFreed = pages.freedCount
            cutFile(shortest: shortest, &statistics)
            end(committed: pages.spaceAfterCommit(meta.transactionID), failure: nil)
            return statistics
        } catch {
            end(committed: nil, failure: isUnknown ? error.description : nil)
            throw error
        }
    }

    /// Does this commit's part of a sweep, if one runs or is due.
    private func reclaim(_ statistics: inout CommitStatistics) throws(BoltError) {
        guard database.options.reclaimBytes > 0 else { return }
        if pages.isReclaimDue(coming: 0) { pages.space.reclaim.begin(pagesInUse: Int(pages.pagesInUse)) }
        guard let position = pages.space.reclaim.position else { return }
        var sweep = Sweep(
            cutoff: pages.space.reclaim.cutoff, byteLimit: database.options.reclaimBytes,
            visitLimit: database.options.reclaimVisits)
        let next = try rootBucket.sweep(from: position[...], &sweep)
        pages.space.reclaim.advance(to: next, moved: sweep.pagesMoved)
        statistics.pagesMoved = sweep.pagesMoved
    }

    /// Lays out all pages and returns the new version's meta page, or nil if nothing changed.
    private func newMeta() throws(BoltError) -> Meta? {
        let hasChanges = try rootBucket.write() != nil
        var meta = pages.base.meta
        let reclaims = database.options.reclaimBytes > 0
        let cuts = reclaims && pages.cutFreeTail(minimum: hasChanges ? 1 : Reclaim.worthCutting)
        guard hasChanges || cuts || (reclaims && isWorthAVersion) else { return nil }
        if meta.freelist != Layout.noFreelist {
            let (run, _) = try database.source.freelist(meta)
            pages.free(run.start, count: run.count)
        }
        meta.transactionID += 1
        meta.root = rootBucket.root.root
        meta.rootSequence = rootBucket.root.sequence
        meta.freelist = database.options.persistFreelist ? try pages.writeFreelist() : Layout.noFreelist
        meta.pageCount = pages.pageCount
        meta.addition = MetaAddition(isSealed: pages.space.isSealed, pagesInUse: pages.pagesInUse)
        return meta
    }

    /// Whether a version that changes nothing is worth it: the last commit's pages come free with the next one, and the
    /// file can be cut when no meta page shows a longer version any more.
    private var isWorthAVersion: Bool {
        let reclaim = pages.space.reclaim
        if coming.canCut { return true }
        guard coming.pages > 0 else { return false }
        return reclaim.isSettling || reclaim.position == nil && pages.isReclaimDue(coming: coming.pages)
    }

    /// Grows the file if needed and writes the new pages, neighbours in one call. The sync that follows makes the new
    /// length durable with them, before any meta page refers to it.
    /// - Parameter isUnknown: set when a sync fails.
    private func writePages(_ statistics: inout CommitStatistics, _ isUnknown: inout Bool) throws(BoltError) {
        let file = database.file
        let needed = Int64(pages.pageCount) * Int64(pages.pageSize)
        if needed > pages.space.fileSize {
            let growth = Reclaim.growth(needed, pageSize: pages.pageSize)
            let length = min(needed + growth, Int64(database.source.capacity))
            try onDisk { () throws(DiskError) in try file.truncate(to: length) }
            pages.space.fileSize = length
        }
        var calls = 0
        var bytes = 0
        var unsynced = 0
        try pages.forEachStretch { (chunk, offset, count, position) throws(BoltError) in
            if unsynced + count > WriteTransaction.syncStep, unsynced > 0 {
                isUnknown = true
                try sync()
                isUnknown = false
                unsynced = 0
            }
            try onDisk { () throws(DiskError) in
                try chunk.write(from: offset, count: count, to: file, at: position)
            }
            calls += 1
            bytes += count
            unsynced += count
        }
        statistics.writeCalls += calls
        statistics.bytesWritten += bytes
        statistics.pagesWritten += bytes / pages.pageSize
    }

    /// Cuts some of what nobody can read any more off the end of the file. It is covered by the next commit's sync:
    /// until then a crash may leave the old length, which does no harm.
    private func cutFile(shortest: Int64, _ statistics: inout CommitStatistics) {
        guard database.options.reclaimBytes > 0,
            let length = pages.space.reclaim.cutLength(
                fileSize: pages.space.fileSize, shortest: shortest, pageSize: pages.pageSize)
        else { return }
        do throws(DiskError) {
            try database.file.truncate(to: length)
            statistics.bytesCut = pages.space.fileSize - length
            pages.space.fileSize = length
        } catch {
            // The commit stands whatever the file's length is.
            pages.space.reclaim.isCutRefused = true
            statistics.cutFailure = error
        }
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
        let most = space.free.freeCount + space.free.pendingCount + freedCount
        let (id, writer) = try allocate(pageNumber(Layout.pageHeader + 8 + 8 * most))
        var list = space.free.allPages
        for run in freed { list.insert(run) }
        writer.header(id, flags: Layout.freelistFlag, count: min(list.count, 0xFFFF), pageSize: pageSize)
        var offset = Layout.pageHeader
        if list.count >= 0xFFFF {
            writer.put(UInt64(list.count), at: offset)
            offset += 8
        }
        list.forEach { page in
            writer.put(page, at: offset)
            offset += 8
        }
        writer.finish(from: offset)
        return id
    }
}
