import Auth
import EtcdProto
import MVCC
import PlatformLinux
import PlatformSim
import Testing

@Suite("Users and roles") struct AuthStoreTests {
    private let backend: Backend
    private let file: BackendFile

    init() throws {
        file = try BackendFile.open("db", on: SimDisk())
        backend = try Backend(try file.read())
    }

    private static func secret(_ text: String) -> AuthRequest.Secret { .init(hashed: Array(text.utf8)) }

    private func apply(_ store: inout AuthStore, _ requests: [AuthRequest]) throws(EtcdError) {
        for request in requests {
            try store.apply(
                request, storingIn: backend, salt: [UInt8](repeating: 7, count: 16),
                hash: { LinuxPasswords().bcrypt($0, salt: $1, cost: 4) })
        }
    }

    private func permission(_ kind: Permission.Kind, _ key: String, _ end: String = "") -> Permission {
        Permission(kind: kind, key: Array(key.utf8), rangeEnd: Array(end.utf8))
    }

    private static let root: [AuthRequest] = [
        .addUser(name: AuthStore.rootUser, secret("eHl6"), hasNoPassword: false),
        .grantRole(user: AuthStore.rootUser, role: AuthStore.rootRole),
    ]

    @Test("What is stored is what etcd stores, and comes back after a restart")
    func records() throws {
        var store = try AuthStore(backend)
        #expect(store.revision == 1)
        try apply(&store, Self.root)
        try apply(
            &store,
            [
                .addRole(Array("writer".utf8)),
                .grantPermission(role: Array("writer".utf8), permission(.readWrite, "w/", "w0")),
                .grantPermission(role: Array("writer".utf8), permission(.read, "from", "\0")),
                .grantPermission(role: Array("writer".utf8), permission(.write, "single")),
                .addUser(name: Array("certonly".utf8), .init(), hasNoPassword: true),
                .grantRole(user: Array("certonly".utf8), role: Array("writer".utf8)),
                .enable,
            ])
        #expect(store.revision == 9)
        // As in the 3.5.1 fixture, but for the name.
        let role = try #require(try backend.get(Array("writer".utf8), in: .authRoles))
        let expected =
            "\u{0A}\u{06}writer\u{12}\u{09}\u{12}\u{04}from\u{1A}\u{01}\0\u{12}\u{0A}\u{08}\u{01}\u{12}\u{06}single"
            + "\u{12}\u{0A}\u{08}\u{02}\u{12}\u{02}w/\u{1A}\u{02}w0"
        #expect(role == Array(expected.utf8))
        let user = try #require(try backend.get(Array("certonly".utf8), in: .authUsers))
        #expect(user == Array("\u{0A}\u{08}certonly\u{1A}\u{06}writer\"\u{02}\u{08}\u{01}".utf8))
        #expect(try backend.get(Array("authRevision".utf8), in: .auth) == [0, 0, 0, 0, 0, 0, 0, 9])
        let again = try AuthStore(backend)
        #expect(again.isEnabled && again.revision == 9)
        #expect(again.allUsers == store.allUsers && again.allRoles == store.allRoles)
    }

