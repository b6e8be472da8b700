internal import Base
internal import EtcdProto

extension KeyValueStore {
    /// Answers a read with an encoded `RangeResponse`.
    /// - Parameters:
    ///   - bytes: what the command's offsets refer to.
    ///   - header: its revision is filled in here.
    ///   - out: the response is appended; nothing is on an error.
    /// - Complexity: O(log n) for one key, O(keys in the range) otherwise, whatever the limit.
    public func range(
        _ command: RangeCommand, in bytes: [UInt8], header: ResponseHeader, into out: inout [UInt8]
    ) throws(StoreError) {
        let start = out.count
        do throws(StoreError) {
            try appendRange(command, in: bytes, header: header, into: &out)
        } catch {
            out.removeSubrange(start...)
            throw error
        }
    }

    /// Decodes a `RangeRequest` and answers it.
    public func range(_ request: [UInt8], header: ResponseHeader, into out: inout [UInt8]) throws(StoreError) {
        try range(
            try decoding { () throws(WireError) in try RangeCommand(request) }, in: request, header: header, into: &out)
    }

    /// The revision that a read at `requested` is to see.
    func resolve(_ requested: Int64) throws(StoreError) -> Int64 {
        let current = readRevision
        if requested <= 0 { return current }
        if requested > current { throw .rejected(.futureRevision) }
        if requested < compactRevision { throw .rejected(.compacted) }
        return requested
    }

    func appendRange(
        _ command: RangeCommand, in bytes: [UInt8], header: ResponseHeader, into out: inout [UInt8]
    ) throws(StoreError) {
        let revision = try resolve(command.revision)
        counters.ranges += 1
        var header = header
        header.revision = readRevision
        header.append(to: &out)
        let start = bytes.span.bytes.extracting(command.key)
        let end = bytes.span.bytes.extracting(command.rangeEnd)
        if command.countOnly {
            appendTail(more: false, count: index.count(from: start, to: end, at: revision), to: &out)
        } else if end.byteCount == 0, !command.hasFilter {
            try appendOne(command, start, at: revision, into: &out)
        } else if command.hasFilter || command.needsSort {
            try appendSorted(command, from: start, to: end, at: revision, into: &out)
        } else {
            try appendInKeyOrder(command, from: start, to: end, at: revision, into: &out)
        }
    }

    private func appendTail(more: Bool, count: Int, to out: inout [UInt8]) {
        if more { Wire.appendVarintField(3, 1, to: &out) }
        if count > 0 { Wire.appendVarintField(4, UInt64(count), to: &out) }
    }

    /// A single key, which is what is read most: without a walk over the index, for which it would have to be held.
    private func appendOne(
        _ command: RangeCommand, _ key: RawSpan, at revision: Int64, into out: inout [UInt8]
    ) throws(StoreError) {
        let (position, found) = index.seek(key)
        guard found, let visible = index.visible(index.leaves[position.leaf].records[position.slot], at: revision)
        else { return }
        try appendKeyValue(visible, at: position, command, field: 2, to: &out)
        appendTail(more: false, count: 1, to: &out)
    }

    private func appendInKeyOrder(
        _ command: RangeCommand, from start: RawSpan, to end: RawSpan, at revision: Int64, into out: inout [UInt8]
    ) throws(StoreError) {
        var walk = RangeWalk(revision: revision)
        _ = try appendNext(&walk, command, from: start, to: end, slice: .max, into: &out)
    }

    /// Appends the next results, and the response's tail behind the last one.
    /// - Parameter slice: how much to do. A result counts 1 and another 1 for each KiB; `RangeWalk.countedPerUnit` keys
    ///   that are only counted, because the limit is reached, are 1 together.
    /// - Returns: whether that was all.
    func appendNext(
        _ walk: inout RangeWalk, _ command: RangeCommand, from start: RawSpan, to end: RawSpan, slice: Int,
        into out: inout [UInt8]
    ) throws(StoreError) -> Bool {
        let limit = command.limit > 0 ? Int(command.limit) : Int.max
        var count = walk.count
        var left = slice.multipliedReportingOverflow(by: RangeWalk.countedPerUnit)
        if left.overflow { left.partialValue = .max }
        var last: KeyIndex.Position?
        let revision = walk.revision
        try index.forEachRun(from: start, to: end) { (leaf, slots) throws(StoreError) -> Bool in
            for slot in slots {
                let position = KeyIndex.Position(leaf: leaf, slot: slot)
                left.partialValue -= 1
                if let visible = index.visible(index.leaves[leaf].records[slot], at: revision) {
                    count += 1
                    if count <= limit {
                        let before = out.count
                        try appendKeyValue(visible, at: position, command, field: 2, to: &out)
                        left.partialValue -= RangeWalk.countedPerUnit * (1 + (out.count - before) >> 10)
                    }
                }
                if left.partialValue <= 0 {
                    last = position
                    return false
                }
            }
            return true
        }
        walk.count = count
        if let last {
            // The first key that can follow.
            walk.next = Array(index.leaves[last.leaf].keys.key(at: last.slot)) + [0]
            return false
        }
        appendTail(more: count > limit, count: count, to: &out)
        return true
    }

