public import Base

/// How a leader feeds one peer.
public enum ProgressState: UInt8, Sendable, Hashable {
    /// The peer's log end is not known: one append at a time looks for it.
    case probe
    /// Appends are sent ahead of their acknowledgements.
    case replicate
    /// A snapshot is under way; no appends.
    case snapshot
}

/// What a leader knows about one peer.
///
/// Invariants:
/// 1. `match < next`.
/// 2. Messages are in flight only in `replicate`; a pending snapshot exists only in `snapshot`.
public struct Progress: Sendable {
    /// The last entry known to be durable on the peer.
    public internal(set) var match: LogIndex
    /// The next entry to send.
    public internal(set) var next: LogIndex
    /// How the leader feeds the peer.
    public internal(set) var state: ProgressState = .probe
    /// The index of the snapshot that is under way; zero if none.
    public internal(set) var pendingSnapshot: LogIndex = .zero
    /// Whether the peer was heard from since the last quorum check; within an election timeout, if every tick has one.
    public internal(set) var recentActive: Bool
    /// Ticks since the leader last heard from the peer, or was elected, if it checks its quorum at each tick.
    public internal(set) var silentTicks = 0
    /// Whether appends wait for an answer or a heartbeat's answer.
    public internal(set) var flowPaused = false
    /// Whether the peer does not vote.
    public internal(set) var isLearner: Bool
    /// The highest commit index sent to the peer.
    var sentCommit: LogIndex = .zero
    var inflights: Inflights

    init(match: LogIndex, next: LogIndex, recentActive: Bool, isLearner: Bool, inflights: Inflights) {
        self.match = match
        self.next = next
        self.recentActive = recentActive
        self.isLearner = isLearner
        self.inflights = inflights
    }

    /// The number of append messages in flight.
    public var inflightCount: Int { inflights.count }
    /// Whether no more append messages may be in flight.
    public var inflightsFull: Bool { inflights.isFull }

    /// Whether appends to the peer wait.
    public var isPaused: Bool {
        switch state {
        case .probe, .replicate: flowPaused
        case .snapshot: true
        }
    }

    /// The peer has answered.
    mutating func heard() {
        recentActive = true
        silentTicks = 0
    }

    private mutating func enter(_ newState: ProgressState) {
        flowPaused = false
        pendingSnapshot = .zero
        state = newState
        inflights.removeAll()
    }

    mutating func becomeProbe() {
        if state == .snapshot {
            // The peer may have applied the snapshot without our knowing yet; then probing starts behind it.
            let pending = pendingSnapshot
            enter(.probe)
            next = max(match.next(), pending.next())
        } else {
            enter(.probe)
            next = match.next()
        }
        sentCommit = min(sentCommit, next.previous())
    }

    mutating func becomeReplicate() {
        enter(.replicate)
        next = match.next()
    }

    mutating func becomeSnapshot(_ index: LogIndex) {
        enter(.snapshot)
        pendingSnapshot = index
        next = index.next()
        sentCommit = index
    }

    /// Notes that an append with `count` entries of `bytes` payload was sent.
    mutating func sentEntries(_ count: Int, bytes: UInt64) {
        switch state {
        case .replicate:
            if count > 0 {
                next = next + count
                inflights.add(next.previous(), bytes: bytes)
            }
            flowPaused = inflights.isFull
        case .probe:
            if count > 0 { flowPaused = true }
        case .snapshot:
            preconditionFailure("an append was sent to a peer that waits for a snapshot")
        }
    }

    /// Whether a commit index of `committed` is news to the peer and within what it was sent.
    func canBumpCommit(_ committed: LogIndex) -> Bool {
        committed > sentCommit && sentCommit < next.previous()
    }

    /// Takes an acknowledgement up to `index`. False if it is stale.
    mutating func acknowledge(_ index: LogIndex) -> Bool {
        if index <= match { return false }
        match = index
        next = max(next, index.next())
        flowPaused = false
        return true
    }

    /// Takes the rejection of an append after `rejected`, with the peer's proposal where to go on. False if
    /// it is stale.
    mutating func reject(_ rejected: LogIndex, hint: LogIndex) -> Bool {
        if state == .replicate {
            if rejected <= match { return false }
            next = match.next()
            sentCommit = min(sentCommit, next.previous())
            return true
        }
        // A probe is answered for exactly the position it asked about.
        if next.previous() != rejected { return false }
        next = max(min(rejected, hint.next()), match.next())
        sentCommit = min(sentCommit, next.previous())
        flowPaused = false
        return true
    }
}

/// The progress of all members, ascending by ID.
public struct ProgressMap: Sendable {
    /// Ascending.
    public private(set) var ids: [MemberID] = []
    private var values: [Progress] = []

    /// An empty map.
    public init() {}

    /// How many members there are.
    public var count: Int { ids.count }
    /// Whether there are none: on all but the leader.
    public var isEmpty: Bool { ids.isEmpty }

    /// The position of a member, for `subscript(at:)`. O(n); a cluster has a handful of members.
    func position(_ id: MemberID) -> Int? { ids.firstIndex(of: id) }

    /// The progress of a member. O(n); a cluster has a handful of members.
    public subscript(id: MemberID) -> Progress? {
        guard let p = position(id) else { return nil }
        return values[p]
    }

    /// Whether a node is a member. O(n).
    public func contains(_ id: MemberID) -> Bool { position(id) != nil }

    subscript(at position: Int) -> Progress {
        _read { yield values[position] }
        _modify { yield &values[position] }
    }

    mutating func insert(_ id: MemberID, _ progress: Progress) {
        if let p = position(id) {
            values[p] = progress
        } else {
            let p = ids.firstIndex { $0 > id } ?? ids.count
            ids.insert(id, at: p)
            values.insert(progress, at: p)
        }
    }

    mutating func remove(_ id: MemberID) {
        guard let p = position(id) else { return }
        ids.remove(at: p)
        values.remove(at: p)
    }
}
