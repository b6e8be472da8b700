/// The protobuf wire format, for the few messages whose bytes are hashed, chained or on the hot path; all others use
/// the generated code. Format: https://protobuf.dev/programming-guides/encoding

/// Bytes that are no protobuf message.
public enum WireError: Error, Equatable, Sendable {
    /// The message ends inside a field.
    case truncated(offset: Int)
    /// A varint of more than ten bytes.
    case malformedVarint(offset: Int)
    /// Field number 0, or a wire type that no longer exists (groups included).
    case invalidTag(offset: Int, tag: UInt64)
    /// A field that this reader knows, with a wire type that it cannot have.
    case unexpectedWireType(field: Int)
    /// An enum or length outside of what the field can hold.
    case outOfRange(field: Int)
}

/// One field of a message: where it is, not a copy of it.
public enum WireValue: Sendable, Equatable {
    case varint(UInt64)
    case fixed64(UInt64)
    /// Offsets into the bytes that were read.
    case bytes(Range<Int>)
    case fixed32(UInt32)
}

/// Walks over the fields of a message. The bytes are passed to each call, so nothing is copied or retained.
///
/// ```swift
/// var cursor = WireCursor(bytes.indices)
/// while let (field, value) = try cursor.next(in: bytes) { … }
/// ```
public struct WireCursor: Sendable {
    public private(set) var offset: Int
    public let end: Int

    public init(_ range: Range<Int>) {
        offset = range.lowerBound
        end = range.upperBound
    }

    /// The next field and its number, or nil at the end of the message. O(1).
    public mutating func next(in bytes: Span<UInt8>) throws(WireError) -> (field: Int, value: WireValue)? {
        guard offset < end else { return nil }
        let start = offset
        let tag = try varint(in: bytes)
        let field = tag >> 3
        guard field > 0, field <= 0x1FFF_FFFF else { throw .invalidTag(offset: start, tag: tag) }
        switch tag & 7 {
        case 0:
            return (Int(field), .varint(try varint(in: bytes)))
        case 1:
            return (Int(field), .fixed64(try fixed(8, in: bytes)))
        case 2:
            let length = try varint(in: bytes)
            guard length <= UInt64(end - offset) else { throw .truncated(offset: start) }
            let range = offset..<(offset + Int(length))
            offset = range.upperBound
            return (Int(field), .bytes(range))
        case 5:
            return (Int(field), .fixed32(UInt32(try fixed(4, in: bytes))))
        default:
            throw .invalidTag(offset: start, tag: tag)
        }
    }

    /// A bare varint, as the elements of a packed field are.
    public mutating func varint(in bytes: Span<UInt8>) throws(WireError) -> UInt64 {
        if offset < end, bytes[offset] < 0x80 {
            defer { offset += 1 }
            return UInt64(bytes[offset])
        }
        let start = offset
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while offset < end {
            let byte = bytes[offset]
            offset += 1
            if shift == 63 && byte > 1 { throw .malformedVarint(offset: start) }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
            if shift > 63 { throw .malformedVarint(offset: start) }
        }
        throw .truncated(offset: start)
    }

    private mutating func fixed(_ count: Int, in bytes: Span<UInt8>) throws(WireError) -> UInt64 {
        guard end - offset >= count else { throw .truncated(offset: offset) }
        var value: UInt64 = 0
        for i in 0..<count { value |= UInt64(bytes[offset + i]) << UInt64(8 * i) }
        offset += count
        return value
    }
}

/// Appends fields to `[UInt8]`. `…Field` functions always write; proto3's "only when not the default" is the caller's.
public enum Wire {
    /// How many bytes `value` takes as a varint, 1…10.
    @inlinable public static func varintSize(_ value: UInt64) -> Int {
        // ceil(bits / 7), at least 1, without a loop.
        (UInt64.bitWidth - (value | 1).leadingZeroBitCount + 6) / 7
    }

    /// The size of a length-delimited field: tag, length, content.
    @inlinable public static func bytesFieldSize(_ field: Int, _ count: Int) -> Int {
        varintSize(UInt64(field) << 3) + varintSize(UInt64(count)) + count
    }

    /// The size of a varint field: tag, value.
    @inlinable public static func varintFieldSize(_ field: Int, _ value: UInt64) -> Int {
        varintSize(UInt64(field) << 3) + varintSize(value)
    }

    @inlinable public static func appendVarint(_ value: UInt64, to out: inout [UInt8]) {
        var v = value
        while v >= 0x80 {
            out.append(UInt8(truncatingIfNeeded: v) | 0x80)
            v >>= 7
        }
        out.append(UInt8(truncatingIfNeeded: v))
    }

    @inlinable public static func appendVarintField(_ field: Int, _ value: UInt64, to out: inout [UInt8]) {
        appendVarint(UInt64(field) << 3, to: &out)
        appendVarint(value, to: &out)
    }

    @inlinable public static func appendBytesHeader(_ field: Int, count: Int, to out: inout [UInt8]) {
        appendVarint(UInt64(field) << 3 | 2, to: &out)
        appendVarint(UInt64(count), to: &out)
    }

    @inlinable public static func appendBytesField(
        _ field: Int, _ bytes: some Collection<UInt8>, to out: inout [UInt8]
    ) {
        appendBytesHeader(field, count: bytes.count, to: &out)
        out.append(contentsOf: bytes)
    }
}
