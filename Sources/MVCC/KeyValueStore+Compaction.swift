internal import Base
internal import EtcdProto

extension KeyValueStore {
    /// Forgets the history at or below `revision`, but for what a read at `revision` still needs. Reads below it fail
    /// at once; the memory and the rows go away by `compactStep`.
    ///
    /// The mark is in the same or an earlier commit than any removal, so a restart always finds and resumes it.
    public func compact(_ revision: Int64) throws(StoreError) {
        if revision <= compactRevision { throw .rejected(.compacted) }
        if revision > currentRevision { throw .rejected(.futureRevision) }
        compaction.start(
            CompactionTask(
                revision: revision, previous: compactRevision, recordsHash: compaction.running == nil))
        compactRevision = revision
        backend.put(
            MetaKey.scheduledCompactRevision, RowKey(Revision(main: revision)).encoded, in: .meta)
    }

    /// Whether there is anything for `compactStep` to do.
    public var isCompacting: Bool { compaction.running != nil }

    /// What a slice does unless told otherwise: some 0.1 ms of work, the longest below 1 ms on slow machines, too
    /// (docs/benchmarks.md, "Store").
    public static let compactionSlice = 100

    /// Does a slice of the removal that is due.
    /// - Parameter limit: how much to do. A key of the index counts 1, a row 1 and another 1 for each KiB, since the
    ///   hash of a compaction reads all of it. A slice ends with the first leaf of the index, or row, that reaches the
    ///   limit.
    public func compactStep(limit: Int = compactionSlice) throws(StoreError) -> CompactionProgress {
        precondition(limit > 0, "a compaction step of \(limit)")
        guard var task = compaction.running else { return .idle }
        switch task.phase {
        case .index(let start):
            let slice = index.compact(at: task.revision, from: start, limit: limit)
            if slice.kept { task.keepsAny = true }
            task.phase = slice.resumeKey.map { .index(from: $0) } ?? .rows(from: .zero)
            compaction.update(task)
            return .running(task.revision)
        case .rows(let start):
            guard let next = try compactRows(&task, from: start, limit: limit) else {
                finish(task)
                return .finished(task.revision)
            }
            task.phase = .rows(from: next)
            compaction.update(task)
            return .running(task.revision)
        }
    }

    /// Removes what is not kept of the next rows.
    /// - Returns: the first row not looked at; nil when all are done.
    private func compactRows(_ task: inout CompactionTask, from start: Revision, limit: Int) throws(StoreError)
        -> Revision?
    {
        var next: Revision?
        var left = limit
        var removed: [RowKey] = []
        let index = index
        var hash = task.hash
        let (revision, previous, keepsAny, recordsHash) = (
            task.revision, task.previous, task.keepsAny, task.recordsHash
        )
        try backend.forEachRow(from: start, through: revision) { (row, value) throws(StoreError) -> Bool in
            guard left > 0 else {
                next = row.revision
                return false
            }
            left -= 1 + value.count >> 10
            let isKept = try index.keeps(row, value, compactedAt: revision)
            if !isKept { removed.append(row) }
            if recordsHash, row.isHashed(compactedAt: previous, keepsAny: keepsAny, isKept: isKept) {
                hash.update(row, value)
            }
            return true
        }
        task.hash = hash
        for row in removed { backend.removeRow(row) }
        counters.compactedRows += removed.count
        return next
    }

    private func finish(_ task: CompactionTask) {
        if task.recordsHash {
            compaction.record(
                KeyValueHash(hash: task.hash.value, compactRevision: task.previous, revision: task.revision))
        }
        backend.put(MetaKey.finishedCompactRevision, RowKey(Revision(main: task.revision)).encoded, in: .meta)
        counters.compactions += 1
        compaction.finish()
    }
}

extension KeyIndex {
    /// Whether a compaction at `revision` keeps a row from at or before it: its key's newest one, unless that is a
    /// tombstone from before `revision`.
    func keeps(_ row: RowKey, _ value: Span<UInt8>, compactedAt revision: Int64) throws(StoreError) -> Bool {
        if row.isTombstone, row.revision.main < revision { return false }
        return try newest(of: row, value, through: revision) == row
    }

    /// The newest revision through `revision` of the key of a row.
    func newest(of row: RowKey, _ value: Span<UInt8>, through revision: Int64) throws(StoreError) -> RowKey? {
        do throws(WireError) {
            let key = try StoredKeyValue.keyRange(in: value)
            return newest(of: value.bytes.extracting(key), through: revision)
        } catch {
            throw .backend(.malformedRow(bucket: "key", key: row.encoded, reason: "\(error)"))
        }
    }
}

extension RowKey {
    /// Whether a hash covers the row, on a store compacted at `compactRevision`.
    /// - Parameters:
    ///   - keepsAny: whether the set of kept revisions has any; the rule about them is dropped when it has none.
    ///   - isKept: whether it has this one.
    func isHashed(compactedAt compactRevision: Int64, keepsAny: Bool, isKept: Bool) -> Bool {
        if revision.main <= compactRevision, keepsAny, !isKept { return false }
        return !(revision.main == compactRevision && isTombstone)
    }
}
