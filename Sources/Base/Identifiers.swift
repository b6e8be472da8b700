/// A raft term: the number of an election epoch. Zero is "before any election".
@frozen public struct Term: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public static var zero: Term { Term(0) }
    @inlinable public static func < (a: Term, b: Term) -> Bool { a.rawValue < b.rawValue }
    /// The next term. Traps at 2^64 − 1, which no cluster can reach by electing.
    @inlinable public func next() -> Term { Term(rawValue + 1) }
    public var description: String { String(rawValue) }
}

/// A position in the raft log, counted from 1. Zero is "before the first entry".
@frozen public struct LogIndex: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public static var zero: LogIndex { LogIndex(0) }
    @inlinable public static var max: LogIndex { LogIndex(.max) }
    @inlinable public static func < (a: LogIndex, b: LogIndex) -> Bool { a.rawValue < b.rawValue }
    @inlinable public func next() -> LogIndex { LogIndex(rawValue + 1) }
    /// The index before this one. Traps at zero.
    @inlinable public func previous() -> LogIndex { LogIndex(rawValue - 1) }
    @inlinable public static func + (a: LogIndex, n: Int) -> LogIndex { LogIndex(a.rawValue + UInt64(n)) }
    /// The number of steps from `b` up to `a`; negative when `b` is the larger one.
    @inlinable public static func - (a: LogIndex, b: LogIndex) -> Int {
        a >= b ? Int(a.rawValue - b.rawValue) : -Int(b.rawValue - a.rawValue)
    }
    public var description: String { String(rawValue) }
}

/// The ID of a member, which is also its raft node ID. Zero is "nobody".
@frozen public struct MemberID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    /// Nobody: no vote given, no leader known.
    @inlinable public static var none: MemberID { MemberID(0) }
    @inlinable public static func < (a: MemberID, b: MemberID) -> Bool { a.rawValue < b.rawValue }
    /// Lower-case hexadecimal without leading zeros, as etcd writes IDs in keys, headers and logs.
    public var description: String { String(rawValue, radix: 16) }
}

/// The ID of a cluster.
@frozen public struct ClusterID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: UInt64

    @inlinable public init(_ rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public static func < (a: ClusterID, b: ClusterID) -> Bool { a.rawValue < b.rawValue }
    /// Lower-case hexadecimal without leading zeros.
    public var description: String { String(rawValue, radix: 16) }
}

/// The ID of a lease. Zero is "no lease"; clients may choose negative ones.
@frozen public struct LeaseID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let rawValue: Int64

    @inlinable public init(_ rawValue: Int64) { self.rawValue = rawValue }
    @inlinable public static var none: LeaseID { LeaseID(0) }
    @inlinable public static func < (a: LeaseID, b: LeaseID) -> Bool { a.rawValue < b.rawValue }
    public var description: String { String(UInt64(bitPattern: rawValue), radix: 16) }
}

/// A point in the key-value store's history: `main` counts transactions, `sub` the changes inside one from 0.
@frozen public struct Revision: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let main: Int64
    public let sub: Int64

    @inlinable public init(main: Int64, sub: Int64 = 0) {
        self.main = main
        self.sub = sub
    }
    @inlinable public static var zero: Revision { Revision(main: 0, sub: 0) }
    @inlinable public static func < (a: Revision, b: Revision) -> Bool {
        a.main != b.main ? a.main < b.main : a.sub < b.sub
    }
    public var description: String { "\(main)/\(sub)" }
}
