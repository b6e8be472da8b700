internal import Platform

/// A copy of one version as a file of its own, taken in pieces while commits go on: what a snapshot is made of.
///
/// Both meta pages are valid and hold the version, the second under the transaction id before it, as bbolt's own copies
/// have it. Pages that the version does not use are zeros, so all copies of a version are the same, and nothing of what
/// was deleted leaves with them.
///
/// The copy ends with `close()`, at the latest when the last reference is gone. It may also be ended from the other
/// side: when it has held up more than `Database.Options.maxHeldBytes` of pages, `read` throws `.readerExpired`. Safe
/// to use from any thread.
public final class FileImage: Sendable {
    private let transaction: ReadTransaction
    private let unused: PageSet

    init(_ transaction: ReadTransaction, free: FreePages) {
        self.transaction = transaction
        unused = free.allPages
    }

    /// Bytes of the image.
    public var size: Int64 { transaction.size }
    public var pageSize: Int { transaction.pageSize }
    /// The id of the transaction that committed the version.
    public var transactionID: UInt64 { transaction.transactionID }

    /// Ends the copy; a second call does nothing.
    public func close() { transaction.close() }

    /// A part of the image. Parts may be taken in any size and order, at any pace.
    /// - Returns: `count` bytes from `offset`, fewer only at the end of the image.
    /// - Complexity: O(count); one read call at most.
    public func read(at offset: Int64, count: Int) throws(BoltError) -> [UInt8] {
        precondition(offset >= 0 && count >= 0)
        try transaction.checkOpen()
        let count = Int(min(Int64(count), max(0, size - offset)))
        guard count > 0 else { return [] }
        let pages = Int(offset) / pageSize...(Int(offset) + count - 1) / pageSize
        guard pages.lowerBound < 2 || !pages.allSatisfy({ unused.contains(UInt64($0)) }) else {
            return [UInt8](repeating: 0, count: count)
        }
        let file = transaction.database.file
        var bytes = try onDisk { () throws(DiskError) in try file.read(at: offset, count: count) }
        guard bytes.count == count else {
            throw .corrupted(
                file: file.path, page: UInt64(pages.lowerBound),
                reason: "expected \(count) bytes at offset \(offset), found \(bytes.count)")
        }
        let range = Int(offset)..<Int(offset) + count
        for page in pages where unused.contains(UInt64(page)) {
            let part = (page * pageSize..<(page + 1) * pageSize).clamped(to: range)
            for i in part { bytes[i - range.lowerBound] = 0 }
        }
        if pages.lowerBound < 2 {
            let metas = metaPages()
            for i in range.clamped(to: 0..<metas.count) { bytes[i - range.lowerBound] = metas[i] }
        }
        // Once the transaction has expired its pages may have been reused while they were being copied.
        try transaction.checkOpen()
        return bytes
    }

    private func metaPages() -> [UInt8] {
        var image = [UInt8](repeating: 0, count: 2 * pageSize)
        for page in 0..<2 {
            var meta = transaction.version.meta
            if page == 1 { meta.transactionID &-= 1 }
            let encoded = meta.encoded(page: UInt64(page))
            image.replaceSubrange(page * pageSize..<page * pageSize + encoded.count, with: encoded)
        }
        return image
    }
}
