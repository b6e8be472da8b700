public import Platform

extension Database {
    public struct Options: Sendable {
        /// Page size of a file that `open` creates: a power of two from 1024 to 65536. An existing file keeps its own.
        public var pageSize = 4096
        /// Address space reserved for the file, in bytes: the file cannot grow beyond it while it is open. Costs no
        /// memory.
        public var mapCapacity = 64 << 30
        /// Opens an existing file for reading only.
        public var readOnly = false
        /// Opens for reading only, without the lock and without a look at the pages: for a second look at a file that
        /// this process opens and checks at the same time. At most one commit may be made until the last transaction of
        /// this one has ended, as the next one reuses pages.
        public var isSecondLook = false
        /// Leaves out every sync. A crash of the machine may then lose the whole file.
        public var noSync = false
        /// Stores the free pages with each commit, as bbolt does by default and etcd does not. They are recomputed by
        /// every `open` in any case, so this only serves other readers of the file.
        public var persistFreelist = false
        /// Bytes of pages that a commit may move towards the start of the file, so that the file can be cut. 0 for
        /// none: the file then only grows, as bbolt's does.
        public var reclaimBytes = 512 << 10
        /// Pages that a commit may look at to find the ones to move.
        public var reclaimVisits = 1024
        /// Bytes of pages out of use that may wait for one reader. A reader that holds up more is refused from then on,
        /// so that a forgotten one cannot make the file grow for ever.
        public var maxHeldBytes = 4 << 30

        public init() {}
    }
}

/// Space and transactions of a database at one moment.
public struct Statistics: Equatable, Sendable {
    public var transactionID: UInt64 = 0
    public var pageSize = 0
    /// Pages up to the high-water mark times the page size: what etcd reports as the database's size.
    public var size: Int64 = 0
    /// The pages that the version uses, meta pages included, times the page size.
    public var bytesInUse: Int64 = 0
    /// Bytes that the file has, with what lies behind the high-water mark to grow into.
    public var fileSize: Int64 = 0
    /// Pages that the next write transaction may use.
    public var freePages = 0
    /// Pages out of use that an older version may still show: kept until no reader and no meta page needs them.
    public var pendingPages = 0
    /// Open read transactions.
    public var openReaders = 0
    /// The version that the oldest of them reads.
    public var oldestReader: UInt64?
    /// Pages are to be moved or the file is to be cut: a commit would do some of it, even one that changes nothing
    /// else.
    public var hasReclaimWork = false
}

/// What a commit wrote.
public struct CommitStatistics: Equatable, Sendable {
    public var transactionID: UInt64 = 0
    /// Pages written, meta page included.
    public var pagesWritten = 0
    public var bytesWritten = 0
    /// Write calls, meta page included.
    public var writeCalls = 0
    /// Pages that this version stopped using, moved ones included.
    public var pagesFreed = 0
    /// Of the pages written, those that were only moved, to make the file shorter.
    public var pagesMoved = 0
    /// Bytes that were cut off the file.
    public var bytesCut: Int64 = 0
    /// Why the file could not be cut; the commit itself has succeeded.
    public var cutFailure: DiskError?
}
