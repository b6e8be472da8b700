/// The bytes of a file, in pages that are shared between copies and only exist where something was written; the rest
/// reads as zeros. A copy costs nothing until one of the two is changed, so a disk can be forked at every sync.
///
/// Invariant: all bytes of a page beyond `size` are zero.
struct SparseBytes: Sendable, Equatable {
    static let pageSize = 4096

    private(set) var size = 0
    /// An empty array stands for a page of zeros; so do pages beyond the end of this list.
    private var pages: [[UInt8]] = []

    static func == (a: SparseBytes, b: SparseBytes) -> Bool {
        guard a.size == b.size else { return false }
        let zeros = [UInt8](repeating: 0, count: pageSize)
        func page(_ bytes: SparseBytes, _ i: Int) -> [UInt8] {
            i < bytes.pages.count && !bytes.pages[i].isEmpty ? bytes.pages[i] : zeros
        }
        return (0..<max(a.pages.count, b.pages.count)).allSatisfy { page(a, $0) == page(b, $0) }
    }

    /// Bytes from `offset` up to `count`, or to the end.
    func read(at offset: Int, count: Int) -> [UInt8] {
        let end = min(size, offset + count)
        guard offset < end else { return [] }
        var result = [UInt8](repeating: 0, count: end - offset)
        var at = offset
        while at < end {
            let (index, start) = at.quotientAndRemainder(dividingBy: SparseBytes.pageSize)
            let n = min(SparseBytes.pageSize - start, end - at)
            if index < pages.count, !pages[index].isEmpty {
                result.replaceSubrange((at - offset)..<(at - offset + n), with: pages[index][start..<(start + n)])
            }
            at += n
        }
        return result
    }

    /// Writes `bytes` at `offset`, growing the file if they reach beyond its end.
    mutating func write(_ bytes: ArraySlice<UInt8>, at offset: Int) {
        size = max(size, offset + bytes.count)
        var at = offset
        var source = bytes
        while !source.isEmpty {
            let (index, start) = at.quotientAndRemainder(dividingBy: SparseBytes.pageSize)
            let n = min(SparseBytes.pageSize - start, source.count)
            let piece = source.prefix(n)
            while pages.count <= index { pages.append([]) }
            if pages[index].isEmpty {
                // Zeros stay unwritten: a 64 MB segment that is copied in from outside costs its data only. Small
                // writes are not looked through, which takes longer than they do.
                if bytes.count <= 1 << 16 || piece.contains(where: { $0 != 0 }) {
                    pages[index] = [UInt8](repeating: 0, count: SparseBytes.pageSize)
                    pages[index].replaceSubrange(start..<(start + n), with: piece)
                }
            } else {
                pages[index].replaceSubrange(start..<(start + n), with: piece)
            }
            source = source.dropFirst(n)
            at += n
        }
    }

    /// Cuts or grows to `length`; what is cut off reads as zeros if the file grows again.
    mutating func resize(to length: Int) {
        if length < size {
            let (index, start) = length.quotientAndRemainder(dividingBy: SparseBytes.pageSize)
            if start > 0, index < pages.count, !pages[index].isEmpty {
                pages[index].replaceSubrange(
                    start..., with: repeatElement(0, count: SparseBytes.pageSize - start))
            }
            let keep = start > 0 ? index + 1 : index
            if pages.count > keep { pages.removeSubrange(keep...) }
        }
        size = length
    }

    /// Calls `body` with each page that was written and its offset.
    func forEachPage(_ body: (_ offset: Int, _ bytes: [UInt8]) -> Void) {
        for (index, page) in pages.enumerated() where !page.isEmpty { body(index * SparseBytes.pageSize, page) }
    }
}
