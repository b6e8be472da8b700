internal import Base
internal import EtcdProto

extension KeyValueStore {
    /// Builds the index and the leases from the backend and finds the revisions (docs/formats/backend.md, "Opening").
    func restore() throws(StoreError) {
        let finished = try compactionMark(MetaKey.finishedCompactRevision)
        let scheduled = try compactionMark(MetaKey.scheduledCompactRevision)
        compactRevision = finished ?? -1
        try restoreLeases()
        try restoreRows()
        currentRevision = max(currentRevision, finished ?? 0, scheduled ?? 0)
        if let scheduled, scheduled > compactRevision {
            // The removal did not end before the restart; reads below have been refused since it was scheduled.
            compaction.start(CompactionTask(revision: scheduled, previous: compactRevision, recordsHash: false))
            compactRevision = scheduled
        }
    }

    private func compactionMark(_ key: [UInt8]) throws(StoreError) -> Int64? {
        do throws(BackendError) {
            guard let value = try backend.get(key, in: .meta) else { return nil }
            guard let mark = RowKey(value.span.bytes) else {
                throw .malformedRow(bucket: "meta", key: key, reason: "\(hexadecimal(value)) is no revision")
            }
            return mark.revision.main
        } catch {
            throw .backend(error)
        }
    }

    private func restoreLeases() throws(StoreError) {
        try backend.forEach(in: .lease) { (key, value) throws(StoreError) -> Bool in
            do throws(WireError) {
                let record = try LeaseRecord(decoding: value)
                leases[record.id] = record
                return true
            } catch {
                throw .backend(.malformedRow(bucket: "lease", key: key, reason: "\(error)"))
            }
        }
    }

    private func restoreRows() throws(StoreError) {
        // In variables meanwhile: each use of a property of a class is checked for conflicting ones, four for each row.
        var index = KeyIndex()
        swap(&index, &self.index)
        var newest = currentRevision
        var hasLeases = !leases.isEmptyOfKeys
        defer {
            self.index = index
            currentRevision = newest
        }
        try backend.forEachRow(from: .zero) { (row, value) throws(StoreError) -> Bool in
            do throws(WireError) {
                let keyValue = try StoredKeyValue(decoding: value)
                let key = value.bytes.extracting(keyValue.key)
                guard key.byteCount > 0 else { throw WireError.truncated(offset: 0) }
                let hasLease = keyValue.lease != 0
                guard
                    index.restore(
                        key, row, created: keyValue.createRevision, version: keyValue.version, hasLease: hasLease)
                else { throw WireError.outOfRange(field: 1) }
                if hasLease {
                    leases.attach(key.array, to: LeaseID(keyValue.lease))
                    hasLeases = true
                } else if hasLeases {
                    leases.detach(key.array)
                }
                newest = max(newest, row.revision.main)
                return true
            } catch {
                throw .backend(.malformedRow(bucket: "key", key: row.encoded, reason: "\(error)"))
            }
        }
    }
}
