internal import Base
internal import MVCC
internal import Platform

/// When each lease ends, and when it is told to the others.
///
/// Invariants: (1) a slot is in use exactly when `slotOfLease` names it; (2) it is then in one of `ends` and
/// `revocations`.
struct LeaseClock: Sendable {
    private struct Slot: Sendable {
        var id: LeaseID
        /// Seconds granted.
        var timeToLive: Int64
        /// Seconds left at the last checkpoint; 0 without one.
        var checkpoint: Int64
        var end: Instant
    }

    private let settings: LessorSettings
    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    private var slotOfLease: [LeaseID: Int] = [:]
    /// By slot: when the lease ends.
    private var ends = DeadlineQueue()
    /// By slot: when a revocation that was asked for is asked for again.
    private var revocations = DeadlineQueue()
    /// By slot: when its next checkpoint is due.
    private var checkpoints = DeadlineQueue()
    private var nextPass: Instant

    init(_ settings: LessorSettings, at now: Instant) {
        self.settings = settings
        nextPass = now
    }

    // MARK: Times

    private func granted(_ seconds: Int64) -> Int64 {
        min(max(seconds, settings.minimumTTL), LessorLimits.maximumTTL)
    }

    /// How long a lease lasts that begins now.
    func timeLeft(_ lease: LeaseRecord) -> Duration {
        .seconds(lease.remaining > 0 ? min(lease.remaining, LessorLimits.maximumTTL) : granted(lease.timeToLive))
    }

    // MARK: Changes

    mutating func add(_ lease: LeaseRecord, endingAt end: Instant, at now: Instant) {
        precondition(slotOfLease[lease.id] == nil, "lease \(lease.id) exists")
        let made = Slot(
            id: lease.id, timeToLive: granted(lease.timeToLive), checkpoint: max(lease.remaining, 0), end: end)
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
            slots[slot] = made
        } else {
            slot = slots.count
            slots.append(made)
        }
        slotOfLease[lease.id] = slot
        ends.set(slot, end)
        scheduleCheckpoint(slot, at: now)
    }

    mutating func remove(_ id: LeaseID) {
        guard let slot = slotOfLease.removeValue(forKey: id) else { return }
        ends.remove(slot)
        revocations.remove(slot)
        checkpoints.remove(slot)
        freeSlots.append(slot)
    }

    mutating func note(_ checkpoint: LeaseCheckpoint, at now: Instant) {
        guard let slot = slotOfLease[checkpoint.id] else { return }
        slots[slot].checkpoint = max(checkpoint.remaining, 0)
        scheduleCheckpoint(slot, at: now)
    }

    /// A lease with so little left that the next leader would grant hardly more needs none.
    private mutating func scheduleCheckpoint(_ slot: Int, at now: Instant) {
        guard let interval = settings.checkpointInterval else { return }
        let known = slots[slot].checkpoint > 0 ? slots[slot].checkpoint : slots[slot].timeToLive
        if known > interval.components.seconds {
            checkpoints.set(slot, now + interval)
        } else {
            checkpoints.remove(slot)
        }
    }

    mutating func renew(_ id: LeaseID, at now: Instant) -> Lessor.Renewal {
        guard let slot = slotOfLease[id] else { return .notFound }
        guard now < slots[slot].end else { return .ended }
        if settings.checkpointInterval != nil, slots[slot].checkpoint > 0 { return .checkpointed }
        slots[slot].end = now + .seconds(slots[slot].timeToLive)
        ends.set(slot, slots[slot].end)
        return .renewed(slots[slot].timeToLive)
    }

    func timeToLive(of id: LeaseID, at now: Instant) -> (granted: Int64, left: Duration)? {
        slotOfLease[id].map { (slots[$0].timeToLive, slots[$0].end - now) }
    }

    // MARK: What is due

    mutating func takeDue(at now: Instant) -> DueLeases {
        var due = DueLeases()
        guard now >= nextPass else { return due }
        nextPass = now + LessorLimits.passInterval
        // Those that got lost come first: there is no room for others before they are done.
        while due.ended.count < LessorLimits.revocationsPerPass, let (slot, again) = revocations.first, again <= now {
            revocations.set(slot, now + LessorLimits.revocationRetry)
            due.ended.append(slots[slot].id)
        }
        while due.ended.count < LessorLimits.revocationsPerPass,
            revocations.count < LessorLimits.revocationsUnderWay, let (slot, end) = ends.first, end <= now
        {
            ends.remove(slot)
            revocations.set(slot, now + LessorLimits.revocationRetry)
            due.ended.append(slots[slot].id)
        }
        while due.checkpoints.count < LessorLimits.checkpointRequestsPerPass {
            let request = takeCheckpoints(at: now)
            if request.isEmpty { break }
            due.checkpoints.append(request)
        }
        return due
    }

    private mutating func takeCheckpoints(at now: Instant) -> [LeaseCheckpoint] {
        guard let interval = settings.checkpointInterval else { return [] }
        var request: [LeaseCheckpoint] = []
        while request.count < LessorLimits.checkpointsPerRequest, let (slot, due) = checkpoints.first, due <= now {
            // What comes of this one sets the next; this is for the case that it gets lost.
            checkpoints.set(slot, now + interval)
            let left = slots[slot].end - now
            let seconds = left.components.seconds + (left.components.attoseconds > 0 ? 1 : 0)
            // One that has ended is revoked, and of one that was just renewed there is nothing to tell.
            guard left > .zero, seconds < slots[slot].timeToLive else { continue }
            request.append(LeaseCheckpoint(id: slots[slot].id, remaining: seconds))
        }
        return request
    }

    var isConsistent: Bool {
        ends.isConsistent && revocations.isConsistent && checkpoints.isConsistent
            && ends.count + revocations.count == slotOfLease.count
            && slots.count == slotOfLease.count + freeSlots.count
    }
}
