package import Auth
public import Base
public import EtcdProto
internal import MVCC
package import Platform

/// What is asked about a lease, of the one member that keeps its time.
public struct LeaseQuestion: Sendable, Equatable {
    public enum Kind: Sendable, Equatable {
        /// Its time is to begin anew.
        case keepAlive
        /// How much is left of it; with or without the keys attached to it.
        case timeToLive(keys: Bool)
    }

    public var kind: Kind
    public var lease: LeaseID
    /// Another member asks for its client: it is not asked on, and gets no header.
    public var isForwarded: Bool

    public init(_ kind: Kind, of lease: LeaseID, isForwarded: Bool = false) {
        self.kind = kind
        self.lease = lease
        self.isForwarded = isForwarded
    }

    var wantsKeys: Bool { kind == .timeToLive(keys: true) }
}

/// What the leader says.
public enum LeaseAnswer: Sendable, Equatable {
    case notFound
    /// It lasts so many seconds from now.
    case alive(Int64)
    /// Seconds left and granted.
    case timeToLive(seconds: Int64, granted: Int64, keys: [[UInt8]])
}

extension LeaseAnswer {
    /// The encoded `LeaseKeepAliveResponse` or `LeaseTimeToLiveResponse`.
    /// - Parameter header: the field that holds the header; nil for another member, which has no use for it.
    /// - Throws: what only another member is told as an error: there is no such lease.
    func message(for question: LeaseQuestion, header: [UInt8]?) throws(EtcdError) -> [UInt8] {
        var out = header ?? []
        func append(_ field: Int, _ value: Int64) {
            if value != 0 { Wire.appendVarintField(field, UInt64(bitPattern: value), to: &out) }
        }
        switch self {
        case .notFound:
            if question.isForwarded { throw .leaseNotFound }
            append(2, question.lease.rawValue)
            // An absent lease lasts 0 seconds when it was to be renewed, and −1 when its time is asked for.
            if question.kind != .keepAlive { append(3, -1) }
        case .alive(let seconds):
            append(2, question.lease.rawValue)
            append(3, seconds)
        case .timeToLive(let seconds, let granted, let keys):
            // etcd gives another member an empty one here.
            if header == nil { Wire.appendBytesField(1, [], to: &out) }
            append(2, question.lease.rawValue)
            append(3, seconds)
            append(4, granted)
            for key in keys { Wire.appendBytesField(5, key, to: &out) }
        }
        return out
    }

    /// Reads what the leader has answered.
    public init(_ bytes: [UInt8], to question: LeaseQuestion) throws(WireError) {
        var seconds: Int64 = 0
        var granted: Int64 = 0
        var keys: [[UInt8]] = []
        var cursor = WireCursor(bytes.indices)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch field {
            case 3: seconds = try value.signed(field)
            case 4: granted = try value.signed(field)
            case 5: keys.append(Array(bytes[try value.bytes(field)]))
            default: break
            }
        }
        self =
            question.kind == .keepAlive
            ? .alive(seconds) : .timeToLive(seconds: seconds, granted: granted, keys: keys)
    }
}

/// A question on its way to the leader.
public struct ForwardedLeaseQuestion: Sendable, Equatable {
    /// Comes back with the answer.
    public var number: UInt64
    public var question: LeaseQuestion
    public var leader: MemberID

    public init(number: UInt64, question: LeaseQuestion, leader: MemberID) {
        self.number = number
        self.question = question
        self.leader = leader
    }
}

/// Who waits for an answer about a lease.
package struct LeaseWaiter: Sendable, Equatable {
    package var question: LeaseQuestion
    package var address: ReplyAddress
    package var deadline: Instant
    package var identity: ClientIdentity
}

/// Those whose lease has ended already: whether it is gone is known when its revocation has been applied.
struct RenewalsOfEnded {
    private var byLease: [LeaseID: [LeaseWaiter]] = [:]

    mutating func append(_ waiter: LeaseWaiter) { byLease[waiter.question.lease, default: []].append(waiter) }

    mutating func remove(_ lease: LeaseID) -> [LeaseWaiter] {
        byLease.isEmpty ? [] : byLease.removeValue(forKey: lease) ?? []
    }

    /// In the order of the leases.
    mutating func removeAll() -> [LeaseWaiter] {
        defer { byLease = [:] }
        return byLease.keys.sorted().flatMap { byLease[$0] ?? [] }
    }

    /// Likewise. O(waiting).
    mutating func removeExpired(at now: Instant) -> [LeaseWaiter] {
        var expired: [LeaseWaiter] = []
        for lease in byLease.keys.sorted() {
            guard let waiters = byLease[lease], waiters.contains(where: { $0.deadline <= now }) else { continue }
            expired += waiters.filter { $0.deadline <= now }
            let rest = waiters.filter { $0.deadline > now }
            byLease[lease] = rest.isEmpty ? nil : rest
        }
        return expired
    }
}

/// Questions of this member's clients that the leader answers, by number, and so in the order in which they came.
struct ForwardedQuestions {
    private var byNumber: [UInt64: (waiter: LeaseWaiter, isSent: Bool)] = [:]

    var count: Int { byNumber.count }

    mutating func insert(_ number: UInt64, _ waiter: LeaseWaiter) { byNumber[number] = (waiter, false) }

    /// The network has it; it answers or fails.
    mutating func markSent(_ number: UInt64) { byNumber[number]?.isSent = true }

    /// It did not reach a member that leads.
    mutating func markFailed(_ number: UInt64) { byNumber[number]?.isSent = false }

    @discardableResult
    mutating func remove(_ number: UInt64) -> LeaseWaiter? { byNumber.removeValue(forKey: number)?.waiter }

    /// Those that are to be put (again). O(n log n).
    var waiting: [(number: UInt64, waiter: LeaseWaiter)] {
        if byNumber.isEmpty { return [] }
        return byNumber.filter { !$0.value.isSent }.sorted { $0.key < $1.key }.map { ($0.key, $0.value.waiter) }
    }

    mutating func removeExpired(at now: Instant) -> [LeaseWaiter] {
        if byNumber.isEmpty { return [] }
        let due = byNumber.filter { $0.value.waiter.deadline <= now }.sorted { $0.key < $1.key }
        for (number, _) in due { byNumber[number] = nil }
        return due.map(\.value.waiter)
    }

    mutating func removeAll() -> [LeaseWaiter] {
        defer { byNumber = [:] }
        return byNumber.sorted { $0.key < $1.key }.map(\.value.waiter)
    }
}
