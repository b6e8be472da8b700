internal import Apply
internal import Auth
internal import Base
internal import EtcdProto
internal import MVCC

// Who may ask for what, while authentication is on (docs/decisions/091-requests-without-a-token.md).
extension MemberCore {
    /// Checks a request against the rights as they are now. What goes through raft is checked once more at its place in
    /// the log.
    func authorize(_ body: ClientRequest.Body, _ identity: ClientIdentity) throws(EtcdError) {
        guard applier.auth.isEnabled else { return }
        switch body {
        case .range(let bytes):
            let command = try decode { () throws(WireError) in try RangeCommand(bytes) }
            try applier.auth.check(command, in: bytes, identity)
        case .put(let bytes):
            let command = try decode { () throws(WireError) in try PutCommand(bytes) }
            try applier.auth.check(command, in: bytes, identity, leased: applier.store.keys(ofLease:))
        case .deleteRange(let bytes):
            let command = try decode { () throws(WireError) in try DeleteRangeCommand(bytes) }
            try applier.auth.check(command, in: bytes, identity)
        case .txn(let bytes, _):
            let command = try decode { () throws(WireError) in try TxnCommand(bytes) }
            try applier.auth.check(command, in: bytes, identity, leased: applier.store.keys(ofLease:))
        case .alarm(let bytes):
            if try decode({ () throws(WireError) in try OwnMessage.isAlarmQuery(bytes) }) {
                try applier.auth.checkIdentity(identity)
            } else {
                try applier.auth.checkAdministrator(identity)
            }
        case .compaction, .hashKV, .snapshot, .defragment, .memberAdd, .memberRemove, .memberUpdate, .memberPromote, .moveLeader:
            try applier.auth.checkAdministrator(identity)
        case .status, .memberList: try applier.auth.checkIdentity(identity)
        // The health of a member is nobody's secret.
        case .probe: break
        }
    }
}
