internal import Synchronization

/// One immutable version of the database, for reading from any thread while commits go on.
///
/// While it is open the pages of its version are not reused, so a transaction kept for long lets the file grow; one
/// that holds up more than `Database.Options.maxHeldBytes` is refused. It ends with `close()`, at the latest when the
/// last reference to it and to its buckets and cursors is gone. Nothing may be read from it, on any thread, once
/// `close()` has been called: what is read then may be newer or an error.
public final class ReadTransaction: Sendable {
    let database: Database
    let version: Version
    private let reader: Reader
    private let isClosed = Atomic<Bool>(false)

    init(database: Database, version: Version, reader: Reader) {
        self.database = database
        self.version = version
        self.reader = reader
    }

    deinit { close() }

    /// The id of the transaction that committed this version.
    public var transactionID: UInt64 { version.meta.transactionID }
    /// Bytes of this version's file image: pages up to the high-water mark times the page size.
    public var size: Int64 { Int64(version.meta.pageCount) * Int64(version.meta.pageSize) }
    public var pageSize: Int { version.meta.pageSize }
    /// What its owner called it.
    public var name: String { reader.name }

    /// Ends the transaction; a second call does nothing.
    public func close() {
        guard !isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        database.endRead(reader)
    }

    @inline(__always) func checkOpen() throws(BoltError) {
        guard !isClosed.load(ordering: .relaxed) else { throw .transactionEnded }
        guard !reader.isExpired.load(ordering: .acquiring) else { throw .readerExpired(name: reader.name) }
    }

    /// The bucket that holds all others.
    public var rootBucket: Bucket {
        Bucket(
            transaction: self, place: BucketRoot(root: version.meta.root, sequence: version.meta.rootSequence))
    }

    /// The top-level bucket called `name`, or nil.
    public func bucket(_ name: [UInt8]) throws(BoltError) -> Bucket? { try rootBucket.bucket(name) }

    /// The names of the top-level buckets, ascending.
    public func bucketNames() throws(BoltError) -> [[UInt8]] { try rootBucket.bucketNames() }
}
