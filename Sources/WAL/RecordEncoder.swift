package import Base
internal import EtcdProto
package import RaftCore
internal import RaftProto

/// Builds frames, one behind the other, in a buffer that is used again and again.
///
/// Frame: 64-bit little-endian length word, `Record { type = 1; crc = 2; data = 3 }`, zeros up to a multiple of 8. The
/// low 56 bits of the word are the record's length; if there are p > 0 zeros, the top byte is 0x80 | p.
/// `docs/formats/wal.md`.
package struct RecordEncoder {
    /// The frames so far.
    package private(set) var buffer: [UInt8] = []
    /// The checksum of all data of the log so far.
    package private(set) var crc: CRC32C
    private var scratch: [UInt8] = []

    package init(crc: UInt32) { self.crc = CRC32C(crc) }

    /// Forgets the frames and keeps the memory, unless a huge record has blown it up.
    package mutating func clear() {
        if buffer.capacity > RecordEncoder.keptCapacity {
            buffer = []
        } else {
            buffer.removeAll(keepingCapacity: true)
        }
    }

    private static let keptCapacity = 4 << 20

    /// The record at the head of a segment: the checksum of everything before it.
    package mutating func appendChecksum() {
        scratch.removeAll(keepingCapacity: true)
        appendFrame(.crc, tail: [])
    }

    package mutating func append(_ type: RecordType, _ data: [UInt8]) {
        scratch.removeAll(keepingCapacity: true)
        crc.update(data)
        appendFrame(type, tail: data)
    }

    package mutating func append(_ state: HardState) {
        scratch.removeAll(keepingCapacity: true)
        state.encode(to: &scratch)
        crc.update(scratch)
        appendFrame(.state, tail: [])
    }

    package mutating func append(_ snapshot: WALSnapshot) {
        scratch.removeAll(keepingCapacity: true)
        snapshot.encode(to: &scratch)
        crc.update(scratch)
        appendFrame(.snapshot, tail: [])
    }

    package mutating func append(_ entry: Entry) {
        scratch.removeAll(keepingCapacity: true)
        entry.encodeHeader(to: &scratch)
        crc.update(scratch)
        crc.update(entry.data)
        appendFrame(.entry, tail: entry.data)
    }

    /// The record's data are `scratch` and then `tail`, both already in the checksum.
    private mutating func appendFrame(_ type: RecordType, tail: [UInt8]) {
        let dataCount = scratch.count + tail.count
        // Type and tags take one byte each.
        let head = 3 + Wire.varintSize(UInt64(crc.value))
        let count = dataCount == 0 ? head : head + 1 + Wire.varintSize(UInt64(dataCount)) + dataCount
        let padding = (8 - count % 8) % 8
        var word = UInt64(count)
        if padding > 0 { word |= (0x80 | UInt64(padding)) << 56 }
        for shift in stride(from: 0, to: UInt64(64), by: 8) { buffer.append(UInt8(truncatingIfNeeded: word >> shift)) }
        Wire.appendVarintField(1, UInt64(type.rawValue), to: &buffer)
        Wire.appendVarintField(2, UInt64(crc.value), to: &buffer)
        if dataCount > 0 {
            Wire.appendBytesHeader(3, count: dataCount, to: &buffer)
            buffer.append(contentsOf: scratch)
            buffer.append(contentsOf: tail)
        }
        for _ in 0..<padding { buffer.append(0) }
    }
}
