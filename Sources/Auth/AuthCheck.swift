public import Base
public import EtcdProto
public import MVCC

/// On whose behalf a request was made, and at which revision of the users and roles that was checked. Entries carry it
/// in their header.
public struct ClientIdentity: Sendable, Equatable {
    /// Empty for nobody.
    public var user: [UInt8]
    public var revision: UInt64

    public init(user: [UInt8] = [], revision: UInt64 = 0) {
        self.user = user
        self.revision = revision
    }

    /// A client that has not said who it is.
    public static let nobody = ClientIdentity()
}

// Who may do what. Everything passes while authentication is off.
extension AuthStore {
    /// Whether someone may administer: the role `root` is needed.
    public mutating func checkAdministrator(_ identity: ClientIdentity) throws(EtcdError) {
        guard isEnabled else { return }
        guard !identity.user.isEmpty else { throw .userEmpty }
        guard user(identity.user) != nil else { throw .userNotFound }
        guard rights(of: identity.user).isRoot else { throw .permissionDenied }
    }

    /// Whether the identity is that of someone, and not out of date.
    public func checkIdentity(_ identity: ClientIdentity) throws(EtcdError) {
        guard isEnabled else { return }
        guard !identity.user.isEmpty else { throw .userEmpty }
        guard identity.revision >= revision else { throw .oldAuthRevision }
    }

    public mutating func checkRead(
        _ identity: ClientIdentity, _ range: @autoclosure () -> KeyRange
    ) throws(EtcdError) {
        guard isEnabled else { return }
        try checkIdentity(identity)
        guard rights(of: identity.user).mayRead(range()) else { throw .permissionDenied }
    }

    public mutating func checkWrite(
        _ identity: ClientIdentity, _ range: @autoclosure () -> KeyRange
    ) throws(EtcdError) {
        guard isEnabled else { return }
        try checkIdentity(identity)
        guard rights(of: identity.user).mayWrite(range()) else { throw .permissionDenied }
    }

    // MARK: Whole requests

    public mutating func check(
        _ command: RangeCommand, in bytes: [UInt8], _ identity: ClientIdentity
    ) throws(EtcdError) {
        try checkRead(identity, KeyRange(bytes, command.key, command.rangeEnd))
    }

    /// - Parameter leased: the keys attached to a lease: whoever attaches a key may have all of them deleted, so
    ///   must be allowed to write each.
    public mutating func check(
        _ command: PutCommand, in bytes: [UInt8], _ identity: ClientIdentity, leased: (LeaseID) -> [[UInt8]]
    ) throws(EtcdError) {
        guard isEnabled else { return }
        let key = KeyRange(bytes, command.key, 0..<0)
        try checkWrite(identity, key)
        if command.lease != 0 { try check(leased(LeaseID(command.lease)), identity) }
        if command.returnsPrevious { try checkRead(identity, key) }
    }

    /// Whether someone may have these keys deleted with their lease.
    public mutating func check(_ leased: [[UInt8]], _ identity: ClientIdentity) throws(EtcdError) {
        for key in leased { try checkWrite(identity, KeyRange(key: key, rangeEnd: [])) }
    }

    /// Whether someone may be told that these keys are attached to a lease.
    public mutating func checkRead(ofKeys keys: [[UInt8]], _ identity: ClientIdentity) throws(EtcdError) {
        for key in keys { try checkRead(identity, KeyRange(key: key, rangeEnd: [])) }
    }

    public mutating func check(
        _ command: DeleteRangeCommand, in bytes: [UInt8], _ identity: ClientIdentity
    ) throws(EtcdError) {
        guard isEnabled else { return }
        let range = KeyRange(bytes, command.key, command.rangeEnd)
        try checkWrite(identity, range)
        if command.returnsPrevious { try checkRead(identity, range) }
    }

    /// Compares are reads; both branches count, whichever is taken.
    public mutating func check(
        _ command: TxnCommand, in bytes: [UInt8], _ identity: ClientIdentity, leased: (LeaseID) -> [[UInt8]]
    ) throws(EtcdError) {
        guard isEnabled else { return }
        try checkIdentity(identity)
        for compare in command.compares { try checkRead(identity, KeyRange(bytes, compare.key, compare.rangeEnd)) }
        for operation in command.success + command.failure {
            switch operation {
            case .range(let range): try check(range, in: bytes, identity)
            case .put(let put): try check(put, in: bytes, identity, leased: leased)
            case .deleteRange(let delete): try check(delete, in: bytes, identity)
            case .txn(let txn): try check(txn, in: bytes, identity, leased: leased)
            case .empty: break
            }
        }
    }
}

extension KeyRange {
    fileprivate init(_ bytes: [UInt8], _ key: Range<Int>, _ rangeEnd: Range<Int>) {
        self.init(key: Array(bytes[key]), rangeEnd: Array(bytes[rangeEnd]))
    }
}
