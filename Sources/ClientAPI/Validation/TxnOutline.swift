package import EtcdProto

/// The shape of a `TxnRequest`, read from its bytes: what the checks before raft look at, with keys as offsets.
///
/// Transactions lie in `txns`, the whole one first, the nested ones level by level; the operations of one branch lie
/// side by side in `operations`. Reading goes level by level too, not by recursion, so no request can exhaust the
/// stack.
/// One value serves many requests: its arrays keep their capacity.
package struct TxnOutline: Sendable {
    /// How deep transactions may nest. etcd has no limit of its own beyond `--max-txn-ops` (each level takes at least
    /// one operation of what is left) and the one of its protobuf library; the checks here recurse, hence this one.
    package static let depthLimit = 256

    package struct Txn: Sendable {
        fileprivate var window: Range<Int>
        package fileprivate(set) var depth: Int
        package fileprivate(set) var compares = 0
        /// A compare without a key is among the compares.
        package fileprivate(set) var comparesEmptyKey = false
        /// Indices into `operations`.
        package fileprivate(set) var success = 0..<0
        package fileprivate(set) var failure = 0..<0
    }

    package enum Operation: Sendable {
        /// None of the union's members is set.
        case none
        case range(RangeFields)
        case put(PutFields)
        case deleteRange(DeleteRangeFields)
        /// An index into `txns`.
        case txn(Int)
    }

    package private(set) var txns: [Txn] = []
    package private(set) var operations: [Operation] = []
    package private(set) var puts = 0
    package private(set) var deletes = 0
    /// A range anywhere that is not serializable.
    package private(set) var hasLinearizableRange = false

    package init() {}

    /// A change, or a nested transaction whatever it holds, sends the whole through raft.
    package var isWrite: Bool { puts > 0 || deletes > 0 || txns.count > 1 }

    /// Reads the request that fills `bytes`. O(bytes).
    package mutating func read(_ bytes: Span<UInt8>) throws(WireError) {
        txns.removeAll(keepingCapacity: true)
        operations.removeAll(keepingCapacity: true)
        puts = 0
        deletes = 0
        hasLinearizableRange = false
        txns.append(Txn(window: 0..<bytes.count, depth: 0))
        var next = 0
        while next < txns.count {
            try readLevel(next, bytes)
            next += 1
        }
    }

    private mutating func readLevel(_ index: Int, _ bytes: Span<UInt8>) throws(WireError) {
        var txn = txns[index]
        txn.success = operations.count..<operations.count
        var cursor = WireCursor(txn.window)
        var failures = 0
        while let (field, value) = try cursor.next(in: bytes) {
            switch field {
            case 1:
                txn.compares += 1
                if try Self.compareKey(bytes, at: value.bytes(of: field)).isEmpty { txn.comparesEmptyKey = true }
            case 2:
                try readOperation(bytes, at: value.bytes(of: field), depth: txn.depth)
            case 3:
                // Branches may arrive interleaved; the second pass keeps each one in one piece.
                _ = try value.bytes(of: field)
                failures += 1
            default: break
            }
        }
        txn.success = txn.success.lowerBound..<operations.count
        if failures > 0 {
            cursor = WireCursor(txn.window)
            while let (field, value) = try cursor.next(in: bytes) {
                if field == 3 { try readOperation(bytes, at: value.bytes(of: field), depth: txn.depth) }
            }
        }
        txn.failure = txn.success.upperBound..<operations.count
        txns[index] = txn
    }

    private mutating func readOperation(_ bytes: Span<UInt8>, at window: Range<Int>, depth: Int) throws(WireError) {
        var cursor = WireCursor(window)
        var operation = Operation.none
        var member = 0
        while let (field, value) = try cursor.next(in: bytes) {
            guard (1...4).contains(field) else { continue }
            // Readers differ in what a union means that is set twice (merge or replace), and no client sends one.
            guard member == 0 else { throw .outOfRange(field: field) }
            member = field
            let body = try value.bytes(of: field)
            switch field {
            case 1: operation = .range(try RangeFields(bytes, at: body))
            case 2: operation = .put(try PutFields(bytes, at: body))
            case 3: operation = .deleteRange(try DeleteRangeFields(bytes, at: body))
            default:
                guard depth < Self.depthLimit else { throw .outOfRange(field: field) }
                operation = .txn(txns.count)
                txns.append(Txn(window: body, depth: depth + 1))
            }
        }
        switch operation {
        case .put: puts += 1
        case .deleteRange: deletes += 1
        case .range(let range): hasLinearizableRange = hasLinearizableRange || !range.serializable
        case .none, .txn: break
        }
        operations.append(operation)
    }

    private static func compareKey(_ bytes: Span<UInt8>, at window: Range<Int>) throws(WireError) -> Range<Int> {
        var cursor = WireCursor(window)
        var key = 0..<0
        while let (field, value) = try cursor.next(in: bytes) {
            switch field {
            case 1, 2, 4, 5, 6, 8: _ = try value.varint(of: field)
            case 3: key = try value.bytes(of: field)
            case 7, 64: _ = try value.bytes(of: field)
            default: break
            }
        }
        return key
    }
}
