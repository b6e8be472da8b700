internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership

// Leases as the log has them: which there are, and which keys go with one. Their time is kept elsewhere.
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
        if ttl > ApplyLimits.maximumLeaseTTL { throw .rejected(.leaseTTLTooLarge) }
        if store.lease(id) != nil { throw .rejected(.leaseExists) }
        let granted = max(ttl, limits.minimumLeaseTTL)
        store.grantLease(LeaseRecord(id: id, timeToLive: granted))
        appendHeader(header, to: &out)
        Wire.appendVarintField(2, UInt64(bitPattern: id.rawValue), to: &out)
        Wire.appendVarintField(3, UInt64(bitPattern: granted), to: &out)
    }

    func revokeLease(
        _ bytes: [UInt8], at range: Range<Int>, header: ResponseHeader, into out: inout [UInt8]
    ) throws(StoreError) {
        let id = try decoding { () throws(WireError) in try leaseID(in: bytes, at: range) }
        try store.revokeLease(id)
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
        _ bytes: [UInt8], at range: Range<Int>, header: ResponseHeader, into out: inout [UInt8]
    ) throws(StoreError) {
        let checkpoints = try decoding { () throws(WireError) -> [(LeaseID, Int64)] in
            var checkpoints: [(LeaseID, Int64)] = []
            try forEachField(of: bytes, at: range) { (field, value) throws(WireError) in
                guard field == 1 else { return }
                var id = LeaseID.none
                var remaining: Int64 = 0
                try forEachField(of: bytes, at: value.bytes(field)) { (field, value) throws(WireError) in
                    if field == 1 { id = LeaseID(try value.signed(field)) }
                    if field == 2 { remaining = try value.signed(field) }
                }
                checkpoints.append((id, remaining))
            }
            return checkpoints
        }
        // Members up to 3.5 keep checkpoints in memory only, and all members' files must say the same.
        let persists = cluster.version.map { $0 >= SemanticVersion(major: 3, minor: 6) } ?? false
        for (id, remaining) in checkpoints { store.checkpointLease(id, remaining: remaining, persists: persists) }
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
