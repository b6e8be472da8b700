public import Base
public import MVCC
public import Platform

/// Keeps the time of the leases, on the leader alone: there it is primary and knows when each lease ends. Everywhere
/// else it is secondary, knows nothing, and no lease ends. Which leases there are is the log's business, and what comes
/// of that is told here when it has been applied.
///
/// ```swift
/// lessor.promote(store.leaseRecords, at: now)         // this member leads
/// lessor.granted(record, at: now)                     // an entry was applied
/// let due = lessor.takeDue(at: now)                   // to be proposed
/// lessor.demote()
/// ```
///
/// A value without a clock. n is the number of leases: a change costs O(log n), a question O(1), a look that finds
/// nothing O(1), a promotion O(n log n).
public struct Lessor: Sendable {
    public let settings: LessorSettings
    /// nil while secondary.
    private var primary: LeaseClock?

    public init(_ settings: LessorSettings) { self.settings = settings }

    public var isPrimary: Bool { primary != nil }

    // MARK: Leadership

    /// This member leads: every lease gets what was left of it at its last checkpoint, or its whole time, and the
    /// grace. When there are many, they are set apart, so that they need not all be revoked at the same time.
    /// - Parameter leases: all that there are.
    public mutating func promote(_ leases: [LeaseRecord], at now: Instant) {
        var clock = LeaseClock(settings, at: now)
        var ends = leases.map { (record: $0, end: now + clock.timeLeft($0) + settings.grace) }
        ends.sort { $0.end == $1.end ? $0.record.id < $1.record.id : $0.end < $1.end }
        if ends.count >= LessorLimits.crowd {
            let distance = Duration.seconds(1) / LessorLimits.endsPerSecond
            for i in ends.indices.dropFirst() { ends[i].end = max(ends[i].end, ends[i - 1].end + distance) }
        }
        for (record, end) in ends { clock.add(record, endingAt: end, at: now) }
        primary = clock
    }

    /// Another member leads, or nobody does.
    public mutating func demote() { primary = nil }

    // MARK: What the log says

    public mutating func granted(_ lease: LeaseRecord, at now: Instant) {
        guard let left = primary?.timeLeft(lease) else { return }
        primary?.add(lease, endingAt: now + left, at: now)
    }

    public mutating func revoked(_ id: LeaseID) { primary?.remove(id) }

    public mutating func checkpointed(_ checkpoint: LeaseCheckpoint, at now: Instant) {
        primary?.note(checkpoint, at: now)
    }

    // MARK: Questions

    public enum Renewal: Sendable, Equatable {
        case notPrimary
        case notFound
        /// It has ended and will be revoked: the answer is known when that has been done, or when this member does not
        /// lead any more.
        case ended
        /// All members know a checkpoint of it, which has to be set back to 0 seconds first.
        case checkpointed
        /// It lasts so many seconds from now.
        case renewed(Int64)
    }

    /// Begins the time of a lease anew.
    public mutating func renew(_ id: LeaseID, at now: Instant) -> Renewal {
        primary?.renew(id, at: now) ?? .notPrimary
    }

    /// What is known of a lease: seconds that it was granted, and the time that is left, negative when it has ended and
    /// is not revoked yet.
    public func timeToLive(of id: LeaseID, at now: Instant) -> (granted: Int64, left: Duration)? {
        primary?.timeToLive(of: id, at: now)
    }

    /// Leases in the order in which they end; as they come while secondary. O(n log n).
    public func ordered(_ leases: [LeaseID], at now: Instant) -> [LeaseID] {
        guard let primary else { return leases }
        let ends = leases.map { (id: $0, left: primary.timeToLive(of: $0, at: now)?.left ?? .zero) }
        return ends.sorted { $0.left == $1.left ? $0.id < $1.id : $0.left < $1.left }.map(\.id)
    }

    // MARK: What is due

    /// Takes out what is to be proposed: at most once in `LessorLimits.passInterval`, and at most as much as the limits
    /// say. What is taken out and not applied in time comes again.
    public mutating func takeDue(at now: Instant) -> DueLeases { primary?.takeDue(at: now) ?? DueLeases() }

    /// O(n).
    public var isConsistent: Bool { primary?.isConsistent ?? true }
}

/// The seconds that were left of a lease.
public struct LeaseCheckpoint: Sendable, Equatable {
    public var id: LeaseID
    public var remaining: Int64

    public init(id: LeaseID, remaining: Int64) {
        self.id = id
        self.remaining = remaining
    }
}

/// What a leader has to propose for its leases.
public struct DueLeases: Sendable, Equatable {
    /// They have ended and are to be revoked; the earliest end first.
    public var ended: [LeaseID] = []
    /// One request each.
    public var checkpoints: [[LeaseCheckpoint]] = []

    public init() {}

    public var isEmpty: Bool { ended.isEmpty && checkpoints.isEmpty }
}
