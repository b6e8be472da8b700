public import Auth
internal import Base
internal import EtcdProto
public import MVCC
public import Membership
public import RaftCore

/// Carries out committed commands, in order and each at most once: the same log gives the same state on every member.
///
/// An entry's effects and its index reach the backend file in the same commit, so after a restart the entries up to the
/// backend's consistent index are passed over.
///
/// One thread owns it, together with its store. Configuration changes are not its business.
public final class Applier {
    public let store: KeyValueStore
    public var backend: Backend { store.backend }
    /// The membership as published attributes and the cluster version change it.
    public var cluster: RaftCluster
    public internal(set) var alarms: AlarmStore
    public var auth: AuthStore
    public let limits: ApplyLimits
    let hashPassword: PasswordHash?

    /// - Parameter hashPassword: for the passwords in clear that members before 3.5 logged; without it such an entry
    ///   cannot be applied.
    public init(
        _ store: KeyValueStore, cluster: RaftCluster, limits: ApplyLimits = ApplyLimits(),
        hashPassword: PasswordHash? = nil
    ) throws(StoreError) {
        self.store = store
        self.cluster = cluster
        self.limits = limits
        self.hashPassword = hashPassword
        // A membership that comes from the v2 store does not tell of a downgrade.
        do throws(MembershipError) { try self.cluster.recoverDowngrade(from: store.backend) } catch {
            throw .backend(.malformedRow(bucket: "cluster", key: Array("downgrade".utf8), reason: "\(error)"))
        }
        alarms = try AlarmStore(store.backend)
        auth = try AuthStore(store.backend)
    }

    /// Applies an entry of type `.normal`.
    /// - Parameters:
    ///   - header: of this member's answers; the revision is filled in.
    ///   - out: the encoded response is appended.
    public func apply(
        _ entry: Entry, header: ResponseHeader, into out: inout [UInt8]
    ) throws(ApplyError) -> AppliedEntry {
        precondition(entry.type == .normal, "entry \(entry.index) is a configuration change")
        guard entry.index > backend.consistentIndex else { return .nothing }
        backend.beginEffects(of: entry.index) { [store] in
            [store.currentRevision, store.compactRevision, Int64(store.liveKeyCount)]
        }
        let applied = entry.data.isEmpty ? .nothing : try execute(entry, header: header, into: &out)
        backend.endEffects()
        backend.setConsistentIndex(entry.index, term: entry.term)
        return applied
    }

    private func execute(
        _ entry: Entry, header: ResponseHeader, into out: inout [UInt8]
    ) throws(ApplyError) -> AppliedEntry {
        let request: InternalRequest
        do throws(WireError) { request = try InternalRequest(entry.data) } catch {
            // Members up to 3.5 log bare requests of the v2 API, which no envelope can be read out of.
            guard let legacy = try? LegacyRequest(entry.data, at: entry.data.indices), !legacy.method.isEmpty else {
                throw .malformed(index: entry.index, error)
            }
            apply(legacy)
            return AppliedEntry(requestID: legacy.id, outcome: .none)
        }
        switch request.body {
        case .none: return AppliedEntry(requestID: request.id, outcome: .none)
        case .unknown(let field): throw .unknownRequest(index: entry.index, field: field)
        case .legacy(let range):
            do throws(WireError) { apply(try LegacyRequest(entry.data, at: range)) } catch {
                throw .malformed(index: entry.index, error)
            }
            return AppliedEntry(requestID: request.id, outcome: .none)
        case .request(let kind, let range):
            if hashPassword == nil, let change = AuthRequest.Kind(rawValue: kind.rawValue),
                (try? AuthRequest(change, entry.data, at: range))?.holdsClearPassword == true
            {
                throw .noPasswordHash(index: entry.index)
            }
            var applied = AppliedEntry(requestID: request.id, outcome: .none)
            let start = out.count
            do throws(StoreError) {
                if alarms.contains(.corrupt), kind.isRefusedWhenCorrupt { throw .rejected(.corrupt) }
                if auth.isEnabled { try authorize(request, kind, in: entry.data, at: range) }
                if let change = AuthRequest.Kind(rawValue: kind.rawValue) {
                    try changeAuth(change, entry, at: range)
                    appendHeader(header, to: &out)
                    applied.outcome = .response(start..<out.count)
                } else if try dispatch(kind, in: entry.data, at: range, header: header, into: &out, &applied) {
                    applied.outcome = .response(start..<out.count)
                }
            } catch {
                out.removeSubrange(start...)
                switch error {
                case .rejected(let error): applied.outcome = .failure(error)
                // The same bytes fail on every member, so the state stays the same without stopping.
                case .malformed(let error):
                    applied.outcome = .failure(EtcdError(.internal, "malformed request: \(error)"))
                case .backend(let error): throw .backend(index: entry.index, error)
                }
            }
            if applied.exceedsQuota, case .response = applied.outcome {
                out.removeSubrange(start...)
                applied.outcome = .failure(.noSpace)
            }
            return applied
        }
    }

