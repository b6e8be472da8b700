internal import Platform
internal import Synchronization

/// An embedded key-value store in one file of bbolt's format: a copy-on-write B+tree with nested buckets, one writer at
/// a time, and readers on immutable versions that neither wait for it nor hold it up.
///
/// A commit writes new pages, makes them durable, and then switches to them with one meta page of the two; a crash
/// leaves the version before or after it. Each commit also moves some pages from the end of the file into free ones,
/// and cuts the file when its end is free (`Reclaim`). See docs/formats/bolt.md.
///
/// Safe to use from any thread: all state that changes is behind one lock, which is never held during disk access,
/// and the writer's own state is handed to the one write transaction for as long as it lasts.
public final class Database: Sendable {
    let file: any DiskFile
    let source: PageSource
    let options: Options
    /// What `open` found wrong and could do without, such as one damaged meta page of the two: the version of the other
    /// one was opened. For the log; nil when there is nothing to tell.
    public let notice: BoltError?
    private let state: Mutex<State>

    struct State {
        var meta: Meta
        /// Pages of the version on the other meta page.
        var previousPageCount: UInt64
        var readers = ReaderList()
        /// What the writer works with, as of the last commit; a write transaction takes a copy.
        var space: WriterSpace
        var isWriting = false
        var isClosed = false
        /// Why no write transaction may begin any more.
        var failure: String?

        /// Bytes below which some version may be read that is on a meta page or in use.
        func shortestLength(pageSize: Int) -> Int64 {
            Int64(max(meta.pageCount, previousPageCount, readers.maxPageCount)) * Int64(pageSize)
        }

        /// Whether commits to come will be able to move pages or to cut the file.
        func hasReclaimWork(pageSize: Int) -> Bool {
            let lasting = readers.lasting(current: meta.transactionID)
            return space.hasReclaimWork(
                pageCount: meta.pageCount, pageSize: pageSize, oldestReader: lasting.oldest ?? .max)
                || canCut(pageSize: pageSize)
        }

        /// Whether the file can be cut once the other meta page shows a version of now, too.
        func canCut(pageSize: Int) -> Bool {
            let pages = max(meta.pageCount, readers.lasting(current: meta.transactionID).maxPageCount)
            let length = space.reclaim.cutLength(
                fileSize: space.fileSize, shortest: Int64(pages) * Int64(pageSize), pageSize: pageSize)
            return length != nil
        }
    }

    init(
        file: any DiskFile, source: PageSource, options: Options, meta: Meta, previousPageCount: UInt64,
        space: WriterSpace, notice: BoltError?
    ) {
        self.file = file
        self.source = source
        self.options = options
        self.notice = notice
        state = Mutex(State(meta: meta, previousPageCount: previousPageCount, space: space))
    }

    public var path: String { source.path }
    public var pageSize: Int { source.pageSize }

    // MARK: Reading

    /// Begins to read the last committed version.
    /// - Parameter name: what the reader is called in `readers`, such as the request that it serves.
    /// - Throws: `.closed`.
    public func beginRead(named name: String = "read") throws(BoltError) -> ReadTransaction {
        try read(named: name, copiesOnly: false).transaction
    }

    /// Begins to copy the last committed version as a file of its own, for a snapshot.
    /// - Parameter name: what the copy is called in `readers`.
    /// - Throws: `.closed`.
    public func beginCopy(named name: String = "copy") throws(BoltError) -> FileImage {
        precondition(!options.isSecondLook, "which pages are free is unknown")
        let (transaction, free) = try read(named: name, copiesOnly: true)
        return FileImage(transaction, free: free)
    }

    /// Begins to read, and tells which pages are free in the same version.
    func read(
        named name: String, copiesOnly: Bool
    ) throws(BoltError) -> (transaction: ReadTransaction, free: FreePages) {
        let (meta, reader, free) = try state.withLock { (state) throws(BoltError) -> (Meta, Reader, FreePages) in
            guard !state.isClosed else { throw .closed }
            let reader = Reader(name: name, meta: state.meta, copiesOnly: copiesOnly)
            state.readers.add(reader)
            return (state.meta, reader, state.space.free)
        }
        let version = Version(source: source, meta: meta)
        return (ReadTransaction(database: self, version: version, reader: reader), free)
    }

