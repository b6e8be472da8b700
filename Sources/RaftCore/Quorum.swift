public import Base

/// The outcome of a vote so far.
public enum VoteResult: Sendable, Hashable {
    /// Neither side can be sure yet.
    case pending
    /// A quorum cannot be reached any more.
    case lost
    /// A quorum has granted.
    case won
}

/// A set of voters of which more than half decide. Empty, it agrees to everything: the missing half of a joint one.
public struct MajorityConfig: Sendable, Hashable {
    /// Ascending, without repetition.
    public private(set) var ids: [MemberID]

    /// A set of these voters.
    public init(_ ids: some Sequence<MemberID> = []) {
        self.ids = []
        for id in ids { insert(id) }
    }

    /// Whether it has no voters, and so agrees to everything.
    public var isEmpty: Bool { ids.isEmpty }
    /// How many voters there are.
    public var count: Int { ids.count }
    /// Whether a node is a voter. O(n).
    @inlinable public func contains(_ id: MemberID) -> Bool { ids.contains(id) }

    mutating func insert(_ id: MemberID) {
        let position = ids.firstIndex { $0 >= id } ?? ids.count
        if position < ids.count && ids[position] == id { return }
        ids.insert(id, at: position)
    }

    mutating func remove(_ id: MemberID) { ids.removeAll { $0 == id } }

    /// The highest index that more than half have acknowledged; `LogIndex.max` for an empty set.
    ///
    /// O(n²), on the stack up to seven voters.
    /// - Parameter acknowledged: what a voter has; nil counts as nothing.
    public func committedIndex(_ acknowledged: (MemberID) -> LogIndex?) -> LogIndex {
        let n = ids.count
        switch n {
        case 0: return .max
        case 1: return acknowledged(ids[0]) ?? .zero
        case 2...7:
            var sorted = InlineArray<7, LogIndex>(repeating: .zero)
            for i in 0..<n {
                let index = acknowledged(ids[i]) ?? .zero
                var j = i
                while j > 0 && sorted[j - 1] > index {
                    sorted[j] = sorted[j - 1]
                    j -= 1
                }
                sorted[j] = index
            }
            return sorted[n - (n / 2 + 1)]
        default:
            return ids.map { acknowledged($0) ?? .zero }.sorted()[n - (n / 2 + 1)]
        }
    }

    /// - Parameter vote: what a voter said; nil if nothing yet.
    public func voteResult(_ vote: (MemberID) -> Bool?) -> VoteResult {
        if ids.isEmpty { return .won }
        var granted = 0
        var missing = 0
        for id in ids {
            switch vote(id) {
            case true: granted += 1
            case nil: missing += 1
            case false: break
            }
        }
        let quorum = ids.count / 2 + 1
        if granted >= quorum { return .won }
        return granted + missing >= quorum ? .pending : .lost
    }
}

/// Two sets of voters that both have to agree: the incoming one, and while a joint configuration lasts the
/// outgoing one.
public struct JointConfig: Sendable, Hashable {
    /// The voters of the new configuration, or of the only one.
    public internal(set) var incoming: MajorityConfig
    /// Empty unless joint.
    public internal(set) var outgoing: MajorityConfig

    /// Voters of these halves.
    public init(incoming: MajorityConfig = MajorityConfig(), outgoing: MajorityConfig = MajorityConfig()) {
        self.incoming = incoming
        self.outgoing = outgoing
    }

    /// Whether two halves have to agree.
    public var isJoint: Bool { !outgoing.isEmpty }

    /// Whether a node votes in either half. O(n).
    public func contains(_ id: MemberID) -> Bool { incoming.contains(id) || outgoing.contains(id) }

    /// The voters of both halves, ascending.
    public var ids: [MemberID] {
        if outgoing.isEmpty { return incoming.ids }
        var union = incoming
        for id in outgoing.ids { union.insert(id) }
        return union.ids
    }

    /// The highest index that both halves have acknowledged.
    public func committedIndex(_ acknowledged: (MemberID) -> LogIndex?) -> LogIndex {
        min(incoming.committedIndex(acknowledged), outgoing.committedIndex(acknowledged))
    }

    /// Won only if both halves grant, lost as soon as one does not.
    public func voteResult(_ vote: (MemberID) -> Bool?) -> VoteResult {
        let (a, b) = (incoming.voteResult(vote), outgoing.voteResult(vote))
        if a == .lost || b == .lost { return .lost }
        return a == .won && b == .won ? .won : .pending
    }
}
