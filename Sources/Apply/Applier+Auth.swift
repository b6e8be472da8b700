internal import Auth
internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership
internal import RaftCore

// Users, roles, and who may do what. The rights that count are those at the entry's place in the log.
extension Applier {
    /// Whether the user that the entry names may have it carried out.
    func authorize(
        _ request: InternalRequest, _ kind: InternalRequest.Kind, in bytes: [UInt8], at range: Range<Int>
    ) throws(StoreError) {
        let identity = ClientIdentity(user: Array(bytes[request.user]), revision: request.authRevision)
        let leased = { [store] (id: LeaseID) in store.keys(ofLease: id) }
        do throws(EtcdError) {
            switch kind {
            case .put:
                try auth.check(
                    decoded { () throws(WireError) in try PutCommand(bytes, at: range) }, in: bytes, identity,
                    leased: leased)
            case .range:
                try auth.check(
                    decoded { () throws(WireError) in try RangeCommand(bytes, at: range) }, in: bytes, identity)
            case .deleteRange:
                try auth.check(
                    decoded { () throws(WireError) in try DeleteRangeCommand(bytes, at: range) }, in: bytes, identity)
            case .txn:
                try auth.check(
                    decoded { () throws(WireError) in try TxnCommand(bytes, at: range) }, in: bytes, identity,
                    leased: leased)
            case .leaseRevoke:
                let id = try decoded { () throws(WireError) in try leaseID(in: bytes, at: range) }
                try auth.check(store.keys(ofLease: id), identity)
            case .authEnable, .authDisable, .authUserAdd, .authUserDelete, .authUserChangePassword,
                .authUserGrantRole, .authUserRevokeRole, .authUserList, .authRoleAdd, .authRoleDelete,
                .authRoleGrantPermission, .authRoleRevokePermission, .authRoleList:
                try auth.checkAdministrator(identity)
            case .compaction, .leaseGrant, .leaseCheckpoint, .alarm, .authenticate, .authStatus, .authUserGet,
                .authRoleGet, .clusterVersionSet, .clusterMemberAttributesSet, .downgradeInfoSet,
                .downgradeVersionTest:
                break
            }
        } catch {
            throw .rejected(error)
        }
    }

    private func decoded<Command>(_ body: () throws(WireError) -> Command) throws(EtcdError) -> Command {
        do throws(WireError) { return try body() } catch { throw EtcdError(.internal, "malformed request: \(error)") }
    }

    /// Carries out a change of users and roles.
    ///
    /// An entry with a password in clear gets a salt that no other entry of any cluster has and that every member finds
    /// alike, so that the members' files stay equal (docs/decisions/090-passwords-in-old-entries.md).
    func changeAuth(_ kind: AuthRequest.Kind, _ entry: Entry, at range: Range<Int>) throws(StoreError) {
        let request = try decoding { () throws(WireError) in try AuthRequest(kind, entry.data, at: range) }
        do throws(EtcdError) {
            try auth.apply(
                request, storingIn: backend, salt: bigEndian(cluster.id.rawValue) + bigEndian(entry.index.rawValue),
                hash: hashPassword ?? { _, _ in nil })
        } catch {
            throw .rejected(error)
        }
    }

    private func bigEndian(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * UInt64($0))) }
    }
}
