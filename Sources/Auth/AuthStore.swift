internal import EtcdProto
public import MVCC

/// Makes the stored form, bcrypt text, of a password that an old log entry holds in clear.
/// - Parameters:
///   - password: as it was typed; may be empty.
///   - salt: 16 bytes.
/// - Returns: nil if it cannot be hashed.
public typealias PasswordHash = @Sendable (_ password: [UInt8], _ salt: [UInt8]) -> [UInt8]?

/// Users, roles, and whether they are asked for: the buckets `auth`, `authUsers` and `authRoles` in memory. A change
/// goes to the backend with the entry that made it.
///
/// Invariants: (1) memory and backend hold the same records; (2) the revision never falls, and rises by one with each
/// change of a user or a role and when authentication is switched off.
public struct AuthStore: Sendable {
    public private(set) var isEnabled = false
    /// Counts the changes, from 1. A request that was checked at an older revision is refused.
    public private(set) var revision: UInt64 = 0
    private var users: [[UInt8]: UserRecord] = [:]
    private var roles: [[UInt8]: RoleRecord] = [:]
    /// What each user may do, worked out when it is first asked.
    private var rights: [[UInt8]: Rights] = [:]

    public static let rootUser = Array("root".utf8)
    public static let rootRole = Array("root".utf8)
    private static let enabledKey = Array("authEnabled".utf8)
    private static let revisionKey = Array("authRevision".utf8)

    /// Reads the users and roles of a backend; gives a new one its first revision, as etcd does. O(users + roles).
    public init(_ backend: Backend) throws(StoreError) {
        for row in try backend.items(in: .authUsers) {
            users[row.key] = try Self.decode(row, "authUsers") { bytes throws(WireError) in
                try UserRecord(decoding: bytes)
            }
        }
        for row in try backend.items(in: .authRoles) {
            roles[row.key] = try Self.decode(row, "authRoles") { bytes throws(WireError) in
                try RoleRecord(decoding: bytes)
            }
        }
        for row in try backend.items(in: .auth) {
            if row.key == Self.enabledKey { isEnabled = row.value == [1] }
            if row.key == Self.revisionKey {
                guard row.value.count == 8 else {
                    throw .backend(.malformedRow(bucket: "auth", key: row.key, reason: "not 8 bytes"))
                }
                revision = row.value.reduce(0) { $0 << 8 | UInt64($1) }
            }
        }
        if revision == 0 { raiseRevision(backend) }
    }

    private static func decode<Record>(
        _ row: (key: [UInt8], value: [UInt8]), _ bucket: String, _ body: ([UInt8]) throws(WireError) -> Record
    ) throws(StoreError) -> Record {
        do throws(WireError) { return try body(row.value) } catch {
            throw .backend(.malformedRow(bucket: bucket, key: row.key, reason: "\(error)"))
        }
    }

    // MARK: Looking up

    public func user(_ name: [UInt8]) -> UserRecord? { users[name] }
    public func role(_ name: [UInt8]) -> RoleRecord? { roles[name] }
    /// Ascending by name. O(n log n).
    public var allUsers: [UserRecord] { users.values.sorted { precedes($0.name, $1.name) } }
    /// Ascending by name. O(n log n).
    public var allRoles: [RoleRecord] { roles.values.sorted { precedes($0.name, $1.name) } }

    /// What a user may do; everything with the role `root`, nothing when there is no such user.
    mutating func rights(of name: [UInt8]) -> Rights {
        if let known = rights[name] { return known }
        guard let user = users[name] else { return Rights() }
        let made = Rights(
            isRoot: user.roles.contains(Self.rootRole), permissions: user.roles.flatMap { roles[$0]?.permissions ?? [] }
        )
        rights[name] = made
        return made
    }

    // MARK: Writing, for the changes

    mutating func store(_ user: UserRecord, in backend: Backend) {
        users[user.name] = user
        backend.put(user.name, user.encoded, in: .authUsers)
    }

    mutating func store(_ role: RoleRecord, in backend: Backend) {
        roles[role.name] = role
        backend.put(role.name, role.encoded, in: .authRoles)
    }

    mutating func removeUser(_ name: [UInt8], from backend: Backend) {
        users[name] = nil
        backend.delete(name, in: .authUsers)
    }

    mutating func removeRole(_ name: [UInt8], from backend: Backend) {
        roles[name] = nil
        backend.delete(name, in: .authRoles)
    }

    mutating func setEnabled(_ enabled: Bool, in backend: Backend) {
        isEnabled = enabled
        backend.put(Self.enabledKey, [enabled ? 1 : 0], in: .auth)
        rights.removeAll()
    }

    mutating func raiseRevision(_ backend: Backend) {
        revision += 1
        rights.removeAll()
        backend.put(Self.revisionKey, (0..<8).map { UInt8(truncatingIfNeeded: revision >> (56 - 8 * $0)) }, in: .auth)
    }
}
