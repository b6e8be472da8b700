internal import Base
internal import EtcdProto
package import RaftCore
internal import RaftProto

/// The content of a `.snap` file: `{ crc = 1; data = 2 }`, the CRC-32C of the data and an encoded `raftpb.Snapshot`.
/// `docs/formats/snap.md`.
package enum SnapshotFile {
    package static func encode(_ snapshot: Snapshot) -> [UInt8] {
        var data: [UInt8] = []
        snapshot.encode(to: &data)
        var out: [UInt8] = []
        out.reserveCapacity(data.count + 16)
        Wire.appendVarintField(1, UInt64(CRC32C.checksum(data)), to: &out)
        Wire.appendBytesField(2, data, to: &out)
        return out
    }

    /// - Parameter file: for the error.
    package static func decode(_ bytes: [UInt8], file: String) throws(SnapshotError) -> Snapshot {
        guard !bytes.isEmpty else { throw .empty(file: file) }
        var stored: UInt64 = 0
        var data = 0..<0
        do throws(WireError) {
            var cursor = WireCursor(bytes.indices)
            while let (field, value) = try cursor.next(in: bytes.span) {
                switch (field, value) {
                case (1, .varint(let number)): stored = number
                case (2, .bytes(let range)): data = range
                case (1...2, _): throw .unexpectedWireType(field: field)
                default: break
                }
            }
            if stored > UInt64(UInt32.max) { throw .outOfRange(field: 1) }
        } catch {
            throw .malformed(file: file, reason: error)
        }
        let expected = UInt32(stored)
        guard !data.isEmpty, expected != 0 else { throw .empty(file: file) }
        var crc = CRC32C()
        crc.update(bytes.span.bytes.extracting(data))
        guard crc.value == expected else {
            throw .checksumMismatch(file: file, expected: expected, found: crc.value)
        }
        do throws(WireError) {
            return try Snapshot(decoding: bytes, in: data)
        } catch {
            throw .malformed(file: file, reason: error)
        }
    }
}
