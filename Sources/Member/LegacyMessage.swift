package import Base
internal import EtcdProto

/// Log entries in the form of the v2 API, `etcdserverpb.Request`, as members up to 3.5 write them for their own
/// affairs. Format: docs/formats/backend.md, "Raft entries".
package enum LegacyMessage {
    /// `PUT /0/members/<id>/attributes`: a member's name and client URLs.
    package static func attributes(
        of member: MemberID, name: String, clientURLs: [String], requestID: UInt64
    ) -> [UInt8] {
        var fields: [JSON.Member] = [.init("name", .string(name))]
        if !clientURLs.isEmpty { fields.append(.init("clientURLs", .array(clientURLs.map(JSON.string)))) }
        return put("/0/members/\(member)/attributes", JSON.object(fields).text, requestID)
    }

    /// `PUT /0/version`: the version that all members speak.
    package static func clusterVersion(_ version: String, requestID: UInt64) -> [UInt8] {
        put("/0/version", version, requestID)
    }

    /// Every field but the two optional ones is written, set or not, as those members do; they tell the message from an
    /// `InternalRaftRequest` by that.
    private static func put(_ path: String, _ value: String, _ requestID: UInt64) -> [UInt8] {
        var out: [UInt8] = []
        Wire.appendVarintField(1, requestID, to: &out)
        Wire.appendBytesField(2, "PUT".utf8, to: &out)
        Wire.appendBytesField(3, path.utf8, to: &out)
        Wire.appendBytesField(4, value.utf8, to: &out)
        Wire.appendVarintField(5, 0, to: &out)  // Dir
        Wire.appendBytesField(6, [], to: &out)  // PrevValue
        // PrevIndex, Expiration, Wait, Since, Recursive, Sorted, Quorum, Time, Stream.
        for field in [7, 9, 10, 11, 12, 13, 14, 15, 16] { Wire.appendVarintField(field, 0, to: &out) }
        return out
    }
}
