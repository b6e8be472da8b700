public import EtcdProto
internal import MVCC

/// A user as bucket `authUsers` holds it: `authpb.User`. Format: docs/formats/backend.md, "Users and roles".
public struct UserRecord: Sendable, Equatable {
    public var name: [UInt8]
    /// bcrypt text; empty for a user without a password.
    public var password: [UInt8]
    /// Ascending, each once.
    public var roles: [[UInt8]]
    /// The user may only identify itself by a certificate.
    public var hasNoPassword: Bool
    /// Whether the record carries options at all. Kept, because members compare bytes.
    var hasOptions: Bool

    public init(
        name: [UInt8], password: [UInt8] = [], roles: [[UInt8]] = [], hasNoPassword: Bool = false,
        hasOptions: Bool = true
    ) {
        self.name = name
        self.password = password
        self.roles = roles
        self.hasNoPassword = hasNoPassword
        self.hasOptions = hasOptions
    }

    public init(decoding bytes: [UInt8]) throws(WireError) {
        self.init(name: [], hasOptions: false)
        var cursor = WireCursor(bytes.indices)
        let span = bytes.span
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: name = Array(bytes[try value.bytes(field)])
            case 2: password = Array(bytes[try value.bytes(field)])
            case 3: roles.append(Array(bytes[try value.bytes(field)]))
            case 4:
                hasOptions = true
                hasNoPassword = try UserRecord.noPassword(bytes, at: value.bytes(field))
            default: break
            }
        }
    }

    /// Reads `UserAddOptions`.
    static func noPassword(_ bytes: [UInt8], at range: Range<Int>) throws(WireError) -> Bool {
        var cursor = WireCursor(range)
        var result = false
        while let (field, value) = try cursor.next(in: bytes.span) {
            if field == 1 { result = try value.bool(field) }
        }
        return result
    }

    public var encoded: [UInt8] {
        var out: [UInt8] = []
        if !name.isEmpty { Wire.appendBytesField(1, name, to: &out) }
        if !password.isEmpty { Wire.appendBytesField(2, password, to: &out) }
        for role in roles { Wire.appendBytesField(3, role, to: &out) }
        if hasOptions { Wire.appendBytesField(4, hasNoPassword ? [0x08, 0x01] : [], to: &out) }
        return out
    }
}

/// What a role allows on a key or a range of keys: `authpb.Permission`.
public struct Permission: Sendable, Equatable {
    /// Numbers other than the named ones are stored as they are, and allow nothing.
    public struct Kind: RawRepresentable, Sendable, Hashable {
        public var rawValue: UInt64

        public init(rawValue: UInt64) { self.rawValue = rawValue }

        public static let read = Kind(rawValue: 0)
        public static let write = Kind(rawValue: 1)
        public static let readWrite = Kind(rawValue: 2)

        var allowsReads: Bool { self == .read || self == .readWrite }
        var allowsWrites: Bool { self == .write || self == .readWrite }
    }

    public var kind: Kind
    public var key: [UInt8]
    /// Empty for the one key; `[0]` for all keys from `key` on.
    public var rangeEnd: [UInt8]

    public init(kind: Kind, key: [UInt8], rangeEnd: [UInt8] = []) {
        self.kind = kind
        self.key = key
        self.rangeEnd = rangeEnd
    }

    init(_ bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        self.init(kind: .read, key: [])
        var cursor = WireCursor(range)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch field {
            case 1: kind = Kind(rawValue: try value.unsigned(field))
            case 2: key = Array(bytes[try value.bytes(field)])
            case 3: rangeEnd = Array(bytes[try value.bytes(field)])
            default: break
            }
        }
    }

    var encoded: [UInt8] {
        var out: [UInt8] = []
        if kind != .read { Wire.appendVarintField(1, kind.rawValue, to: &out) }
        if !key.isEmpty { Wire.appendBytesField(2, key, to: &out) }
        if !rangeEnd.isEmpty { Wire.appendBytesField(3, rangeEnd, to: &out) }
        return out
    }
}

/// A role as bucket `authRoles` holds it: `authpb.Role`.
public struct RoleRecord: Sendable, Equatable {
    public var name: [UInt8]
    /// Ascending by key; those of one key in the order in which they were granted.
    public var permissions: [Permission]

    public init(name: [UInt8], permissions: [Permission] = []) {
        self.name = name
        self.permissions = permissions
    }

    public init(decoding bytes: [UInt8]) throws(WireError) {
        self.init(name: [])
        var cursor = WireCursor(bytes.indices)
        let span = bytes.span
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: name = Array(bytes[try value.bytes(field)])
            case 2: permissions.append(try Permission(bytes, at: value.bytes(field)))
            default: break
            }
        }
    }

    public var encoded: [UInt8] {
        var out: [UInt8] = []
        if !name.isEmpty { Wire.appendBytesField(1, name, to: &out) }
        for permission in permissions { Wire.appendBytesField(2, permission.encoded, to: &out) }
        return out
    }
}
