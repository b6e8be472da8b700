/// Compares as unsigned bytes, a prefix before what it is a prefix of: negative, zero or positive like `memcmp`.
@inline(__always)
func compareBytes(_ a: RawSpan, _ b: RawSpan) -> Int {
    let common = min(a.byteCount, b.byteCount)
    var i = 0
    while i &+ 8 <= common {
        // SAFETY: eight bytes from i lie inside both spans, and every bit pattern is a UInt64.
        let x = UInt64(bigEndian: a.unsafeLoadUnaligned(fromByteOffset: i, as: UInt64.self))
        let y = UInt64(bigEndian: b.unsafeLoadUnaligned(fromByteOffset: i, as: UInt64.self))
        if x != y { return x < y ? -1 : 1 }
        i &+= 8
    }
    while i < common {
        // SAFETY: i lies inside both spans, and every bit pattern is a UInt8.
        let x = a.unsafeLoad(fromByteOffset: i, as: UInt8.self)
        let y = b.unsafeLoad(fromByteOffset: i, as: UInt8.self)
        if x != y { return x < y ? -1 : 1 }
        i &+= 1
    }
    return a.byteCount - b.byteCount
}

/// Whether `a` comes before `b` in the order of all keys.
@inline(__always)
package func precedes(_ a: [UInt8], _ b: [UInt8]) -> Bool {
    compareBytes(a.span.bytes, b.span.bytes) < 0
}

extension RawSpan {
    /// The byte at `offset`, which must lie inside.
    @inline(__always)
    func byte(_ offset: Int) -> UInt8 {
        precondition(offset >= 0 && offset < byteCount, "byte \(offset) of \(byteCount)")
        // SAFETY: the offset was just checked, and every bit pattern is a UInt8.
        return unsafeLoad(fromByteOffset: offset, as: UInt8.self)
    }

    /// Eight bytes, big endian, from `offset`; all of them must lie inside.
    @inline(__always)
    func bigEndian64(at offset: Int) -> UInt64 {
        precondition(offset >= 0 && offset &+ 8 <= byteCount, "eight bytes at \(offset) of \(byteCount)")
        // SAFETY: the range was just checked, and every bit pattern is a UInt64.
        return UInt64(bigEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }

    var array: [UInt8] {
        [UInt8](capacity: byteCount) { out in
            for i in 0..<byteCount { out.append(byte(i)) }
        }
    }
}

extension Array where Element == UInt8 {
    /// Appends a copy of the bytes of `span`.
    @inline(__always)
    mutating func append(copying span: RawSpan) {
        append(addingCapacity: span.byteCount) { out in
            for i in 0..<span.byteCount { out.append(span.byte(i)) }
        }
    }

    mutating func append(bigEndian value: UInt64) {
        for shift in stride(from: 56, through: 0, by: -8) { append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
    }
}

extension Span where Element == UInt8 {
    var array: [UInt8] { bytes.array }
}
