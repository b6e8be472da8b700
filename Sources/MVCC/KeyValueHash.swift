internal import Base

/// A hash over the rows of bucket `key` up to a revision. Format: docs/formats/backend.md, "Hashes".
public struct KeyValueHash: Sendable, Equatable {
    /// CRC-32C.
    public var hash: UInt32
    /// The compaction that the rows show; −1 for none.
    public var compactRevision: Int64
    /// The last main revision that is covered.
    public var revision: Int64

    public init(hash: UInt32, compactRevision: Int64, revision: Int64) {
        self.hash = hash
        self.compactRevision = compactRevision
        self.revision = revision
    }

    /// The running checksum: the bucket's name, then key and value of each row.
    struct Accumulator: Sendable {
        private var crc = CRC32C()
        private var key: [UInt8] = []

        init() { crc.update(BackendBucket.key.nameBytes) }

        mutating func update(_ row: RowKey, _ value: Span<UInt8>) {
            key.removeAll(keepingCapacity: true)
            row.append(to: &key)
            crc.update(key)
            crc.update(value.bytes)
        }

        var value: UInt32 { crc.value }
    }
}
