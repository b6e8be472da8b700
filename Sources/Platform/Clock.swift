/// A moment on the monotonic clock, in nanoseconds since an arbitrary start. Also the simulator's virtual time.
@frozen public struct Instant: Hashable, Comparable, Sendable {
    public let nanoseconds: UInt64

    @inlinable public init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }
    @inlinable public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }
    @inlinable public static func + (a: Instant, d: Duration) -> Instant {
        Instant(nanoseconds: a.nanoseconds &+ UInt64(bitPattern: d.inNanoseconds))
    }
    /// The time from `b` to `a`.
    @inlinable public static func - (a: Instant, b: Instant) -> Duration {
        .nanoseconds(Int64(bitPattern: a.nanoseconds &- b.nanoseconds))
    }
}

extension Duration {
    /// Whole nanoseconds; durations beyond 292 years trap.
    @inlinable public var inNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
    @inlinable public var inSeconds: Double { Double(inNanoseconds) / 1e9 }
}

/// Time as the drivers see it; the pure modules are told it.
public protocol Clock: Sendable {
    func now() -> Instant
    /// Wall-clock time: milliseconds since 1970-01-01 UTC.
    func unixMilliseconds() -> Int64
}

/// Randomness that is not reproducible, for seeds and IDs.
public protocol Entropy: Sendable {
    func random() -> UInt64
}
