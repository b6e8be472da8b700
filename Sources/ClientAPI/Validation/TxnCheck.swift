package import EtcdProto
package import Member

/// Checks transactions before they go to raft, as etcd does and with its quirks, and finds the path that they take.
///
/// The order decides which error a client sees: the number of operations, empty compare keys, each operation of the
/// then-branch and of the else-branch, nested ones included; then keys that are changed twice in the then-branch, then
/// in the else-branch.
package struct TxnCheck: Sendable {
    /// The most operations in one list of a transaction; nested ones may use what their parents left.
    package let operationLimit: Int
    private var outline = TxnOutline()
    private var overlap = TxnOverlap()

    package init(operationLimit: Int) {
        self.operationLimit = operationLimit
    }

    /// Checks the `TxnRequest` that fills `bytes`. O(bytes + n log n) for n operations.
    package mutating func path(of bytes: Span<UInt8>) throws(EtcdError) -> ClientRequest.TxnPath {
        do throws(WireError) {
            try outline.read(bytes)
        } catch {
            throw .malformedRequest
        }
        try check(outline.txns[0], budget: operationLimit)
        // Two changes of one key need a put and something else that changes.
        if outline.puts > 0 && outline.puts + outline.deletes > 1 {
            guard overlap.isFree(outline, bytes) else { throw .duplicateKey }
        }
        if outline.isWrite { return .write }
        return outline.hasLinearizableRange ? .linearizableRead : .serializableRead
    }

    private func check(_ txn: TxnOutline.Txn, budget: Int) throws(EtcdError) {
        let count = max(txn.compares, txn.success.count, txn.failure.count)
        guard count <= budget else { throw .tooManyOps }
        if txn.comparesEmptyKey { throw .emptyKey }
        // The two branches are neighbours, in the order in which etcd checks them.
        for operation in outline.operations[txn.success.lowerBound..<txn.failure.upperBound] {
            switch operation {
            case .none: throw .keyNotFound
            case .range(let range): try range.check()
            case .put(let put): try put.check()
            case .deleteRange(let delete): try delete.check()
            case .txn(let index): try check(outline.txns[index], budget: budget - count)
            }
        }
    }
}
