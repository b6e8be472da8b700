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
        guard let part = try part(at: offset, count: count) else { return [] }
        if isUnused(part) { return [UInt8](repeating: 0, count: part.count) }
        let file = transaction.database.file
        var bytes = try onDisk { () throws(DiskError) in try file.read(at: offset, count: part.count) }
        try checkComplete(part, count: bytes.count)
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        complete(part, in: &raw, from: 0)
        try transaction.checkOpen()
        return bytes
    }

    /// The same, appended to memory of the caller's, which must have room for `count` bytes. When it throws, what was
    /// appended is of no use.
    public func read(at offset: Int64, count: Int, into output: inout OutputRawSpan) throws(BoltError) {
        guard let part = try part(at: offset, count: count) else { return }
        if isUnused(part) { return output.append(repeating: 0, count: part.count, as: UInt8.self) }
        let file = transaction.database.file
        let start = output.byteCount
        do throws(DiskError) { try file.read(at: offset, count: part.count, into: &output) } catch {
            throw .disk(error)
        }
        try checkComplete(part, count: output.byteCount - start)
        var raw = output.mutableBytes
        complete(part, in: &raw, from: start)
        try transaction.checkOpen()
    }

    /// The bytes of the image that are meant, and nil if it has ended before them.
    ///
    /// The transaction is looked at before a part is read, and after it: once it has expired its pages may have been
    /// reused while they were being copied.
    private func part(at offset: Int64, count: Int) throws(BoltError) -> Range<Int>? {
        precondition(offset >= 0 && count >= 0)
        try transaction.checkOpen()
        let count = Int(min(Int64(count), max(0, size - offset)))
        return count > 0 ? Int(offset)..<Int(offset) + count : nil
    }

    private func pages(of part: Range<Int>) -> ClosedRange<Int> {
        part.lowerBound / pageSize...(part.upperBound - 1) / pageSize
    }

    /// Whether there is nothing but unused pages, which are zeros.
    private func isUnused(_ part: Range<Int>) -> Bool {
        let pages = pages(of: part)
        return pages.lowerBound >= 2 && pages.allSatisfy { unused.contains(UInt64($0)) }
    }

    private func checkComplete(_ part: Range<Int>, count: Int) throws(BoltError) {
        guard count < part.count else { return }
        throw .corrupted(
            file: transaction.database.file.path, page: UInt64(pages(of: part).lowerBound),
            reason: "expected \(part.count) bytes at offset \(part.lowerBound), found \(count)")
    }

    /// Puts in what the image holds and the file does not: zeros for pages out of use, and the meta pages.
    /// - Parameter start: where the part begins in the memory.
    private func complete(_ part: Range<Int>, in bytes: inout MutableRawSpan, from start: Int) {
        let pages = pages(of: part)
        for page in pages where unused.contains(UInt64(page)) {
            for i in (page * pageSize..<(page + 1) * pageSize).clamped(to: part) {
                bytes.storeBytes(of: 0, toByteOffset: start + i - part.lowerBound, as: UInt8.self)
            }
        }
        guard pages.lowerBound < 2 else { return }
        let metas = metaPages()
        for i in part.clamped(to: 0..<metas.count) {
            bytes.storeBytes(of: metas[i], toByteOffset: start + i - part.lowerBound, as: UInt8.self)
        }
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
