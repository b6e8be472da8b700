package import NIOCore

/// Allows `burst` events at once and `perSecond` in the long run.
package struct TokenBucket {
    private let burst: Int64
    private let perSecond: Int64
    private var tokens: Int64
    private var filledAt: NIODeadline

    package init(burst: Int, perSecond: Int, now: NIODeadline) {
        precondition(burst > 0 && perSecond >= 0)
        self.burst = Int64(burst)
        self.perSecond = Int64(perSecond)
        tokens = self.burst
        filledAt = now
    }

    /// - Returns: false when there were more events than are allowed.
    package mutating func take(now: NIODeadline) -> Bool {
        // Whole seconds only: what is left of one counts the next time.
        let seconds = max(0, (now - filledAt).nanoseconds / 1_000_000_000)
        if seconds > 0 {
            let (refill, overflow) = seconds.multipliedReportingOverflow(by: perSecond)
            tokens = overflow ? burst : min(burst, tokens + min(refill, burst))
            filledAt = filledAt + .seconds(seconds)
        }
        guard tokens > 0 else { return false }
        tokens -= 1
        return true
    }
}