    @Test("What etcd refuses is refused, and changes nothing")
    func refusals() throws {
        var store = try AuthStore(backend)
        #expect(throws: EtcdError.rootUserMissing) { try apply(&store, [.enable]) }
        try apply(&store, [Self.root[0]])
        #expect(throws: EtcdError.rootRoleMissing) { try apply(&store, [.enable]) }
        try apply(&store, [Self.root[1], .addRole(Array("r".utf8)), .addUser(name: [1], .init(), hasNoPassword: true)])
        let revision = store.revision
        let cases: [(AuthRequest, EtcdError)] = [
            (.addUser(name: [], .init(), hasNoPassword: true), .userEmpty),
            (.addUser(name: [1], .init(), hasNoPassword: true), .userExists),
            (.deleteUser([2]), .userNotFound),
            (.changePassword(name: [2], .init()), .userNotFound),
            (.grantRole(user: [2], role: [3]), .userNotFound),
            (.grantRole(user: [1], role: [3]), .roleNotFound),
            (.revokeRole(user: [1], role: [3]), .roleNotGranted),
            (.addRole([]), .roleEmpty),
            (.addRole(Array("r".utf8)), .roleExists),
            (.deleteRole([9]), .roleNotFound),
            (.grantPermission(role: [9], permission(.read, "k")), .roleNotFound),
            (.revokePermission(role: Array("r".utf8), key: [1], rangeEnd: []), .permissionNotGranted),
        ]
        for (request, error) in cases { #expect(throws: error) { try apply(&store, [request]) } }
        try apply(&store, [.enable, .enable])
        let managed: [AuthRequest] = [
            .deleteUser(AuthStore.rootUser), .deleteRole(AuthStore.rootRole),
            .revokeRole(user: AuthStore.rootUser, role: AuthStore.rootRole),
        ]
        for request in managed { #expect(throws: EtcdError.invalidAuthManagement) { try apply(&store, [request]) } }
        #expect(store.revision == revision)
        try apply(&store, [.disable, .disable])
        #expect(store.revision == revision + 1)
    }

    @Test("A role that goes is taken from its users")
    func deletedRole() throws {
        var store = try AuthStore(backend)
        let name = Array("r".utf8)
        try apply(
            &store,
            [
                .addRole(name), .addUser(name: [1], .init(), hasNoPassword: true), .grantRole(user: [1], role: name),
                .deleteRole(name),
            ])
        #expect(store.user([1])?.roles == [])
        #expect(store.revision == 5)
    }

    @Test("A password in clear gets bcrypt text that every member makes alike")
    func clearPassword() throws {
        var store = try AuthStore(backend)
        try apply(&store, [.addUser(name: [1], .init(clear: Array("secret".utf8)), hasNoPassword: false)])
        let stored = String(decoding: try #require(store.user([1])).password, as: UTF8.self)
        #expect(stored.hasPrefix("$2a$04$") && stored.utf8.count == 60)
        // bcrypt of "U*U" under the salt "CCCC…", from Openwall's test vectors.
        let salt: [UInt8] = [
            0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10, 0x41, 0x04, 0x10,
        ]
        let vector = LinuxPasswords().bcrypt(Array("U*U".utf8), salt: salt, cost: 5)
        #expect(
            vector.map { String(decoding: $0, as: UTF8.self) }
                == "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
    }

    struct Question: Sendable {
        var key: String
        var end: String
        var reads: Bool
        var writes: Bool
        init(_ key: String, _ end: String, reads: Bool, writes: Bool) {
            (self.key, self.end, self.reads, self.writes) = (key, end, reads, writes)
        }
    }

    @Test(
        "A range is allowed when the permissions together cover it",
        arguments: [
            Question("a", "", reads: true, writes: false),
            Question("a", "c", reads: true, writes: false),
            Question("a", "d", reads: true, writes: false),
            Question("a", "d\0", reads: false, writes: false),
            Question("b", "", reads: true, writes: true),
            Question("b", "c", reads: true, writes: true),
            Question("c", "", reads: true, writes: false),
            Question("d", "", reads: false, writes: false),
            Question("x", "\0", reads: true, writes: true),
            Question("w", "\0", reads: false, writes: false),
            Question("zz", "zzz", reads: true, writes: true),
            // No key lies in it.
            Question("c", "a", reads: true, writes: false),
        ])
    func ranges(question: Question) throws {
        var store = try AuthStore(backend)
        let (user, role) = (Array("u".utf8), Array("r".utf8))
        try apply(&store, Self.root)
        try apply(
            &store,
            [
                .addUser(name: user, .init(), hasNoPassword: true), .addRole(role), .grantRole(user: user, role: role),
                .grantPermission(role: role, permission(.read, "a", "b")),
                .grantPermission(role: role, permission(.readWrite, "b", "c")),
                .grantPermission(role: role, permission(.read, "c", "d")),
                .grantPermission(role: role, permission(.readWrite, "x", "\0")), .enable,
            ])
        let identity = ClientIdentity(user: user, revision: store.revision)
        let range = KeyRange(key: Array(question.key.utf8), rangeEnd: Array(question.end.utf8))
        #expect(((try? store.checkRead(identity, range)) != nil) == question.reads)
        #expect(((try? store.checkWrite(identity, range)) != nil) == question.writes)
        #expect(throws: EtcdError.userEmpty) { try store.checkRead(.nobody, range) }
        let old = ClientIdentity(user: user, revision: store.revision - 1)
        #expect(throws: EtcdError.oldAuthRevision) { try store.checkRead(old, range) }
        let root = ClientIdentity(user: AuthStore.rootUser, revision: store.revision)
        #expect(throws: Never.self) { try store.checkWrite(root, range) }
        #expect(throws: EtcdError.permissionDenied) { try store.checkAdministrator(identity) }
    }
}
