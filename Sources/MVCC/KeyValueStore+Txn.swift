internal import Base
internal import EtcdProto

extension KeyValueStore {
    /// Carries out a transaction and appends an encoded `TxnResponse`.
    ///
    /// All compares, those of nested transactions on the chosen path included, see the state before the transaction;
    /// then everything on that path is checked; only then it is executed in order. On an error neither the store nor
    /// `out` is changed.
    public func txn(
        _ command: TxnCommand, in bytes: [UInt8], header: ResponseHeader, into out: inout [UInt8]
    ) throws(StoreError) {
        var path: [Bool] = []
        try choosePath(command, in: bytes, &path)
        if !command.isReadOnly {
            var steps = path[...]
            try checkPuts(command, in: bytes, &steps)
        }
        var steps = path[...]
        try checkRanges(command, &steps)

        let start = out.count
        steps = path[...]
        if command.success.count + command.failure.count > 1 { counters.txns += 1 }
        let succeeded = try execute(command, in: bytes, &steps, into: &out)
        var full = header
        full.revision = readRevision
        insertHeader(full, succeeded: succeeded, at: start, in: &out)
        endTransaction()
    }

    /// Decodes a `TxnRequest` without changes and answers it.
    public func readOnlyTxn(_ request: [UInt8], header: ResponseHeader, into out: inout [UInt8]) throws(StoreError) {
        let command = try decoding { () throws(WireError) in try TxnCommand(request) }
        guard command.isReadOnly else { throw .malformed(.outOfRange(field: 2)) }
        try txn(command, in: request, header: header, into: &out)
    }

    // MARK: Before execution

    /// Evaluates the compares of a transaction and of the nested ones in its chosen branch, in order of their
    /// appearance.
    private func choosePath(_ txn: TxnCommand, in bytes: [UInt8], _ path: inout [Bool]) throws(StoreError) {
        var holds = true
        for compare in txn.compares where holds { holds = try evaluate(compare, in: bytes) }
        path.append(holds)
        for case .txn(let nested) in holds ? txn.success : txn.failure { try choosePath(nested, in: bytes, &path) }
    }

    private func checkPuts(_ txn: TxnCommand, in bytes: [UInt8], _ path: inout ArraySlice<Bool>) throws(StoreError) {
        for operation in path.removeFirst() ? txn.success : txn.failure {
            switch operation {
            case .put(let put):
                if put.ignoresValue || put.ignoresLease, !exists(bytes.span.bytes.extracting(put.key)) {
                    throw .rejected(.keyNotFound)
                }
                if put.lease != 0, leases[LeaseID(put.lease)] == nil { throw .rejected(.leaseNotFound) }
            case .txn(let nested): try checkPuts(nested, in: bytes, &path)
            case .range, .deleteRange, .empty: break
            }
        }
    }

    private func checkRanges(_ txn: TxnCommand, _ path: inout ArraySlice<Bool>) throws(StoreError) {
        for operation in path.removeFirst() ? txn.success : txn.failure {
            switch operation {
            case .range(let range):
                guard range.revision != 0 else { continue }
                if range.revision > currentRevision { throw .rejected(.futureRevision) }
                // Unlike outside of a transaction, a negative revision is below the compacted one.
                if range.revision < compactRevision { throw .rejected(.compacted) }
            case .txn(let nested): try checkRanges(nested, &path)
            case .put, .deleteRange, .empty: break
            }
        }
    }

    // MARK: Execution

