package import Apply
package import Auth
package import Base
package import EtcdProto
package import Leasing
internal import MVCC

/// The kinds of change that a member proposes by itself or for clients: where each stands in `InternalRaftRequest`.
/// Format: docs/formats/backend.md, "Raft entries".
package enum ProposalKind: Int, Sendable {
    case put = 4
    case deleteRange = 5
    case txn = 6
    case compaction = 7
    case leaseGrant = 8
    case leaseRevoke = 9
    case alarm = 10
    case leaseCheckpoint = 11
    case clusterVersionSet = 1300
    case clusterMemberAttributesSet = 1301
    case downgradeInfoSet = 1302

    private static let headerField = 100

    /// The encoded `InternalRaftRequest` that carries `message` and the ID under which its result is waited for.
    /// - Parameter identity: on whose behalf, while authentication is on.
    package func entry(
        _ message: [UInt8], requestID: UInt64, identity: ClientIdentity = .nobody
    ) -> [UInt8] {
        var headerSize = Wire.varintFieldSize(1, requestID)
        if !identity.user.isEmpty { headerSize += Wire.bytesFieldSize(2, identity.user.count) }
        if identity.revision != 0 { headerSize += Wire.varintFieldSize(3, identity.revision) }
        var out: [UInt8] = []
        out.reserveCapacity(
            Wire.bytesFieldSize(rawValue, message.count) + Wire.bytesFieldSize(Self.headerField, headerSize))
        // Fields go out in ascending order, as etcd's encoder writes them.
        if rawValue > Self.headerField { Self.appendHeader(requestID, identity, size: headerSize, to: &out) }
        Wire.appendBytesField(rawValue, message, to: &out)
        if rawValue < Self.headerField { Self.appendHeader(requestID, identity, size: headerSize, to: &out) }
        return out
    }

    private static func appendHeader(
        _ requestID: UInt64, _ identity: ClientIdentity, size: Int, to out: inout [UInt8]
    ) {
        Wire.appendBytesHeader(headerField, count: size, to: &out)
        Wire.appendVarintField(1, requestID, to: &out)
        if !identity.user.isEmpty { Wire.appendBytesField(2, identity.user, to: &out) }
        if identity.revision != 0 { Wire.appendVarintField(3, identity.revision, to: &out) }
    }
}

// MARK: - Cost against the quota

extension ProposalKind {
    /// More than the change can cost, found without decoding it; nil when it is free.
    package func costBound(_ message: [UInt8]) -> Int64? {
        switch self {
        case .put: Int64(message.count) + 256
        case .leaseGrant: Int64(QuotaCost.lease)
        // An operation takes 4 bytes at least and costs 256 beyond its content.
        case .txn: Int64(message.count) * 65
        case .deleteRange, .compaction, .leaseRevoke, .leaseCheckpoint, .alarm, .clusterVersionSet,
            .clusterMemberAttributesSet, .downgradeInfoSet:
            nil
        }
    }

    /// What the change is taken to add to the backend file, in bytes.
    package func cost(_ message: [UInt8]) throws(WireError) -> Int64 {
        switch self {
        case .put: Int64(QuotaCost.put(try PutCommand(message)))
        case .leaseGrant: Int64(QuotaCost.lease)
        case .txn: Int64(QuotaCost.txn(try TxnCommand(message)))
        case .deleteRange, .compaction, .leaseRevoke, .leaseCheckpoint, .alarm, .clusterVersionSet,
            .clusterMemberAttributesSet, .downgradeInfoSet:
            0
        }
    }
}

// MARK: - Messages that a member proposes by itself

/// The bodies of a member's own proposals, and what it has to know of others'.
package enum OwnMessage {
    /// Whether an `AlarmRequest` only asks for the list.
    package static func isAlarmQuery(_ message: [UInt8]) throws(WireError) -> Bool {
        var cursor = WireCursor(message.indices)
        var action: UInt64 = 0
        while let (field, value) = try cursor.next(in: message.span) {
            if field == 1 { action = try value.unsigned(field) }
        }
        return action == 0
    }

    /// `AlarmRequest`: raise NOSPACE for a member, or take it back.
    package static func noSpaceAlarm(of member: MemberID, raised: Bool) -> [UInt8] {
        alarm(.noSpace, of: member, raised: raised)
    }

    /// `AlarmRequest`: raise an alarm for a member, or take it back.
    package static func alarm(_ kind: AlarmKind, of member: MemberID, raised: Bool) -> [UInt8] {
        var out: [UInt8] = []
        Wire.appendVarintField(1, raised ? 1 : 2, to: &out)
        if member != .none { Wire.appendVarintField(2, member.rawValue, to: &out) }
        Wire.appendVarintField(3, UInt64(kind.rawValue), to: &out)
        return out
    }

    /// `ClusterMemberAttrSetRequest`: a member's name and client URLs.
    package static func attributes(of member: MemberID, name: String, clientURLs: [String]) -> [UInt8] {
        var attributes: [UInt8] = []
        if !name.isEmpty { Wire.appendBytesField(1, name.utf8, to: &attributes) }
        for url in clientURLs { Wire.appendBytesField(2, url.utf8, to: &attributes) }
        var out: [UInt8] = []
        Wire.appendVarintField(1, member.rawValue, to: &out)
        Wire.appendBytesField(2, attributes, to: &out)
        return out
    }

    /// `LeaseGrantRequest`.
    package static func leaseGrant(_ id: LeaseID, timeToLive: Int64) -> [UInt8] {
        var out: [UInt8] = []
        if timeToLive != 0 { Wire.appendVarintField(1, UInt64(bitPattern: timeToLive), to: &out) }
        Wire.appendVarintField(2, UInt64(bitPattern: id.rawValue), to: &out)
        return out
    }

    /// `LeaseRevokeRequest`.
    package static func leaseRevoke(_ id: LeaseID) -> [UInt8] {
        var out: [UInt8] = []
        Wire.appendVarintField(1, UInt64(bitPattern: id.rawValue), to: &out)
        return out
    }

    /// `LeaseCheckpointRequest`.
    package static func leaseCheckpoint(_ checkpoints: [LeaseCheckpoint]) -> [UInt8] {
        var out: [UInt8] = []
        for checkpoint in checkpoints {
            var body: [UInt8] = []
            Wire.appendVarintField(1, UInt64(bitPattern: checkpoint.id.rawValue), to: &body)
            if checkpoint.remaining != 0 {
                Wire.appendVarintField(2, UInt64(bitPattern: checkpoint.remaining), to: &body)
            }
            Wire.appendBytesField(1, body, to: &out)
        }
        return out
    }

    /// `ClusterVersionSetRequest`: the version that all members speak, such as `3.7.0`.
    package static func clusterVersion(_ version: String) -> [UInt8] {
        var out: [UInt8] = []
        Wire.appendBytesField(1, version.utf8, to: &out)
        return out
    }

    /// `DowngradeInfoSetRequest`.
    package static func downgrade(enabled: Bool, target: String) -> [UInt8] {
        var out: [UInt8] = []
        if enabled { Wire.appendVarintField(1, 1, to: &out) }
        if !target.isEmpty { Wire.appendBytesField(2, target.utf8, to: &out) }
        return out
    }
}