    /// Carries out one request.
    /// - Returns: whether there is a response.
    private func dispatch(
        _ kind: InternalRequest.Kind, in bytes: [UInt8], at range: Range<Int>, header: ResponseHeader,
        into out: inout [UInt8], _ applied: inout AppliedEntry
    ) throws(StoreError) -> Bool {
        switch kind {
        case .range:
            let command = try decoding { () throws(WireError) in try RangeCommand(bytes, at: range) }
            try store.range(command, in: bytes, header: header, into: &out)
        case .put:
            let command = try decoding { () throws(WireError) in try PutCommand(bytes, at: range) }
            try checkSpace(QuotaCost.put(command), &applied)
            try store.put(command, in: bytes, header: header, into: &out)
        case .deleteRange:
            let command = try decoding { () throws(WireError) in try DeleteRangeCommand(bytes, at: range) }
            try store.deleteRange(command, in: bytes, header: header, into: &out)
        case .txn:
            let command = try decoding { () throws(WireError) in try TxnCommand(bytes, at: range) }
            let cost = QuotaCost.txn(command)
            if cost > 0 { try checkSpace(cost, &applied) }
            try store.txn(command, in: bytes, header: header, into: &out)
        case .compaction:
            let command = try decoding { () throws(WireError) in try CompactionCommand(bytes, at: range) }
            try store.compact(command.revision)
            applied.waitsForCompaction = command.isPhysical
            appendHeader(header, to: &out)
        case .leaseGrant: try grantLease(bytes, at: range, header: header, into: &out, &applied)
        case .leaseRevoke: try revokeLease(bytes, at: range, header: header, into: &out, &applied)
        case .leaseCheckpoint: try checkpointLeases(bytes, at: range, header: header, into: &out, &applied)
        case .alarm: try changeAlarms(bytes, at: range, header: header, into: &out)
        case .clusterVersionSet:
            let former = cluster.version
            try take(decoding { () throws(WireError) in try ClusterNews(version: bytes, at: range) })
            if let former, let version = cluster.version, version < former { applied.loweredClusterVersion = former }
        case .clusterMemberAttributesSet:
            try take(decoding { () throws(WireError) in try ClusterNews(attributes: bytes, at: range) })
        case .downgradeInfoSet: try setDowngrade(bytes, at: range)
        case .authEnable, .authDisable, .authenticate, .authStatus, .authUserAdd, .authUserDelete, .authUserGet,
            .authUserChangePassword, .authUserGrantRole, .authUserRevokeRole, .authUserList, .authRoleList,
            .authRoleAdd, .authRoleDelete, .authRoleGet, .authRoleGrantPermission, .authRoleRevokePermission,
            .downgradeVersionTest:
            // Reads of other members, and a probe without effect.
            return false
        }
        return !kind.hasNoResponse
    }

    /// Holds a write against the NOSPACE alarm, which refuses it on every member alike, and against this member's own
    /// quota, which only changes the answer.
    func checkSpace(_ cost: Int, _ applied: inout AppliedEntry) throws(StoreError) {
        if alarms.contains(.noSpace) { throw .rejected(.noSpace) }
        if !QuotaCost.isAvailable(cost, size: backend.liveBytes, quota: limits.quotaBytes) {
            applied.exceedsQuota = true
        }
    }

    /// Appends the header with the store's revision.
    func appendHeader(_ header: ResponseHeader, to out: inout [UInt8]) {
        var header = header
        header.revision = store.currentRevision
        header.append(to: &out)
    }

    func decoding<Command>(_ body: () throws(WireError) -> Command) throws(StoreError) -> Command {
        do throws(WireError) { return try body() } catch { throw .malformed(error) }
    }
}

extension InternalRequest.Kind {
    /// Whether a CORRUPT alarm refuses it.
    var isRefusedWhenCorrupt: Bool {
        switch self {
        case .range, .put, .deleteRange, .txn, .compaction, .leaseGrant, .leaseRevoke: true
        default: false
        }
    }

    var hasNoResponse: Bool {
        switch self {
        case .clusterVersionSet, .clusterMemberAttributesSet, .downgradeInfoSet: true
        default: false
        }
    }
}

/// What bounds the commands of this member.
public struct ApplyLimits: Sendable {
    /// The largest file the backend may have, in bytes; 0 or less for no limit.
    public var quotaBytes: Int64
    /// Leases of fewer seconds are granted this many.
    public var minimumLeaseTTL: Int64
    /// Checkpoints of leases reach the file below cluster version 3.6, too.
    public var persistsLeaseCheckpoints: Bool

    public init(quotaBytes: Int64 = 2 << 30, minimumLeaseTTL: Int64 = 2, persistsLeaseCheckpoints: Bool = false) {
        self.quotaBytes = quotaBytes
        self.minimumLeaseTTL = minimumLeaseTTL
        self.persistsLeaseCheckpoints = persistsLeaseCheckpoints
    }
}
