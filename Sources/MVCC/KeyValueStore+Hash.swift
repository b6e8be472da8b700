internal import Base
internal import EtcdProto

extension KeyValueStore {
    /// The hash of the rows up to `revision`, 0 for the current one; for the revision of a recent compaction the hash
    /// that it recorded. O(rows).
    public func hashKV(_ revision: Int64) throws(StoreError) -> KeyValueHash {
        if let recorded = compaction.hashes.last(where: { $0.revision == revision }) { return recorded }
        if revision > currentRevision { throw .rejected(.futureRevision) }
        let last = revision == 0 ? currentRevision : revision
        var hash = KeyValueHash.Accumulator()
        // A negative revision is no error and covers nothing.
        guard last >= 0 else {
            return KeyValueHash(hash: hash.value, compactRevision: compactRevision, revision: last)
        }
        if last < compactRevision { throw .rejected(.compacted) }
        let keepsAny = index.hasAny(at: last)
        let (index, compactRevision) = (index, compactRevision)
        try backend.forEachRow(from: .zero, through: last) { (row, value) throws(StoreError) -> Bool in
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
        return KeyValueHash(hash: hash.value, compactRevision: compactRevision, revision: last)
    }

    /// Decodes a `HashKVRequest` and appends an encoded `HashKVResponse`.
    public func hashKV(_ request: [UInt8], header: ResponseHeader, into out: inout [UInt8]) throws(StoreError) {
        let revision = try decoding { () throws(WireError) -> Int64 in
            var revision: Int64 = 0
            var cursor = WireCursor(request.indices)
            let span = request.span
            while let (field, value) = try cursor.next(in: span) {
                if field == 1 { revision = try value.signed(field) }
            }
            return revision
        }
        let hash = try hashKV(revision)
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
