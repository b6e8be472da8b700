internal import Base

extension Entry {
    /// The size in bytes of the entry as protobuf: what the limits on messages and on applying count.
    public var encodedSize: UInt64 {
        var size = 2 + varintSize(term.rawValue) + varintSize(index.rawValue)
        if type != .normal { size += 2 }
        if !data.isEmpty { size += 1 + varintSize(UInt64(data.count)) + UInt64(data.count) }
        return size
    }
}

/// The bytes of a base-128 varint.
@inline(__always) func varintSize(_ value: UInt64) -> UInt64 {
    UInt64((70 - (value | 1).leadingZeroBitCount) / 7)
}

extension Sequence where Element == Entry {
    func encodedSize() -> UInt64 { reduce(0) { $0 + $1.encodedSize } }
    /// The bytes of the entries' data alone.
    func payloadSize() -> UInt64 { reduce(0) { $0 + UInt64($1.data.count) } }
}

/// No limit on the size of entries.
public let noLimit = UInt64.max
