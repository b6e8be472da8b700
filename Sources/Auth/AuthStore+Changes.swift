public import EtcdProto
public import MVCC

// The changes, each with etcd's rules for when it is refused. A refused one changes nothing.
extension AuthStore {
    /// Carries out a change from the log.
    /// - Parameters:
    ///   - salt: 16 bytes, used if the entry holds a password in clear; the same on every member.
    ///   - hash: makes the stored form of such a password.
    public mutating func apply(
        _ request: AuthRequest, storingIn backend: Backend, salt: @autoclosure () -> [UInt8], hash: PasswordHash
    ) throws(EtcdError) {
        switch request {
        case .enable: try enable(backend)
        case .disable:
            guard isEnabled else { return }
            setEnabled(false, in: backend)
            raiseRevision(backend)
        case .addUser(let name, let secret, let hasNoPassword):
            guard !name.isEmpty else { throw .userEmpty }
            guard user(name) == nil else { throw .userExists }
            let password = hasNoPassword ? [] : try stored(secret, salt(), hash)
            store(UserRecord(name: name, password: password, hasNoPassword: hasNoPassword), in: backend)
            raiseRevision(backend)
        case .deleteUser(let name):
            if isEnabled, name == Self.rootUser { throw .invalidAuthManagement }
            guard user(name) != nil else { throw .userNotFound }
            removeUser(name, from: backend)
            raiseRevision(backend)
        case .changePassword(let name, let secret):
            guard var user = user(name) else { throw .userNotFound }
            user.password = user.hasNoPassword ? [] : try stored(secret, salt(), hash)
            store(user, in: backend)
            raiseRevision(backend)
        case .grantRole(let name, let role): try grant(role, to: name, backend)
        case .revokeRole(let name, let role):
            if isEnabled, name == Self.rootUser, role == Self.rootRole { throw .invalidAuthManagement }
            guard var user = user(name) else { throw .userNotFound }
            guard let position = user.roles.firstIndex(of: role) else { throw .roleNotGranted }
            user.roles.remove(at: position)
            store(user, in: backend)
            raiseRevision(backend)
        case .addRole(let name):
            guard !name.isEmpty else { throw .roleEmpty }
            guard role(name) == nil else { throw .roleExists }
            store(RoleRecord(name: name), in: backend)
            raiseRevision(backend)
        case .deleteRole(let name): try deleteRole(name, backend)
        case .grantPermission(let role, let permission): try grant(permission, to: role, backend)
        case .revokePermission(let name, let key, let rangeEnd):
            guard var role = role(name) else { throw .roleNotFound }
            let count = role.permissions.count
            role.permissions.removeAll { $0.key == key && $0.rangeEnd == rangeEnd }
            guard role.permissions.count < count else { throw .permissionNotGranted }
            store(role, in: backend)
            raiseRevision(backend)
        }
    }

    private mutating func enable(_ backend: Backend) throws(EtcdError) {
        guard !isEnabled else { return }
        guard let root = user(Self.rootUser) else { throw .rootUserMissing }
        guard root.roles.contains(Self.rootRole) else { throw .rootRoleMissing }
        setEnabled(true, in: backend)
    }

    /// The stored form of a password: what the entry brings, or what is made of the clear one in an entry before 3.5.
    private func stored(
        _ secret: AuthRequest.Secret, _ salt: [UInt8], _ hash: PasswordHash
    ) throws(EtcdError) -> [UInt8] {
        if secret.hashed.isEmpty {
            guard let password = hash(secret.clear, salt) else {
                throw EtcdError(.internal, "malformed request: the password cannot be hashed")
            }
            return password
        }
        guard let password = Base64.decode(secret.hashed) else {
            throw EtcdError(.internal, "malformed request: hashedPassword is not base64")
        }
        return password
    }

    private mutating func grant(_ role: [UInt8], to name: [UInt8], _ backend: Backend) throws(EtcdError) {
        guard var user = user(name) else { throw .userNotFound }
        // The role `root` works without a record of its own.
        if role != Self.rootRole, self.role(role) == nil { throw .roleNotFound }
        if user.roles.contains(role) { return }
        user.roles.append(role)
        user.roles.sort(by: precedes)
        store(user, in: backend)
        raiseRevision(backend)
    }

    private mutating func deleteRole(_ name: [UInt8], _ backend: Backend) throws(EtcdError) {
        if isEnabled, name == Self.rootRole { throw .invalidAuthManagement }
        guard role(name) != nil else { throw .roleNotFound }
        removeRole(name, from: backend)
        for var user in allUsers {
            guard let position = user.roles.firstIndex(of: name) else { continue }
            user.roles.remove(at: position)
            store(user, in: backend)
        }
        raiseRevision(backend)
    }

    private mutating func grant(_ permission: Permission?, to name: [UInt8], _ backend: Backend) throws(EtcdError) {
        guard let permission else { throw .permissionNotGiven }
        guard var role = role(name) else { throw .roleNotFound }
        if let held = role.permissions.firstIndex(where: {
            $0.key == permission.key && $0.rangeEnd == permission.rangeEnd
        }) {
            role.permissions[held].kind = permission.kind
        } else {
            let position = role.permissions.firstIndex { precedes(permission.key, $0.key) } ?? role.permissions.count
            role.permissions.insert(permission, at: position)
        }
        store(role, in: backend)
        raiseRevision(backend)
    }
}
