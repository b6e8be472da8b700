public import Base
internal import EtcdProto

// Changes. Each public function is one transaction; the `execute…` functions are the operations inside one.
extension KeyValueStore {
    /// Puts a key and appends an encoded `PutResponse`. On an error neither the store nor `out` is changed.
    public func put(
        _ command: PutCommand, in bytes: [UInt8], header: ResponseHeader, into out: inout [UInt8]
    ) throws(StoreError) {
        if command.lease != 0, leases[LeaseID(command.lease)] == nil { throw .rejected(.leaseNotFound) }
        if command.ignoresValue || command.ignoresLease, !exists(bytes.span.bytes.extracting(command.key)) {
            throw .rejected(.keyNotFound)
        }
        try executePut(command, in: bytes, header: header, into: &out)
        endTransaction()
    }

    /// Deletes the keys of a range and appends an encoded `DeleteRangeResponse`. O(log n + keys deleted).
    public func deleteRange(
        _ command: DeleteRangeCommand, in bytes: [UInt8], header: ResponseHeader, into out: inout [UInt8]
    ) throws(StoreError) {
        try executeDeleteRange(command, in: bytes, header: header, into: &out)
        endTransaction()
    }

    /// Whether a key exists now.
    func exists(_ key: RawSpan) -> Bool {
        guard let record = index.record(of: key) else { return false }
        return !record.isTombstone
    }

    func executePut(
        _ command: PutCommand, in bytes: [UInt8], header: ResponseHeader, into out: inout [UInt8]
    ) throws(StoreError) {
        let revision = nextRevision
        var header = header
        header.revision = revision.main
        header.append(to: &out)
        let key = bytes[command.key]
        var lease = command.lease
        if command.returnsPrevious || command.ignoresValue || command.ignoresLease {
            let previous = index.record(of: bytes.span.bytes.extracting(command.key)).flatMap {
                $0.isTombstone ? nil : $0
            }
            if command.returnsPrevious, let previous { try appendRow(previous.modified, field: 2, to: &out) }
            if command.ignoresValue || command.ignoresLease {
                // Absent only if this very transaction has deleted it; value and lease then are what an absent key has.
                let stored = try previous.map { (previous) throws(StoreError) in try readRow(previous.modified) }
                if command.ignoresLease { lease = stored?.lease ?? 0 }
                if command.ignoresValue {
                    let value = stored.map { Array(scratch[$0.value]) } ?? []
                    put(key, value[...], lease: lease, at: revision)
                    return
                }
            }
        }
        put(key, bytes[command.value], lease: lease, at: revision)
    }

    private func put(_ key: ArraySlice<UInt8>, _ value: ArraySlice<UInt8>, lease: Int64, at revision: Revision) {
        let (old, new) = index.put(key.span.bytes, at: revision, hasLease: lease != 0)
        if old?.hasLease == true { leases.detach(Array(key)) }
        if lease != 0 { leases.attach(Array(key), to: LeaseID(lease)) }
        let row = StoredKeyValue(
            createRevision: new.created, modRevision: revision.main, version: new.version, lease: lease)
        backend.putRow(revision, row, key: key, value: value)
        changes += 1
        counters.puts += 1
        counters.putBytes += key.count + value.count
    }

    func executeDeleteRange(
        _ command: DeleteRangeCommand, in bytes: [UInt8], header: ResponseHeader, into out: inout [UInt8]
    ) throws(StoreError) {
        let span = bytes.span.bytes
        let positions = livePositions(from: span.extracting(command.key), to: span.extracting(command.rangeEnd))
        counters.deletes += 1
        var header = header
        header.revision = positions.isEmpty ? readRevision : nextRevision.main
        header.append(to: &out)
        guard !positions.isEmpty else { return }
        Wire.appendVarintField(2, UInt64(positions.count), to: &out)
        if command.returnsPrevious {
            for position in positions {
                try appendRow(index.leaves[position.leaf].records[position.slot].modified, field: 3, to: &out)
            }
        }
        for position in positions { delete(at: position) }
    }

    private func livePositions(from start: RawSpan, to end: RawSpan) -> [KeyIndex.Position] {
        var positions: [KeyIndex.Position] = []
        index.forEachRun(from: start, to: end) { leaf, slots in
            for slot in slots where !index.leaves[leaf].records[slot].isTombstone {
                positions.append(KeyIndex.Position(leaf: leaf, slot: slot))
            }
            return true
        }
        return positions
    }

    private func delete(at position: KeyIndex.Position) {
        let revision = nextRevision
        let key = index.leaves[position.leaf].keys.key(at: position.slot)
        if index.leaves[position.leaf].records[position.slot].hasLease { leases.detach(Array(key)) }
        backend.putTombstone(revision, key: key)
        index.tombstone(at: position, revision)
        changes += 1
    }
}

// MARK: - Leases

extension KeyValueStore {
    /// Records a lease. The caller has checked that there is none of that ID.
    public func grantLease(_ record: LeaseRecord) {
        precondition(leases[record.id] == nil, "lease \(record.id) exists")
        leases[record.id] = record
        backend.put(LeaseRecord.key(of: record.id), record.encoded, in: .lease)
    }

    /// Deletes a lease and its keys, in key order and in one revision. O(keys log n).
    public func revokeLease(_ id: LeaseID) throws(StoreError) {
        guard leases[id] != nil else { throw .rejected(.leaseNotFound) }
        for key in leases.keys(of: id) {
            let (position, found) = index.seek(key.span.bytes)
            guard found, !index.leaves[position.leaf].records[position.slot].isTombstone else { continue }
            delete(at: position)
            counters.deletes += 1
        }
        leases[id] = nil
        backend.delete(LeaseRecord.key(of: id), in: .lease)
        endTransaction()
    }

    /// Notes how many seconds a lease had left; an unknown lease is passed over.
    /// - Parameter persists: whether the file gets to know it.
    public func checkpointLease(_ id: LeaseID, remaining: Int64, persists: Bool) {
        guard var record = leases[id] else { return }
        record.remaining = remaining
        leases[id] = record
        guard persists else { return }
        backend.put(LeaseRecord.key(of: id), record.encoded, in: .lease)
    }

    public func lease(_ id: LeaseID) -> LeaseRecord? { leases[id] }

    /// All leases, ascending by ID.
    public var leaseRecords: [LeaseRecord] { leases.sorted }

    /// The keys attached to a lease, ascending.
    public func keys(ofLease id: LeaseID) -> [[UInt8]] { leases.keys(of: id) }
}
