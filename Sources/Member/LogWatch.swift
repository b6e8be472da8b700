package import Platform

/// Watches how long the log's thread has been at its work. A disk that hangs must neither go unnoticed nor hold up the
/// whole cluster: docs/decisions/094-stalled-disk.md.
package struct LogWatch: Sendable {
    /// A write and sync that take longer are reported.
    package static let slow: Duration = .seconds(1)

    /// What the member may do this tick.
    package enum Verdict: Sendable, Equatable {
        case goOn
        /// The leader asks the follower that has most of the log to take over.
        case handOver
        /// The leader gives up: others can go on without it, and it cannot.
        case stepDown
        /// Neither heartbeats nor elections: whatever it would promise could not be kept.
        case hold
    }

    /// Handed out and not done, oldest first.
    private var outstanding: [(sequence: UInt64, since: Instant)] = []
    /// When the log's thread last finished something.
    private var progress: Instant
    /// The stall is told again when it has lasted this long.
    private var nextReport = slow

    package init(now: Instant) { progress = now }

    package mutating func handedOut(_ sequence: UInt64, at now: Instant) { outstanding.append((sequence, now)) }

    package mutating func finished(through sequence: UInt64, at now: Instant) {
        outstanding.removeFirst(outstanding.prefix { $0.sequence <= sequence }.count)
        progress = now
        nextReport = Self.slow
    }

    /// How long the log's thread has been at what it is doing now; zero when it has nothing to do.
    package func stall(at now: Instant) -> Duration {
        guard let oldest = outstanding.first else { return .zero }
        return now - max(oldest.since, progress)
    }

    /// The stall, if it is time to tell of it: after one second, then each time it has doubled.
    package mutating func report(at now: Instant) -> Duration? {
        let stall = stall(at: now)
        guard stall >= nextReport else { return nil }
        while nextReport <= stall { nextReport = nextReport * 2 }
        return stall
    }

    /// After an election timeout a leader hands over, for which it needs no disk; it has half of one for that, in case
    /// the other cannot either, and then gives up.
    /// - Parameter hasOtherVoters: a lone voter stays the leader: nobody else could be.
    package func verdict(
        at now: Instant, electionTimeout: Duration, isLeader: Bool, hasOtherVoters: Bool
    ) -> Verdict {
        let stall = stall(at: now)
        guard hasOtherVoters, stall >= electionTimeout else { return .goOn }
        guard isLeader else { return .hold }
        return stall >= electionTimeout + electionTimeout / 2 ? .stepDown : .handOver
    }
}
