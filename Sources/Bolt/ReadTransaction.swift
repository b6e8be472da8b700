internal import Platform
internal import Synchronization

/// One immutable version of the database, for reading from any thread while commits go on.
///
/// While it is open the pages of its version are not reused, so a transaction kept for long lets the file grow. It ends
/// with `close()`, at the latest when the last reference to it and to its buckets and cursors is gone. Nothing may be
/// read from it, on any thread, once `close()` has been called: what is read then may be newer or an error.
public final class ReadTransaction: Sendable {
    let database: Database
    let version: Version
    private let isClosed = Atomic<Bool>(false)

    init(database: Database, version: Version) {
        self.database = database
        self.version = version
    }

    deinit { close() }

    /// The id of the transaction that committed this version.
    public var transactionID: UInt64 { version.meta.transactionID }
    /// Bytes of this version's file image: pages up to the high-water mark times the page size.
    public var size: Int64 { Int64(version.meta.pageCount) * Int64(version.meta.pageSize) }
    public var pageSize: Int { version.meta.pageSize }

    /// Ends the transaction; a second call does nothing.
    public func close() {
        guard !isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        database.endRead(version.meta.transactionID)
    }

    @inline(__always) func checkOpen() throws(BoltError) {
        guard !isClosed.load(ordering: .relaxed) else { throw .transactionEnded }
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

    /// A part of this version's file image, as a snapshot is made of: both meta pages valid and holding this version,
    /// then the pages as they are.
    ///
    /// The image is `size` bytes long; a reader takes it in chunks of its own size, in any order, at its own pace.
    /// - Returns: `count` bytes from `offset`, fewer only at the end of the image.
    /// - Complexity: O(count); one read call.
    public func readImage(at offset: Int64, count: Int) throws(BoltError) -> [UInt8] {
        try checkOpen()
        precondition(offset >= 0 && count >= 0)
        let count = Int(min(Int64(count), max(0, size - offset)))
        guard count > 0 else { return [] }
        var bytes = try onDisk { () throws(DiskError) in try database.file.read(at: offset, count: count) }
        guard bytes.count == count else {
            throw .corrupted(
                file: version.source.path, page: UInt64(offset) / UInt64(pageSize),
                reason: "expected \(count) bytes at offset \(offset), found \(bytes.count)")
        }
        guard offset < Int64(2 * pageSize) else { return bytes }
        let metas = metaImage()
        for i in 0..<min(count, 2 * pageSize - Int(offset)) { bytes[i] = metas[Int(offset) + i] }
        return bytes
    }

    /// Pages 0 and 1 of the image: this version under its own transaction id and under the one before, as bbolt does.
    private func metaImage() -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 2 * pageSize)
        for page in 0..<2 {
            var meta = version.meta
            if page == 1 { meta.transactionID &-= 1 }
            let encoded = meta.encoded(page: UInt64(page))
            image.replaceSubrange(page * pageSize..<page * pageSize + encoded.count, with: encoded)
        }
        return image
    }
}
