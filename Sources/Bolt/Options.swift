extension Database {
    public struct Options: Sendable {
        /// Page size of a file that `open` creates: a power of two from 1024 to 65536. An existing file keeps its own.
        public var pageSize = 4096
        /// Address space reserved for the file, in bytes: the file cannot grow beyond it while it is open. Costs no
        /// memory.
        public var mapCapacity = 64 << 30
        /// Opens an existing file for reading only.
        public var readOnly = false
        /// Leaves out every sync. A crash of the machine may then lose the whole file.
        public var noSync = false
        /// Stores the free pages with each commit, as bbolt does by default and etcd does not. They are recomputed by
        /// every `open` in any case, so this only serves other readers of the file.
        public var persistFreelist = false

        public init() {}
    }
}

/// Space and transactions of a database at one moment.
public struct Statistics: Equatable, Sendable {
    public var transactionID: UInt64 = 0
    public var pageSize = 0
    /// Pages up to the high-water mark times the page size: what etcd reports as the database's size.
    public var size: Int64 = 0
    /// `size` without free and pending pages.
    public var bytesInUse: Int64 = 0
    /// Pages that the next write transaction may use.
    public var freePages = 0
    /// Pages out of use that an older version may still show: kept until no reader and no meta page needs them.
    public var pendingPages = 0
    /// Open read transactions.
    public var openReaders = 0
    /// The version that the oldest of them reads.
    public var oldestReader: UInt64?
}

/// What a commit wrote.
public struct CommitStatistics: Equatable, Sendable {
    public var transactionID: UInt64 = 0
    /// Pages written, meta page included.
    public var pagesWritten = 0
    public var bytesWritten = 0
    /// Write calls, meta page included.
    public var writeCalls = 0
    /// Pages that this version stopped using.
    public var pagesFreed = 0
}
