internal import Base
internal import EtcdProto
internal import Leasing
internal import MVCC
internal import Membership

// Leases as the log has them: which there are, and which keys go with one. Their time is `Lessor`'s.
extension Applier {
    func grantLease(
        _ bytes: [UInt8], at range: Range<Int>, header: ResponseHeader, into out: inout [UInt8],
        _ applied: inout AppliedEntry
    ) throws(StoreError) {
        let (ttl, id) = try decoding { () throws(WireError) -> (Int64, LeaseID) in
            var ttl: Int64 = 0
            var id = LeaseID.none
            try forEachField(of: bytes, at: range) { (field, value) throws(WireError) in
                if field == 1 { ttl = try value.signed(field) }
                if field == 2 { id = LeaseID(try value.signed(field)) }
            }
            return (ttl, id)
        }
        try checkSpace(QuotaCost.lease, &applied)
        if id == .none { throw .rejected(.leaseNotFound) }
        if ttl > LessorLimits.maximumTTL { throw .rejected(.leaseTTLTooLarge) }
        if store.lease(id) != nil { throw .rejected(.leaseExists) }
        let granted = max(ttl, limits.minimumLeaseTTL)
        let record = LeaseRecord(id: id, timeToLive: granted)
        store.grantLease(record)
        applied.leases = .granted(record)
        appendHeader(header, to: &out)
        Wire.appendVarintField(2, UInt64(bitPattern: id.rawValue), to: &out)
        Wire.appendVarintField(3, UInt64(bitPattern: granted), to: &out)
    }

    func revokeLease(
        _ bytes: [UInt8], at range: Range<Int>, header: ResponseHeader, into out: inout [UInt8],
        _ applied: inout AppliedEntry
    ) throws(StoreError) {
        let id = try decoding { () throws(WireError) in try leaseID(in: bytes, at: range) }
        try store.revokeLease(id)
        applied.leases = .revoked(id)
        appendHeader(header, to: &out)
    }

    /// The lease that a `LeaseRevokeRequest` names.
    func leaseID(in bytes: [UInt8], at range: Range<Int>) throws(WireError) -> LeaseID {
        var id = LeaseID.none
        try forEachField(of: bytes, at: range) { (field, value) throws(WireError) in
            if field == 1 { id = LeaseID(try value.signed(field)) }
        }
        return id
    }

    func checkpointLeases(
        _ bytes: [UInt8], at range: Range<Int>, header: ResponseHeader, into out: inout [UInt8],
        _ applied: inout AppliedEntry
    ) throws(StoreError) {
        let checkpoints = try decoding { () throws(WireError) -> [LeaseCheckpoint] in
            var checkpoints: [LeaseCheckpoint] = []
            try forEachField(of: bytes, at: range) { (field, value) throws(WireError) in
                guard field == 1 else { return }
                var checkpoint = LeaseCheckpoint(id: .none, remaining: 0)
                try forEachField(of: bytes, at: value.bytes(field)) { (field, value) throws(WireError) in
                    if field == 1 { checkpoint.id = LeaseID(try value.signed(field)) }
                    if field == 2 { checkpoint.remaining = try value.signed(field) }
                }
                checkpoints.append(checkpoint)
            }
            return checkpoints
        }
        // Members up to 3.5 keep checkpoints in memory only, and all members' files must say the same.
        let persists =
            limits.persistsLeaseCheckpoints
            || cluster.version.map { $0 >= SemanticVersion(major: 3, minor: 6) } ?? false
        for checkpoint in checkpoints {
            store.checkpointLease(checkpoint.id, remaining: checkpoint.remaining, persists: persists)
        }
        applied.leases = .checkpointed(checkpoints)
        appendHeader(header, to: &out)
    }

    /// Hands out the fields of the message at `range` of `bytes`.
    func forEachField(
        of bytes: [UInt8], at range: Range<Int>, _ body: (Int, WireValue) throws(WireError) -> Void
    ) throws(WireError) {
        let span = bytes.span
        var cursor = WireCursor(range)
        while let (field, value) = try cursor.next(in: span) { try body(field, value) }
    }
}
