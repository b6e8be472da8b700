public import Base

/// The legacy tree that raft snapshots still carry: the membership and the cluster version as JSON.
///
/// Members up to 3.6 read it, 3.7 ignores it. Written in the smallest form that 3.4, 3.5 and 3.6 accept: nodes with
/// `Path` and `Children`, leaves with `Value`. Format: docs/formats/snap.md.
extension RaftCluster {
    /// The payload of a raft snapshot of this membership. O(members).
    public var v2StoreSnapshot: [UInt8] {
        let memberNodes = members.map { member in
            let path = "/0/members/\(member.id)"
            var children = [leaf(path, "raftAttributes", raftAttributes(of: member))]
            if member.isStarted { children.insert(leaf(path, "attributes", attributes(of: member)), at: 0) }
            return directory(path, "\(member.id)", children)
        }
        var storeNodes = [directory("/0/members", "members", memberNodes)]
        if !removed.isEmpty {
            let path = "/0/removed_members"
            storeNodes.append(directory(path, "removed_members", removed.map { leaf(path, "\($0)", "") }))
        }
        if let version { storeNodes.append(leaf("/0", "version", version.description)) }
        let root = directory("/", "", [directory("/0", "0", storeNodes), directory("/1", "1", [])])
        return Array(JSON.object([.init("Root", root.value), .init("CurrentVersion", .number("2"))]).text.utf8)
    }

    private func raftAttributes(of member: ClusterMember) -> String {
        var members: [JSON.Member] = [.init("peerURLs", .array(member.peerURLs.map(JSON.string)))]
        if member.isLearner { members.append(.init("isLearner", .bool(true))) }
        return JSON.object(members).text
    }

    private func attributes(of member: ClusterMember) -> String {
        var members: [JSON.Member] = [.init("name", .string(member.name))]
        if !member.clientURLs.isEmpty {
            members.append(.init("clientURLs", .array(member.clientURLs.map(JSON.string))))
        }
        return JSON.object(members).text
    }

    private func directory(_ path: String, _ name: String, _ children: [JSON.Member]) -> JSON.Member {
        JSON.Member(name, .object([.init("Path", .string(path)), .init("Children", .object(children))]))
    }

    private func leaf(_ directory: String, _ name: String, _ value: String) -> JSON.Member {
        JSON.Member(
            name, .object([.init("Path", .string("\(directory)/\(name)")), .init("Value", .string(value))]))
    }

    /// Reads the membership from the payload of a raft snapshot of any version.
    public init(id: ClusterID, localID: MemberID, v2StoreSnapshot bytes: [UInt8]) throws(MembershipError) {
        let document: JSON
        do { document = try JSON.parse(bytes) } catch { throw .malformedRecord("snapshot payload: \(error)") }
        guard let store = document["Root"]?["Children"]?["0"]?["Children"] else {
            throw .malformedRecord("snapshot payload without the tree /0")
        }
        var members: [ClusterMember] = []
        for node in store["members"]?["Children"]?.members ?? [] {
            let id = try MemberID(hexadecimal: node.name)
            let children = node.value["Children"]
            let raft = try RaftCluster.leafDocument(children?["raftAttributes"])
            let own = try RaftCluster.leafDocument(children?["attributes"])
            members.append(
                ClusterMember(
                    id: id, peerURLs: raft.strings("peerURLs"), isLearner: raft["isLearner"]?.bool ?? false,
                    name: own["name"]?.string ?? "", clientURLs: own.strings("clientURLs")))
        }
        var removed: [MemberID] = []
        for node in store["removed_members"]?["Children"]?.members ?? [] {
            removed.append(try MemberID(hexadecimal: node.name))
        }
        var version: SemanticVersion?
        if let text = store["version"]?["Value"]?.string { version = try SemanticVersion(parsing: text) }
        self.init(id: id, localID: localID, members: members, removed: removed, version: version)
    }

    private static func leafDocument(_ node: JSON?) throws(MembershipError) -> JSON {
        guard let text = node?["Value"]?.string else { return .null }
        do { return try JSON.parse(Array(text.utf8)) } catch {
            throw .malformedRecord("\(node?["Path"]?.string ?? "leaf"): \(error)")
        }
    }
}

extension MemberID {
    /// Reads an ID in hexadecimal, as keys and paths hold it.
    public init(hexadecimal text: String) throws(MembershipError) {
        guard let value = UInt64(text, radix: 16), value != 0 else { throw .malformedRecord("member ID \"\(text)\"") }
        self.init(value)
    }
}