    /// Appends `responses` of the chosen branch; the header and `succeeded` belong before them.
    private func execute(
        _ txn: TxnCommand, in bytes: [UInt8], _ path: inout ArraySlice<Bool>, into out: inout [UInt8]
    ) throws(StoreError) -> Bool {
        let succeeded = path.removeFirst()
        let header = ResponseHeader(revision: 0)
        for operation in succeeded ? txn.success : txn.failure {
            let start = out.count
            switch operation {
            case .range(let range):
                try appendRange(range, in: bytes, header: header, into: &out)
                wrap(from: start, member: 1, in: &out)
            case .put(let put):
                try executePut(put, in: bytes, header: header, into: &out)
                wrap(from: start, member: 2, in: &out)
            case .deleteRange(let delete):
                try executeDeleteRange(delete, in: bytes, header: header, into: &out)
                wrap(from: start, member: 3, in: &out)
            case .txn(let nested):
                let succeeded = try execute(nested, in: bytes, &path, into: &out)
                insertHeader(ResponseHeader(revision: 0), succeeded: succeeded, at: start, in: &out)
                wrap(from: start, member: 4, in: &out)
            case .empty:
                // Answered like etcd with a `ResponseOp` that has no member.
                Wire.appendBytesHeader(3, count: 0, to: &out)
            }
        }
        return succeeded
    }

    /// Makes the response that starts at `start` the given member of a `ResponseOp` in field `responses`.
    private func wrap(from start: Int, member: Int, in out: inout [UInt8]) {
        let count = out.count - start
        prefix.removeAll(keepingCapacity: true)
        Wire.appendBytesHeader(3, count: Wire.bytesFieldSize(member, count), to: &prefix)
        Wire.appendBytesHeader(member, count: count, to: &prefix)
        out.insert(contentsOf: prefix, at: start)
    }

    private func insertHeader(_ header: ResponseHeader, succeeded: Bool, at start: Int, in out: inout [UInt8]) {
        prefix.removeAll(keepingCapacity: true)
        header.append(to: &prefix)
        if succeeded { Wire.appendVarintField(2, 1, to: &prefix) }
        out.insert(contentsOf: prefix, at: start)
    }
}

// MARK: - Compares

extension KeyValueStore {
    /// Whether a compare holds now for every key of its range; an empty range counts as one absent key.
    private func evaluate(_ compare: CompareCommand, in bytes: [UInt8]) throws(StoreError) -> Bool {
        let span = bytes.span.bytes
        var found = false
        var holds = true
        try index.forEachRun(from: span.extracting(compare.key), to: span.extracting(compare.rangeEnd)) {
            (leaf, slots) throws(StoreError) -> Bool in
            for slot in slots where holds {
                let record = index.leaves[leaf].records[slot]
                if record.isTombstone { continue }
                found = true
                holds = try evaluate(compare, in: bytes, record)
            }
            return holds
        }
        if found { return holds }
        return try evaluate(compare, in: bytes, nil)
    }

    private func evaluate(_ compare: CompareCommand, in bytes: [UInt8], _ record: KeyRecord?) throws(StoreError) -> Bool
    {
        func order(_ stored: Int64?, _ given: Int64) -> Int {
            let stored = stored ?? 0
            return stored < given ? -1 : stored == given ? 0 : 1
        }
        // A given value of another kind than the target counts as zero, or as empty.
        var given: Int64 = 0
        switch (compare.target, compare.operand) {
        case (.version, .version(let value)), (.createRevision, .createRevision(let value)),
            (.modRevision, .modRevision(let value)), (.lease, .lease(let value)):
            given = value
        default: break
        }
        switch compare.target {
        case .version: return compare.result.holds(order(record?.version, given))
        case .createRevision: return compare.result.holds(order(record?.created, given))
        case .modRevision: return compare.result.holds(order(record?.modifiedMain, given))
        case .lease:
            guard let record, record.hasLease else { return compare.result.holds(order(0, given)) }
            return compare.result.holds(order(try readRow(record.modified).lease, given))
        case .value:
            guard let record else { return false }
            let row = try readRow(record.modified)
            var value = 0..<0
            if case .value(let range) = compare.operand { value = range }
            let stored = scratch
            return compare.result.holds(
                compareBytes(stored.span.bytes.extracting(row.value), bytes.span.bytes.extracting(value)))
        // Equal to whatever it is compared with, as in etcd.
        case .unknown: return compare.result.holds(0)
        }
    }
}

extension CompareCommand.Result {
    /// - Parameter order: of the stored value to the given one.
    func holds(_ order: Int) -> Bool {
        switch self {
        case .equal: order == 0
        case .greater: order > 0
        case .less: order < 0
        case .notEqual: order != 0
        case .unknown: true
        }
    }
}
