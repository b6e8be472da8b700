internal import Base
internal import EtcdProto

/// A hash of the rows up to a revision that is worked out in slices, between which the store may change. Format:
/// docs/formats/backend.md, "Hashes".
public struct HashRun: Sendable {
    /// As it was asked for; 0 for the current one.
    fileprivate let revision: Int64
    /// The last main revision that is covered.
    fileprivate let last: Int64
    /// The compaction that the rows are seen through. A later one makes the run begin again.
    fileprivate var compactRevision: Int64
    fileprivate var keepsAny: Bool
    /// The first row that has not been looked at.
    fileprivate var next = Revision.zero
    fileprivate var hash = KeyValueHash.Accumulator()
}

extension KeyValueStore {
    /// What a slice of a hash does unless told otherwise: some 0.3 ms of work.
    public static let hashSlice = 2000

    /// Begins to hash the rows up to `revision`, 0 for the current one. O(1), O(keys) if none of them exists there.
    public func beginHash(_ revision: Int64) throws(StoreError) -> HashRun {
        if recordedHash(revision) == nil {
            if revision > currentRevision { throw .rejected(.futureRevision) }
            if revision > 0, revision < compactRevision { throw .rejected(.compacted) }
        }
        let last = revision == 0 ? currentRevision : revision
        return HashRun(
            revision: revision, last: last, compactRevision: compactRevision, keepsAny: index.hasAny(at: last))
    }

    /// Hashes the next rows.
    /// - Parameter limit: how much to do. A row counts 1 and another 1 for each KiB; a slice ends with the row that
    ///   reaches the limit.
    /// - Returns: the hash once all rows are in it; for the revision of a recent compaction the hash that it recorded.
    /// - Throws: also when the revision has been compacted since the run began.
    public func hashStep(_ run: inout HashRun, limit: Int = hashSlice) throws(StoreError) -> KeyValueHash? {
        precondition(limit > 0, "a hash step of \(limit)")
        if let recorded = recordedHash(run.revision) { return recorded }
        // A negative revision is no error and covers nothing.
        guard run.last >= 0 else {
            return KeyValueHash(hash: run.hash.value, compactRevision: compactRevision, revision: run.last)
        }
        if run.last < compactRevision { throw .rejected(.compacted) }
        if run.compactRevision != compactRevision {
            run = HashRun(
                revision: run.revision, last: run.last, compactRevision: compactRevision,
                keepsAny: index.hasAny(at: run.last))
        }
        var next: Revision?
        var left = limit
        var hash = run.hash
        let (index, last, compactRevision, keepsAny) = (index, run.last, run.compactRevision, run.keepsAny)
        try backend.forEachRow(from: run.next, through: last) { (row, value) throws(StoreError) -> Bool in
            guard left > 0 else {
                next = row.revision
                return false
            }
            left -= 1 + value.count >> 10
            var isKept = true
            if row.revision.main <= compactRevision {
                // Here, unlike for a compaction, a tombstone is never kept.
                let newest = try index.newest(of: row, value, through: last)
                isKept = !row.isTombstone && newest == row
            }
            if row.isHashed(compactedAt: compactRevision, keepsAny: keepsAny, isKept: isKept) {
                hash.update(row, value)
            }
            return true
        }
        run.hash = hash
        if let next {
            run.next = next
            return nil
        }
        return KeyValueHash(hash: hash.value, compactRevision: compactRevision, revision: last)
    }

    /// A whole hash at once. O(rows).
    public func hashKV(_ revision: Int64) throws(StoreError) -> KeyValueHash {
        var run = try beginHash(revision)
        while true {
            if let hash = try hashStep(&run, limit: .max) { return hash }
        }
    }

    private func recordedHash(_ revision: Int64) -> KeyValueHash? {
        compaction.hashes.last { $0.revision == revision }
    }

    /// Begins the run that an encoded `HashKVRequest` asks for.
    public func beginHash(_ request: [UInt8]) throws(StoreError) -> HashRun {
        try beginHash(
            try decoding { () throws(WireError) -> Int64 in
                var revision: Int64 = 0
                var cursor = WireCursor(request.indices)
                let span = request.span
                while let (field, value) = try cursor.next(in: span) {
                    if field == 1 { revision = try value.signed(field) }
                }
                return revision
            })
    }

    /// Appends a hash as an encoded `HashKVResponse`.
    public func append(_ hash: KeyValueHash, header: ResponseHeader, to out: inout [UInt8]) {
        var header = header
        header.revision = currentRevision
        header.append(to: &out)
        if hash.hash != 0 { Wire.appendVarintField(2, UInt64(hash.hash), to: &out) }
        for (field, value) in [(3, hash.compactRevision), (4, hash.revision)] where value != 0 {
            Wire.appendVarintField(field, UInt64(bitPattern: value), to: &out)
        }
    }

    /// The hashes that recent compactions recorded, ascending by revision, at most ten.
    public var compactionHashes: [KeyValueHash] { compaction.hashes }

    /// The hash over the whole backend but the figures in `meta` that differ between members, and Martlet's own bucket,
    /// which etcd's members do not have. O(size of the backend).
    public func hash() throws(StoreError) -> UInt32 {
        var crc = CRC32C()
        let left: [[UInt8]] = [MetaKey.consistentIndex, MetaKey.term, MetaKey.storageVersion]
        for bucket in BackendBucket.shared {
            crc.update(bucket.nameBytes)
            if bucket == .key {
                try backend.forEachRow(from: .zero) { (row, value) throws(StoreError) -> Bool in
                    crc.update(row.encoded)
                    crc.update(value.bytes)
                    return true
                }
                continue
            }
            try backend.forEach(in: bucket) { (key, value) throws(StoreError) -> Bool in
                if bucket == .meta, left.contains(key) { return true }
                crc.update(key)
                crc.update(value)
                return true
            }
        }
        return crc.value
    }

    /// The hash over the whole backend as an encoded `HashResponse`.
    public func hash(header: ResponseHeader, into out: inout [UInt8]) throws(StoreError) {
        let hash = try hash()
        var header = header
        header.revision = currentRevision
        header.append(to: &out)
        if hash != 0 { Wire.appendVarintField(2, UInt64(hash), to: &out) }
    }
}

extension KeyIndex {
    /// Whether any key exists at `revision`. O(keys) when none does.
    func hasAny(at revision: Int64) -> Bool {
        for leaf in leaves {
            for record in leaf.records where visible(record, at: revision) != nil { return true }
        }
        return false
    }
}
