internal import Platform
internal import Synchronization

/// An embedded key-value store in one file of bbolt's format: a copy-on-write B+tree with nested buckets, one writer at
/// a time, and readers on immutable versions that neither wait for it nor hold it up.
///
/// A commit writes new pages, makes them durable, and then switches to them with one meta page of the two; a crash
/// leaves the version before or after it. See docs/formats/bolt.md.
///
/// Safe to use from any thread: all state that changes is behind one lock, which is never held during disk access,
/// and the writer's own state is handed to the one write transaction for as long as it lasts.
public final class Database: Sendable {
    let file: any DiskFile
    let source: PageSource
    let options: Options
    private let state: Mutex<State>

    struct State {
        var meta: Meta
        /// Open read transactions by the version they read, ascending.
        var readers: [(transactionID: UInt64, count: Int)] = []
        /// What the writer works with; nil while a write transaction has it.
        var space: WriterSpace?
        var freePages: Int
        var pendingPages: Int
        var isClosed = false
        /// Why no write transaction may begin any more.
        var failure: String?

        /// Notes a reader of the current version.
        mutating func addReader() throws(BoltError) -> Meta {
            guard !isClosed else { throw .closed }
            // The current version is the newest, so its readers are the last entry.
            if let last = readers.last, last.transactionID == meta.transactionID {
                readers[readers.count - 1].count += 1
            } else {
                readers.append((meta.transactionID, 1))
            }
            return meta
        }
    }

    init(file: any DiskFile, source: PageSource, options: Options, meta: Meta, space: WriterSpace) {
        self.file = file
        self.source = source
        self.options = options
        state = Mutex(
            State(
                meta: meta, space: space, freePages: space.free.freeCount, pendingPages: space.free.pendingCount))
    }

    public var path: String { source.path }
    public var pageSize: Int { source.pageSize }

    /// Begins to read the last committed version.
    /// - Throws: `.closed`.
    public func beginRead() throws(BoltError) -> ReadTransaction {
        let meta = try state.withLock { (state) throws(BoltError) in try state.addReader() }
        return ReadTransaction(database: self, version: Version(source: source, meta: meta))
    }

    /// Begins to read, and tells which pages are free in the same version.
    /// - Throws: `.writerActive`, `.closed`.
    func beginReadWithFreePages() throws(BoltError) -> (ReadTransaction, FreePages) {
        let (meta, free) = try state.withLock { (state) throws(BoltError) -> (Meta, FreePages) in
            guard !state.isClosed else { throw .closed }
            guard let free = state.space?.free else { throw .writerActive }
            return (try state.addReader(), free)
        }
        return (ReadTransaction(database: self, version: Version(source: source, meta: meta)), free)
    }

    func endRead(_ transactionID: UInt64) {
        state.withLock { state in
            guard let index = state.readers.firstIndex(where: { $0.transactionID == transactionID }) else { return }
            state.readers[index].count -= 1
            if state.readers[index].count == 0 { state.readers.remove(at: index) }
        }
    }

    /// Begins the one write transaction.
    /// - Throws: `.writerActive` while there is another one, `.readOnly`, `.failed` after a commit whose outcome is
    ///   unknown, `.closed`.
    public func beginWrite() throws(BoltError) -> WriteTransaction {
        guard !options.readOnly else { throw .readOnly(file: path) }
        let (meta, space) = try state.withLock { (state) throws(BoltError) -> (Meta, WriterSpace) in
            guard !state.isClosed else { throw .closed }
            if let failure = state.failure { throw .failed(file: path, reason: failure) }
            guard var space = state.space else { throw .writerActive }
            state.space = nil
            // Pages that the last commit freed are still reachable from the other meta page, so they wait one more
            // commit; and all pages wait for the readers that may look at them.
            let oldest = state.readers.first?.transactionID ?? .max
            let current = state.meta.transactionID
            if current > 0 { space.free.release(through: min(oldest, current - 1)) }
            return (state.meta, space)
        }
        return WriteTransaction(database: self, meta: meta, space: space)
    }

    /// Takes the writer's state back. With a `meta`, that version is the current one from now on.
    func endWrite(_ space: WriterSpace, committed meta: Meta?, failure: String?) {
        state.withLock { state in
            state.freePages = space.free.freeCount
            state.pendingPages = space.free.pendingCount
            state.space = space
            if let meta { state.meta = meta }
            if let failure { state.failure = failure }
        }
    }

    public var statistics: Statistics {
        state.withLock { state in
            let pages = Int64(state.meta.pageCount)
            return Statistics(
                transactionID: state.meta.transactionID, pageSize: pageSize, size: pages * Int64(pageSize),
                bytesInUse: (pages - Int64(state.freePages + state.pendingPages)) * Int64(pageSize),
                freePages: state.freePages, pendingPages: state.pendingPages,
                openReaders: state.readers.reduce(0) { $0 + $1.count },
                oldestReader: state.readers.first?.transactionID)
        }
    }

    /// Closes the file and releases its lock; transactions cannot begin any more. Open read transactions go on reading
    /// pages, but not `readImage`. A second call does nothing.
    /// - Throws: `.writerActive` while a write transaction is open; the database then stays open.
    public func close() throws(BoltError) {
        let first = try state.withLock { (state) throws(BoltError) -> Bool in
            guard !state.isClosed else { return false }
            guard state.space != nil else { throw .writerActive }
            state.isClosed = true
            state.space = nil
            return true
        }
        if first { try onDisk { () throws(DiskError) in try file.close() } }
    }
}
