public import EtcdProto
internal import MVCC

/// A change of users and roles as the log holds it: the public API's message of the same name.
public enum AuthRequest: Sendable, Equatable {
    case enable
    case disable
    case addUser(name: [UInt8], Secret, hasNoPassword: Bool)
    case deleteUser([UInt8])
    case changePassword(name: [UInt8], Secret)
    case grantRole(user: [UInt8], role: [UInt8])
    case revokeRole(user: [UInt8], role: [UInt8])
    case addRole([UInt8])
    case deleteRole([UInt8])
    case grantPermission(role: [UInt8], Permission?)
    case revokePermission(role: [UInt8], key: [UInt8], rangeEnd: [UInt8])

    /// A password on its way: members since 3.5 log its bcrypt text in base64, those before logged it as it was typed.
    public struct Secret: Sendable, Equatable {
        public var clear: [UInt8] = []
        public var hashed: [UInt8] = []

        public init(clear: [UInt8] = [], hashed: [UInt8] = []) {
            self.clear = clear
            self.hashed = hashed
        }
    }

    /// Whether it can only be carried out with a bcrypt at hand.
    public var holdsClearPassword: Bool {
        switch self {
        case .addUser(_, let secret, let hasNoPassword): !hasNoPassword && secret.hashed.isEmpty
        case .changePassword(_, let secret): secret.hashed.isEmpty
        default: false
        }
    }

    /// Which message it is; the numbers are those of `InternalRaftRequest`.
    public enum Kind: Int, Sendable {
        case enable = 1000
        case disable = 1011
        case addUser = 1100
        case deleteUser = 1101
        case changePassword = 1103
        case grantRole = 1104
        case revokeRole = 1105
        case addRole = 1200
        case deleteRole = 1201
        case grantPermission = 1203
        case revokePermission = 1204
    }

    /// Decodes the message that lies at `range` of `bytes`.
    public init(_ kind: Kind, _ bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        let fields = try AuthFields(kind, bytes, at: range)
        let (first, second) = (fields.first, fields.second)
        switch kind {
        case .enable: self = .enable
        case .disable: self = .disable
        case .addUser:
            self = .addUser(
                name: first, Secret(clear: second, hashed: fields.hashed), hasNoPassword: fields.hasNoPassword)
        case .deleteUser: self = .deleteUser(first)
        case .changePassword: self = .changePassword(name: first, Secret(clear: second, hashed: fields.hashed))
        case .grantRole: self = .grantRole(user: first, role: second)
        case .revokeRole: self = .revokeRole(user: first, role: second)
        case .addRole: self = .addRole(first)
        case .deleteRole: self = .deleteRole(first)
        case .grantPermission: self = .grantPermission(role: first, fields.permission)
        case .revokePermission: self = .revokePermission(role: first, key: second, rangeEnd: fields.third)
        }
    }
}

/// The fields of any of the messages: they all begin with one or two names.
private struct AuthFields {
    var first: [UInt8] = []
    var second: [UInt8] = []
    var third: [UInt8] = []
    var hashed: [UInt8] = []
    var hasNoPassword = false
    var permission: Permission?

    init(_ kind: AuthRequest.Kind, _ bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        var cursor = WireCursor(range)
        let span = bytes.span
        while let (field, value) = try cursor.next(in: span) {
            switch (field, kind) {
            case (1, _): first = Array(bytes[try value.bytes(field)])
            case (2, .grantPermission): permission = try Permission(bytes, at: value.bytes(field))
            case (2, _): second = Array(bytes[try value.bytes(field)])
            case (3, .addUser): hasNoPassword = try UserRecord.noPassword(bytes, at: value.bytes(field))
            case (3, .changePassword): hashed = Array(bytes[try value.bytes(field)])
            case (3, _): third = Array(bytes[try value.bytes(field)])
            case (4, .addUser): hashed = Array(bytes[try value.bytes(field)])
            default: break
            }
        }
    }
}
