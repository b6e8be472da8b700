public import Base
public import MVCC

/// The membership on disk: buckets `members`, `members_removed` and `cluster`. Format: docs/formats/backend.md.
extension RaftCluster {
    private static let versionKey = Array("clusterVersion".utf8)
    private static let downgradeKey = Array("downgrade".utf8)

    /// Reads the membership that a backend holds. O(members).
    public init(id: ClusterID, localID: MemberID, recoveringFrom backend: borrowing Backend) throws(MembershipError) {
        var members: [ClusterMember] = []
        for row in try Self.rows(of: .members, in: backend) {
            let document: JSON
            do { document = try JSON.parse(row.value) } catch {
                throw .malformedRecord("bucket members, key \(String(decoding: row.key, as: UTF8.self)): \(error)")
            }
            members.append(try ClusterMember(document))
        }
        var removed: [MemberID] = []
        for row in try Self.rows(of: .membersRemoved, in: backend) {
            removed.append(try MemberID(hexadecimal: String(decoding: row.key, as: UTF8.self)))
        }
        var version: SemanticVersion?
        for row in try Self.rows(of: .cluster, in: backend) where row.key == Self.versionKey {
            version = try SemanticVersion(parsing: String(decoding: row.value, as: UTF8.self))
        }
        self.init(id: id, localID: localID, members: members, removed: removed, version: version)
        try recoverDowngrade(from: backend)
    }

    /// Reads what a backend says of a downgrade; without a record, as in one that an older program wrote, none is.
    public mutating func recoverDowngrade(from backend: borrowing Backend) throws(MembershipError) {
        setDowngrade(.none)
        for row in try Self.rows(of: .cluster, in: backend) where row.key == Self.downgradeKey {
            guard let document = try? JSON.parse(row.value), let info = DowngradeInfo(document) else {
                throw .malformedRecord("bucket cluster, key downgrade")
            }
            setDowngrade(info)
        }
    }

    /// Makes the rows of `members` and `members_removed` say what this membership says. Rows that say it already stay
    /// as they are, to the byte.
    /// - Returns: what was different, for the log; empty if nothing was.
    public func correctRows(in backend: Backend) throws(MembershipError) -> [String] {
        var differences: [String] = []
        var stored: [MemberID: ClusterMember] = [:]
        for row in try Self.rows(of: .members, in: backend) {
            let key = String(decoding: row.key, as: UTF8.self)
            let member = (try? JSON.parse(row.value)).flatMap { try? ClusterMember($0) }
            if let member, self[member.id] != nil, key == member.id.description {
                stored[member.id] = member
            } else {
                differences.append("\(key) is no member")
                backend.delete(row.key, in: .members)
            }
        }
        for member in members where stored[member.id] != member {
            differences.append(
                stored[member.id].map { "\(member.id) is \(member.json.text), not \($0.json.text)" }
                    ?? "\(member.id) is missing")
            store(member.id, in: backend)
        }
        let rows = try Self.rows(of: .membersRemoved, in: backend).map { String(decoding: $0.key, as: UTF8.self) }
        for key in rows where !removed.contains(where: { $0.description == key }) {
            differences.append("\(key) was never removed")
            backend.delete(Array(key.utf8), in: .membersRemoved)
        }
        for id in removed where !rows.contains(id.description) {
            differences.append("\(id) was removed")
            backend.put(Array(id.description.utf8), Array("removed".utf8), in: .membersRemoved)
        }
        return differences
    }

    private static func rows(
        of bucket: BackendBucket, in backend: borrowing Backend
    ) throws(MembershipError) -> [(key: [UInt8], value: [UInt8])] {
        do { return try backend.items(in: bucket) } catch {
            throw .malformedRecord("bucket \(bucket.name): \(error)")
        }
    }

    /// Makes a change that `validate` has accepted, here and in the backend.
    public mutating func apply(_ change: MembershipChange, storingIn backend: borrowing Backend) {
        apply(change)
        switch change {
        case .add(let member): store(member.id, in: backend)
        case .promote(let id), .updatePeerURLs(let id, _): store(id, in: backend)
        case .remove(let id):
            backend.delete(Array(id.description.utf8), in: .members)
            backend.put(Array(id.description.utf8), Array("removed".utf8), in: .membersRemoved)
        }
    }

    /// Takes over what a member published of itself, here and in the backend.
    public mutating func updateAttributes(
        of id: MemberID, name: String, clientURLs: [String], storingIn backend: borrowing Backend
    ) throws(MembershipError) {
        if try updateAttributes(of: id, name: name, clientURLs: clientURLs) { store(id, in: backend) }
    }

    public mutating func setVersion(_ version: SemanticVersion, storingIn backend: borrowing Backend) {
        setVersion(version)
        backend.put(Self.versionKey, Array(version.description.utf8), in: .cluster)
    }

    public mutating func setDowngrade(_ info: DowngradeInfo, storingIn backend: borrowing Backend) {
        setDowngrade(info)
        backend.put(Self.downgradeKey, Array(info.json.text.utf8), in: .cluster)
    }

    private func store(_ id: MemberID, in backend: borrowing Backend) {
        guard let member = self[id] else { return }
        backend.put(Array(id.description.utf8), Array(member.json.text.utf8), in: .members)
    }
}
