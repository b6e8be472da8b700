internal import Glibc
public import Platform

/// The kernel's clocks: `CLOCK_MONOTONIC`, which is also `Parker`'s, and `CLOCK_REALTIME`.
public struct LinuxClock: Clock {
    public init() {}

    public func now() -> Instant { Instant(nanoseconds: read(CLOCK_MONOTONIC)) }

    public func unixMilliseconds() -> Int64 { Int64(read(CLOCK_REALTIME) / 1_000_000) }

    private func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        // It fails only for a clock that does not exist or a bad address.
        let result = clock_gettime(clock, &time)
        precondition(result == 0, "clock_gettime(\(clock))")
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}

/// The kernel's random numbers (`getrandom`, by way of the standard library).
public struct LinuxEntropy: Entropy {
    public init() {}

    public func random() -> UInt64 {
        var generator = SystemRandomNumberGenerator()
        return generator.next()
    }
}
