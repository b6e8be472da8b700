internal import Base
internal import EtcdProto

// Bucket `key`: rows are only ever appended at the end and removed by compaction.
extension Backend {
    func putRow(_ revision: Revision, _ row: StoredKeyValue, key: ArraySlice<UInt8>, value: ArraySlice<UInt8>) {
        pending.rows.append(revision, row, key: key, value: value)
        pending.operations += 1
    }

    func putTombstone(_ revision: Revision, key: ArraySlice<UInt8>) {
        pending.rows.appendTombstone(revision, key: key)
        pending.operations += 1
    }

    func removeRow(_ key: RowKey) {
        if !pending.rows.remove(key.revision) { pending.removeStored(key) }
    }

    /// Where the row of a revision is, if it is not in the file.
    private enum BufferedRow {
        case pending(Range<Int>)
        case frozen(Range<Int>)
    }

    private func buffered(_ revision: Revision) -> BufferedRow? {
        if let position = pending.rows.position(of: revision) { return .pending(pending.rows.valueRange(at: position)) }
        if let position = frozen.rows.position(of: revision) { return .frozen(frozen.rows.valueRange(at: position)) }
        return nil
    }

    /// Appends the value of a row to `out`, as a length-delimited field if `field` is given.
    ///
    /// The index decides which rows exist: a row that is to be removed must not be asked for.
    /// - Returns: false when there is no such row.
    @discardableResult
    func appendRow(_ revision: Revision, field: Int? = nil, to out: inout [UInt8]) throws(BackendError) -> Bool {
        switch buffered(revision) {
        case .pending(let range):
            if let field { Wire.appendBytesHeader(field, count: range.count, to: &out) }
            out.append(contentsOf: pending.rows.bytes[range])
            return true
        case .frozen(let range):
            if let field { Wire.appendBytesHeader(field, count: range.count, to: &out) }
            out.append(contentsOf: frozen.rows.bytes[range])
            return true
        case nil:
            let key = RowKey.bytes(of: revision)
            return try stored.appendValue(of: key.span, in: .key, field: field, to: &out)
        }
    }

    /// Rows from `start` through main revision `end`, ascending, until `body` returns false. Removed rows are left out.
    func forEachRow(
        from start: Revision, through end: Int64 = .max,
        _ body: (RowKey, Span<UInt8>) throws(StoreError) -> Bool
    ) throws(StoreError) {
        var goOn = true
        var removedFrozen = frozen.firstRemoved(from: start)
        var removedPending = pending.firstRemoved(from: start)
        let isNoneRemoved = removedFrozen == frozen.removedRows.count && removedPending == pending.removedRows.count
        /// Both lists ascend, as the rows do: one step forward for each row that is passed.
        func isRemoved(_ revision: Revision) -> Bool {
            func passed(_ list: [RowKey], _ position: inout Int) -> Bool {
                while position < list.count, list[position].revision < revision { position += 1 }
                return position < list.count && list[position].revision == revision
            }
            let inFrozen = passed(frozen.removedRows, &removedFrozen)
            return passed(pending.removedRows, &removedPending) || inFrozen
        }
        let firstBuffered = frozen.rows.rows.first ?? pending.rows.rows.first
        if firstBuffered.map({ start < $0.revision }) ?? true {
            try stored.forEach(in: .key, from: RowKey(start).encoded) { (key, value) throws(StoreError) -> Bool in
                guard let row = RowKey(key.bytes) else {
                    throw .backend(.malformedRow(bucket: "key", key: key.array, reason: "not a revision"))
                }
                guard row.revision.main <= end else {
                    goOn = false
                    return false
                }
                if !isNoneRemoved, isRemoved(row.revision) { return true }
                goOn = try body(row, value)
                return goOn
            }
        }
        for buffer in [frozen.rows, pending.rows] where goOn {
            var position = buffer.lowerBound(start)
            while goOn, position < buffer.count {
                let row = buffer.rows[position]
                guard row.main <= end else { return }
                if !row.isRemoved, !isRemoved(row.revision) {
                    goOn = try body(row.key, buffer.bytes.span.extracting(buffer.valueRange(at: position)))
                }
                position += 1
            }
        }
    }
}
