/// CRC-32C (Castagnoli): reflected polynomial 0x82F63B78, initial value and final xor 0xFFFFFFFF.
/// The check value of the nine bytes `123456789` is 0xE3069283.
///
/// Slicing-by-8 in plain Swift, about 1.5 GB/s; `Sendable` and free of state besides the running value.
@frozen public struct CRC32C: Sendable, Equatable {
    /// The checksum of all bytes so far; 0 for none. Also the value from which a chained checksum goes on.
    public private(set) var value: UInt32

    /// - Parameter value: the checksum of the bytes that came before, 0 at the start.
    public init(_ value: UInt32 = 0) { self.value = value }

    public mutating func update(_ bytes: RawSpan) {
        var crc = ~value
        var offset = 0
        let count = bytes.byteCount
        // SAFETY: every index into `t` is a byte plus at most 1792, below 2048; `p` is read below `count` = its size.
        CRC32C.tables.withUnsafeBufferPointer { t in
            bytes.withUnsafeBytes { p in
                while count - offset >= 8 {
                    let low = UInt32(littleEndian: p.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) ^ crc
                    let high = UInt32(littleEndian: p.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self))
                    crc = t[1792 + Int(low & 0xFF)] ^ t[1536 + Int((low >> 8) & 0xFF)]
                    crc ^= t[1280 + Int((low >> 16) & 0xFF)] ^ t[1024 + Int(low >> 24)]
                    crc ^= t[768 + Int(high & 0xFF)] ^ t[512 + Int((high >> 8) & 0xFF)]
                    crc ^= t[256 + Int((high >> 16) & 0xFF)] ^ t[Int(high >> 24)]
                    offset += 8
                }
                while offset < count {
                    crc = (crc >> 8) ^ t[Int((crc ^ UInt32(p[offset])) & 0xFF)]
                    offset += 1
                }
            }
        }
        value = ~crc
    }

    public mutating func update(_ bytes: [UInt8]) { update(bytes.span.bytes) }

    /// The checksum of `bytes`.
    public static func checksum(_ bytes: [UInt8]) -> UInt32 {
        var crc = CRC32C()
        crc.update(bytes)
        return crc.value
    }

    /// Eight tables of 256, one behind the other: `tables[256 * k + b]` is the effect of byte `b` followed by k zeros.
    private static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 2048)
        for byte in 0..<256 {
            var crc = UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? (crc >> 1) ^ 0x82F6_3B78 : crc >> 1 }
            tables[byte] = crc
        }
        for k in 1..<8 {
            for byte in 0..<256 {
                let previous = tables[256 * (k - 1) + byte]
                tables[256 * k + byte] = (previous >> 8) ^ tables[Int(previous & 0xFF)]
            }
        }
        return tables
    }()
}
