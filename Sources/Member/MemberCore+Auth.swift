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
        case .compaction, .hashKV, .snapshot, .defragment, .memberAdd, .memberRemove, .memberUpdate, .memberPromote,
            .moveLeader, .downgrade:
            try applier.auth.checkAdministrator(identity)
        case .leaseGrant: try applier.auth.checkIdentity(identity)
        case .leaseRevoke(let id): try applier.auth.check(applier.store.keys(ofLease: id), identity)
        case .leases:
            try applier.auth.checkIdentity(identity)
            for lease in applier.store.leaseRecords {
                try applier.auth.checkRead(ofKeys: applier.store.keys(ofLease: lease.id), identity)
            }
        case .lease(let question):
            // The member that a client has asked has checked it.
            if question.isForwarded { return }
            try applier.auth.checkIdentity(identity)
            let keys = applier.store.keys(ofLease: question.lease)
            switch question.kind {
            case .keepAlive: try applier.auth.check(keys, identity)
            case .timeToLive(keys: true): try applier.auth.checkRead(ofKeys: keys, identity)
            case .timeToLive(keys: false): break
            }
        case .status, .memberList: try applier.auth.checkIdentity(identity)
        // The health of a member is nobody's secret.
        case .probe: break
        }
    }
}
