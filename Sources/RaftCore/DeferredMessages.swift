internal import Base

/// Messages that wait for durability, in order.
///
/// A lone acknowledgement of a node to itself, which every batch of a leader has, is kept without an array.
struct DeferredMessages: Sendable {
    private var loneTerm: Term = .zero
    /// Zero: none.
    private var loneIndex: LogIndex = .zero
    private var loneID: MemberID = .none
    private var many: [Message] = []

    var isEmpty: Bool { loneIndex == .zero && many.isEmpty }

    mutating func appendSelf(id: MemberID, term: Term, index: LogIndex) {
        if isEmpty {
            (loneID, loneTerm, loneIndex) = (id, term, index)
        } else {
            append(Message(type: .appendResponse, to: id, from: id, term: term, index: index))
        }
    }

    mutating func append(_ message: Message) {
        if loneIndex != .zero {
            many.append(loneMessage)
            loneIndex = .zero
        }
        many.append(message)
    }

    private var loneMessage: Message {
        Message(type: .appendResponse, to: loneID, from: loneID, term: loneTerm, index: loneIndex)
    }

    /// All of them.
    var all: [Message] { loneIndex == .zero ? many : [loneMessage] }

    /// Those for other nodes. Without an allocation where there is nothing to separate.
    func toOthers(than id: MemberID) -> [Message] {
        if many.allSatisfy({ $0.to != id }) { return many }
        return many.filter { $0.to != id }
    }

    /// The acknowledgement alone, if there is nothing else.
    var lone: (term: Term, index: LogIndex)? { loneIndex == .zero ? nil : (loneTerm, loneIndex) }

    /// Those for this node, where there is more than a lone acknowledgement.
    func toSelf(_ id: MemberID) -> [Message] { many.filter { $0.to == id } }

    mutating func removeAll() { self = DeferredMessages() }
}
