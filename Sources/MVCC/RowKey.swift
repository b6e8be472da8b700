public import Base

/// The key of a row in bucket `key`: main revision, `_`, sub revision, and `t` when the row is a tombstone.
/// Format: docs/formats/backend.md, "Bucket key".
public struct RowKey: Hashable, Comparable, Sendable {
    /// Bytes of a row key without the tombstone mark.
    static let size = 17
    static let separator = UInt8(ascii: "_")
    static let tombstoneMark = UInt8(ascii: "t")

    public var revision: Revision
    public var isTombstone: Bool

    public init(_ revision: Revision, isTombstone: Bool = false) {
        self.revision = revision
        self.isTombstone = isTombstone
    }

    /// Nil when the bytes are no row key.
    init?(_ bytes: RawSpan) {
        let count = bytes.byteCount
        guard count == RowKey.size || count == RowKey.size + 1, bytes.byte(8) == RowKey.separator else { return nil }
        if count > RowKey.size, bytes.byte(RowKey.size) != RowKey.tombstoneMark { return nil }
        revision = Revision(
            main: Int64(bitPattern: bytes.bigEndian64(at: 0)), sub: Int64(bitPattern: bytes.bigEndian64(at: 9)))
        isTombstone = count > RowKey.size
    }

    public static func < (a: RowKey, b: RowKey) -> Bool {
        a.revision != b.revision ? a.revision < b.revision : !a.isTombstone && b.isTombstone
    }

    /// How many bytes `append(to:)` adds.
    var encodedSize: Int { RowKey.size + (isTombstone ? 1 : 0) }

    func append(to out: inout [UInt8]) {
        out.append(bigEndian: UInt64(bitPattern: revision.main))
        out.append(RowKey.separator)
        out.append(bigEndian: UInt64(bitPattern: revision.sub))
        if isTombstone { out.append(RowKey.tombstoneMark) }
    }

    /// The key of a revision's row that is no tombstone, without an array for it.
    static func bytes(of revision: Revision) -> InlineArray<17, UInt8> {
        var bytes = InlineArray<17, UInt8>(repeating: separator)
        let (main, sub) = (UInt64(bitPattern: revision.main), UInt64(bitPattern: revision.sub))
        for i in 0..<8 {
            let shift = UInt64(56 - 8 * i)
            bytes[i] = UInt8(truncatingIfNeeded: main >> shift)
            bytes[9 + i] = UInt8(truncatingIfNeeded: sub >> shift)
        }
        return bytes
    }

    public var encoded: [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(encodedSize)
        append(to: &out)
        return out
    }
}