    func endRead(_ reader: Reader) {
        state.withLock { state in state.readers.remove(reader) }
    }

    // MARK: Writing

    /// Begins the one write transaction.
    /// - Throws: `.writerActive` while there is another one, `.readOnly`, `.failed` after a commit whose outcome is
    ///   unknown, `.closed`.
    public func beginWrite() throws(BoltError) -> WriteTransaction {
        guard !options.readOnly, !options.isSecondLook else { throw .readOnly(file: path) }
        let (meta, space, coming) = try state.withLock {
            (state) throws(BoltError) -> (Meta, WriterSpace, ComingSpace) in
            guard !state.isClosed else { throw .closed }
            if let failure = state.failure { throw .failed(file: path, reason: failure) }
            guard !state.isWriting else { throw .writerActive }
            state.isWriting = true
            state.readers.expire(over: options.maxHeldBytes / pageSize, state.space.free)
            // Pages that the last commit freed are still reachable from the other meta page, so they wait one more
            // commit; and all pages wait for the readers that may look at them.
            let oldest = state.readers.oldest ?? .max
            let current = state.meta.transactionID
            if current > 0 { state.space.release(through: min(oldest, current - 1)) }
            let free = state.space.free
            let coming = ComingSpace(
                pages: free.pendingCount - free.pendingCount(after: oldest), canCut: state.canCut(pageSize: pageSize))
            return (state.meta, state.space, coming)
        }
        return WriteTransaction(database: self, meta: meta, space: space, coming: coming)
    }

    /// Makes the version that a commit has written the current one.
    /// - Returns: the length in bytes below which the file may not be cut yet.
    func publish(_ meta: Meta) -> Int64 {
        state.withLock { state in
            state.previousPageCount = state.meta.pageCount
            state.meta = meta
            return state.shortestLength(pageSize: pageSize)
        }
    }

    /// The length in bytes below which the file may not be cut.
    var shortestLength: Int64 { state.withLock { $0.shortestLength(pageSize: pageSize) } }

    /// Ends the write transaction.
    /// - Parameters:
    ///   - committed: the writer's state after a commit; nil if the transaction was undone.
    ///   - fileSize: the file's length in bytes, and the memory for pages, whatever the outcome.
    ///   - failure: why no write transaction may follow.
    func endWrite(committed: WriterSpace?, fileSize: Int64, chunks: [PageChunk], failure: String?) {
        state.withLock { state in
            if let committed { state.space = committed }
            state.space.fileSize = fileSize
            state.space.chunks = chunks
            state.space.reclaim.commitEnded()
            if let failure { state.failure = failure }
            state.isWriting = false
        }
    }

    // MARK: Figures

    public var statistics: Statistics {
        state.withLock { state in
            let pages = Int64(state.meta.pageCount)
            let free = state.space.free
            return Statistics(
                transactionID: state.meta.transactionID, pageSize: pageSize, size: pages * Int64(pageSize),
                bytesInUse: (pages - Int64(free.freeCount + free.pendingCount)) * Int64(pageSize),
                fileSize: state.space.fileSize, freePages: free.freeCount, pendingPages: free.pendingCount,
                openReaders: state.readers.count, oldestReader: state.readers.oldest,
                hasReclaimWork: !options.readOnly && options.reclaimBytes > 0 && state.failure == nil
                    && state.hasReclaimWork(pageSize: pageSize))
        }
    }

    /// The open readers, oldest first, and what each of them holds up, for a log that names those that stay too long.
    public var readers: [ReaderReport] {
        state.withLock { state in
            state.readers.reports(current: state.meta.transactionID, state.space.free, pageSize: pageSize)
        }
    }

    /// Closes the file and releases its lock; transactions cannot begin any more. Open read transactions go on reading
    /// pages, but images cannot be copied any more. A second call does nothing.
    /// - Throws: `.writerActive` while a write transaction is open; the database then stays open.
    public func close() throws(BoltError) {
        let first = try state.withLock { (state) throws(BoltError) -> Bool in
            guard !state.isClosed else { return false }
            guard !state.isWriting else { throw .writerActive }
            state.isClosed = true
            return true
        }
        if first { try onDisk { () throws(DiskError) in try file.close() } }
    }
}
