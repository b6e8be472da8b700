internal import Apply
package import Base
internal import EtcdProto
internal import MVCC

/// A copy of the backend file for a client.
package struct BackendCopyOrder: Sendable {
    package var address: ReplyAddress
    /// The file must hold this entry's effects before it is copied.
    package var index: LogIndex
    package var storageVersion: String
}

// Copies of the backend, which hold all that was applied when they were asked for: the file must catch up first.
extension MemberCore {
    func orderCopy(for address: ReplyAddress) {
        copies.append(
            BackendCopyOrder(
                address: address, index: applier.backend.consistentIndex, storageVersion: storageVersion))
    }

    func hand(_ copy: Result<BackendCopy, BackendError>, to order: BackendCopyOrder) {
        switch copy {
        case .success(let copy):
            outbox.answer(
                order.address, with: BackendSnapshot(copy: copy, storageVersion: order.storageVersion))
        case .failure(let error):
            outbox.refuse(order.address, EtcdError(.internal, "martlet: cannot copy the backend: \(error)"))
        }
    }

    /// Gives out the orders that the file is ready for.
    func giveCopies(_ effects: inout MemberEffects) {
        guard !copies.isEmpty else { return }
        let committed = applier.backend.committedIndex
        effects.copies = copies.filter { $0.index <= committed }
        copies.removeAll { $0.index <= committed }
    }
}
