package import Auth
internal import Base
public import EtcdProto
public import Platform

/// From when a member's state is, and how old a client lets it be.
///
/// `asOf` is when the read-index round began that the state has caught up with: every change that was acknowledged
/// before then, by any member, is part of it.
public struct StateAge: Sendable, Equatable {
    public var asOf: Instant
    public var limit: Duration

    public init(asOf: Instant, limit: Duration) {
        self.asOf = asOf
        self.limit = limit
    }

    /// Whether an answer from the state may leave at `now`.
    public func isKept(at now: Instant) -> Bool { now - asOf <= limit }

    /// What the client is told instead, when it may not.
    public func refusal(at now: Instant) -> EtcdError {
        .tooStale(age: now - asOf, limit: limit, reason: "the answer was held up")
    }
}

extension EtcdError {
    /// A read that came with a bound cannot be answered within it.
    /// - Parameter age: of the newest confirmed state; nil when there has been none since the start.
    static func tooStale(age: Duration?, limit: Duration, reason: String) -> EtcdError {
        func milliseconds(_ duration: Duration) -> String { "\(duration.inNanoseconds / 1_000_000) ms" }
        let state =
            age.map { "this member's state was last confirmed \(milliseconds($0)) ago" }
            ?? "this member's state has not been confirmed since it started"
        return EtcdError(
            .unavailable,
            "martlet: \(state), the client allows \(milliseconds(limit)), and \(reason): "
                + "try another member, try again, or allow more")
    }
}

/// Reads with a bound on the age of the state, which waits to be confirmed anew. They share the rounds of the
/// linearizable reads, and are content with one that began before they came.
package struct BoundedReads {
    package struct Read: Sendable {
        package var address: ReplyAddress
        package var body: ClientRequest.Body
        package var identity: ClientIdentity
        /// How old the state may be.
        package var limit: Duration
        /// When it is refused.
        package var deadline: Instant

        package init(
            address: ReplyAddress, body: ClientRequest.Body, identity: ClientIdentity = .nobody, limit: Duration,
            deadline: Instant
        ) {
            self.address = address
            self.body = body
            self.identity = identity
            self.limit = limit
            self.deadline = deadline
        }
    }

    private var waiting: [Read] = []
    /// No read's deadline is earlier; may be too early after one was answered.
    private var earliestDeadline: Instant?
    /// No read's limit is shorter; may be too short after one was answered.
    private var shortestLimit: Duration?

    package init() {}

    package var count: Int { waiting.count }
    /// When the next one is to be refused, at the earliest.
    package var nextDeadline: Instant? { earliestDeadline }

    package mutating func enqueue(_ read: Read) {
        waiting.append(read)
        note(read)
    }

    private mutating func note(_ read: Read) {
        earliestDeadline = min(earliestDeadline ?? read.deadline, read.deadline)
        shortestLimit = min(shortestLimit ?? read.limit, read.limit)
    }

    /// Whether some of the reads need a newer round than the one that began at `newest` and is not yet applied; nil
    /// when there is none.
    package func needsRound(after newest: Instant?, at now: Instant) -> Bool {
        guard let shortestLimit else { return false }
        return newest.map { now - $0 > shortestLimit } ?? true
    }

    /// Takes out the reads that the state as of `asOf` is new enough for. O(waiting).
    package mutating func takeReadable(asOf: Instant, at now: Instant) -> [Read] { take { now - asOf <= $0.limit } }

    /// Takes out those whose deadline has passed. O(waiting) when there are such, else O(1).
    package mutating func takeExpired(at now: Instant) -> [Read] {
        guard let earliestDeadline, earliestDeadline <= now else { return [] }
        return take { $0.deadline <= now }
    }

    package mutating func takeAll() -> [Read] { take { _ in true } }

    private mutating func take(_ isMeant: (Read) -> Bool) -> [Read] {
        if waiting.isEmpty { return [] }
        var taken: [Read] = []
        var kept: [Read] = []
        for read in waiting { if isMeant(read) { taken.append(read) } else { kept.append(read) } }
        waiting = kept
        earliestDeadline = nil
        shortestLimit = nil
        for read in kept { note(read) }
        return taken
    }
}