    /// Appends one result, without its value if only keys are wanted.
    private func appendKeyValue(
        _ visible: VisibleRevision, at position: KeyIndex.Position, _ command: RangeCommand, field: Int,
        to out: inout [UInt8]
    ) throws(StoreError) {
        guard command.keysOnly else {
            try appendRow(visible.modified, field: field, to: &out)
            return
        }
        let key = index.leaves[position.leaf].keys.key(at: position.slot)
        var row = StoredKeyValue(
            createRevision: visible.created, modRevision: visible.modified.main, version: visible.version, lease: 0)
        // As etcd does: the index answers, and it knows no lease, unless the values were read to be sorted by.
        if !visible.isNewest || command.sortTarget == .value {
            let stored = try readRow(visible.modified)
            row.createRevision = stored.createRevision
            row.version = stored.version
            if command.sortTarget == .value { row.lease = stored.lease }
        }
        Wire.appendBytesHeader(field, count: row.encodedSize(keyCount: key.count, valueCount: 0), to: &out)
        row.append(key: key, value: [], to: &out)
    }

    /// Appends the stored row of a revision that the index knows.
    func appendRow(_ revision: Revision, field: Int, to out: inout [UInt8]) throws(StoreError) {
        do throws(BackendError) {
            guard try backend.appendRow(revision, field: field, to: &out) else { throw .missingRow(revision) }
        } catch {
            throw .backend(error)
        }
    }

    /// Reads the row of a revision that the index knows into `scratch`; the result's offsets refer to that.
    func readRow(_ revision: Revision) throws(StoreError) -> StoredKeyValue {
        scratch.removeAll(keepingCapacity: true)
        do throws(BackendError) {
            guard try backend.appendRow(revision, to: &scratch) else { throw .missingRow(revision) }
        } catch {
            throw .backend(error)
        }
        do throws(WireError) {
            let row = scratch
            return try StoredKeyValue(decoding: row.span)
        } catch {
            throw .backend(.malformedRow(bucket: "key", key: RowKey(revision).encoded, reason: "\(error)"))
        }
    }

    /// Runs a decoder of a request.
    func decoding<Command>(_ body: () throws(WireError) -> Command) throws(StoreError) -> Command {
        do throws(WireError) {
            return try body()
        } catch {
            throw .malformed(error)
        }
    }
}

// MARK: - Filters and orders

extension RangeCommand {
    /// Whether the results come in another order than that of the keys. Without an explicit order, a target other than
    /// the key sorts ascending.
    var needsSort: Bool {
        switch sortOrder {
        case .none: sortTarget != .key
        case .ascending: sortTarget != .key && sortTarget != .unknown
        case .descending: sortTarget != .unknown
        case .unknown: false
        }
    }

    func admits(_ item: SortedItem) -> Bool {
        (maxModRevision == 0 || item.modified.main <= maxModRevision)
            && (minModRevision == 0 || item.modified.main >= minModRevision)
            && (maxCreateRevision == 0 || item.created <= maxCreateRevision)
            && (minCreateRevision == 0 || item.created >= minCreateRevision)
    }
}

/// A result that waits for its place.
struct SortedItem {
    /// Its place in key order.
    var ordinal: Int
    var position: KeyIndex.Position
    var modified: Revision
    var created: Int64
    var version: Int64
    /// Only when values are compared.
    var value: [UInt8] = []
}

extension KeyValueStore {
    /// Results with filters or in another order: `limit` cuts after filtering and sorting. Only without an explicit
    /// order and without filters, one more than `limit` are taken in key order before they are sorted.
    private func appendSorted(
        _ command: RangeCommand, from start: RawSpan, to end: RawSpan, at revision: Int64, into out: inout [UInt8]
    ) throws(StoreError) {
        let limit = command.limit > 0 ? Int(command.limit) : Int.max
        let cutsFirst = command.sortOrder == .none && !command.hasFilter && limit < Int.max
        var count = 0
        var items: [SortedItem] = []
        try index.forEachRun(from: start, to: end) { (leaf, slots) throws(StoreError) -> Bool in
            for slot in slots {
                guard let visible = index.visible(index.leaves[leaf].records[slot], at: revision) else { continue }
                count += 1
                if cutsFirst, count > limit + 1 { continue }
                let item = try item(count, KeyIndex.Position(leaf: leaf, slot: slot), visible, command)
                if command.admits(item) { items.append(item) }
            }
            return true
        }
        if command.needsSort { sort(&items, by: command) }
        for item in items.prefix(limit) {
            let visible = VisibleRevision(modified: item.modified, created: item.created, version: item.version)
            try appendKeyValue(visible, at: item.position, command, field: 2, to: &out)
        }
        appendTail(more: items.count > limit, count: count, to: &out)
    }

    private func item(
        _ ordinal: Int, _ position: KeyIndex.Position, _ visible: VisibleRevision, _ command: RangeCommand
    ) throws(StoreError) -> SortedItem {
        var item = SortedItem(
            ordinal: ordinal, position: position, modified: visible.modified, created: visible.created,
            version: visible.version)
        let comparesValues = command.sortTarget == .value
        if !visible.isNewest || comparesValues {
            let row = try readRow(visible.modified)
            item.created = row.createRevision
            item.version = row.version
            if comparesValues { item.value = Array(scratch[row.value]) }
        }
        return item
    }

    private func sort(_ items: inout [SortedItem], by command: RangeCommand) {
        let sign = command.sortOrder == .descending ? -1 : 1
        items.sort { a, b in
            let order =
                switch command.sortTarget {
                case .key: a.ordinal - b.ordinal
                case .version: a.version < b.version ? -1 : a.version == b.version ? 0 : 1
                case .createRevision: a.created < b.created ? -1 : a.created == b.created ? 0 : 1
                case .modRevision: a.modified.main < b.modified.main ? -1 : a.modified.main == b.modified.main ? 0 : 1
                case .value: compareBytes(a.value.span.bytes, b.value.span.bytes)
                case .unknown: 0
                }
            return order == 0 ? a.ordinal < b.ordinal : order * sign < 0
        }
    }
}
