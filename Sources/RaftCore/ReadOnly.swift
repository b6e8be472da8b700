internal import Base

/// Reads that wait until a quorum has confirmed that this node still leads.
///
/// Every request raises a counter; heartbeats carry it, and what a peer echoes confirms all requests up to it.
struct ReadOnly: Sendable {
    struct Request: Sendable {
        /// Who asked: none or the node itself for a local request.
        var from: MemberID
        /// As they came, to be returned as they are.
        var entries: [Entry]
        /// What was committed when the request came.
        var index: LogIndex
    }

    private var requests: [Request] = []
    /// How many requests have been answered.
    private var confirmed: UInt64 = 0
    private var acks: [(id: MemberID, counter: UInt64)] = []

    /// The number of the newest request; a heartbeat's context while requests wait.
    var counter: UInt64 { confirmed + UInt64(requests.count) }
    var isEmpty: Bool { requests.isEmpty }

    mutating func add(_ request: Request) { requests.append(request) }

    mutating func acknowledge(_ id: MemberID, counter: UInt64) {
        if counter > self.counter { return }
        if let i = acks.firstIndex(where: { $0.id == id }) {
            acks[i].counter = max(acks[i].counter, counter)
        } else {
            acks.append((id, counter))
        }
    }

    /// Removes the requests that a quorum has confirmed, oldest first.
    mutating func takeConfirmed(_ voters: JointConfig) -> [Request] {
        let reached = voters.committedIndex { id in
            acks.first { $0.id == id }.map { LogIndex($0.counter) }
        }
        guard reached.rawValue > confirmed, reached != .max else { return [] }
        let n = Int(reached.rawValue - confirmed)
        let answered = Array(requests.prefix(n))
        requests.removeFirst(n)
        confirmed = reached.rawValue
        return answered
    }

    mutating func removeAll() { self = ReadOnly() }

    static func context(_ counter: UInt64) -> [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: counter >> ($0 * 8)) } }

    /// Nil unless it is eight bytes long, as every context that a leader of ours sends.
    static func counter(_ context: [UInt8]) -> UInt64? {
        guard context.count == 8 else { return nil }
        return context.reversed().reduce(0) { $0 << 8 | UInt64($1) }
    }
}
