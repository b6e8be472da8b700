public import Base
public import EtcdProto
public import MVCC

/// What kind of alarm a member can raise. Other numbers than the named ones are stored and listed as they are.
public struct AlarmKind: RawRepresentable, Sendable, Hashable {
    public var rawValue: Int32

    public init(rawValue: Int32) { self.rawValue = rawValue }

    public static let none = AlarmKind(rawValue: 0)
    /// The backend's quota is used up somewhere: nothing that takes space is accepted.
    public static let noSpace = AlarmKind(rawValue: 1)
    /// Members' data differ: nothing is changed any more.
    public static let corrupt = AlarmKind(rawValue: 2)
}

/// An alarm of a member.
public struct Alarm: Sendable, Hashable {
    public var member: MemberID
    public var kind: AlarmKind

    public init(member: MemberID, kind: AlarmKind) {
        self.member = member
        self.kind = kind
    }

    /// As `AlarmMember`: what answers hold, and the key in bucket `alarm`.
    public init(decoding bytes: [UInt8]) throws(WireError) {
        self.init(member: .none, kind: .none)
        var cursor = WireCursor(bytes.indices)
        let span = bytes.span
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: member = MemberID(try value.unsigned(field))
            case 2: kind = AlarmKind(rawValue: Int32(truncatingIfNeeded: try value.unsigned(field)))
            default: break
            }
        }
    }

    public var encoded: [UInt8] {
        var out: [UInt8] = []
        if member != .none { Wire.appendVarintField(1, member.rawValue, to: &out) }
        if kind != .none { Wire.appendVarintField(2, UInt64(bitPattern: Int64(kind.rawValue)), to: &out) }
        return out
    }
}

/// The alarms that are raised, as bucket `alarm` holds them.
public struct AlarmStore: Sendable {
    /// Ascending by kind, then by member.
    public private(set) var all: [Alarm] = []

    /// Reads the alarms of a backend.
    public init(_ backend: Backend) throws(StoreError) {
        var alarms: [Alarm] = []
        for row in try backend.items(in: .alarm) {
            do throws(WireError) { alarms.append(try Alarm(decoding: row.key)) } catch {
                throw .backend(.malformedRow(bucket: "alarm", key: row.key, reason: "\(error)"))
            }
        }
        all = alarms
        sort()
    }

    /// Whether any member has raised an alarm of this kind.
    public func contains(_ kind: AlarmKind) -> Bool { all.contains { $0.kind == kind } }

    public func contains(_ kind: AlarmKind, of member: MemberID) -> Bool {
        all.contains(Alarm(member: member, kind: kind))
    }

    mutating func raise(_ alarm: Alarm, storingIn backend: Backend) {
        guard !all.contains(alarm) else { return }
        all.append(alarm)
        sort()
        backend.put(alarm.encoded, [], in: .alarm)
    }

    /// - Returns: whether it was raised.
    mutating func clear(_ alarm: Alarm, storingIn backend: Backend) -> Bool {
        guard let position = all.firstIndex(of: alarm) else { return false }
        all.remove(at: position)
        backend.delete(alarm.encoded, in: .alarm)
        return true
    }

    private mutating func sort() {
        all.sort { $0.kind != $1.kind ? $0.kind.rawValue < $1.kind.rawValue : $0.member < $1.member }
    }
}
