public import Base
internal import Crypto

/// A member of the cluster, as etcd's `members` bucket and the member list hold it.
public struct ClusterMember: Sendable, Equatable {
    public var id: MemberID
    /// Where the other members reach it. In the order given by the operator.
    public var peerURLs: [String]
    public var isLearner: Bool
    /// Empty until the member has started and published itself.
    public var name: String
    /// Where clients reach it; empty until published.
    public var clientURLs: [String]

    public init(id: MemberID, peerURLs: [String], isLearner: Bool = false, name: String = "", clientURLs: [String] = [])
    {
        self.id = id
        self.peerURLs = peerURLs
        self.isLearner = isLearner
        self.name = name
        self.clientURLs = clientURLs
    }

    /// Whether the member has published its name.
    public var isStarted: Bool { !name.isEmpty }
}

// MARK: - IDs (docs/formats/backend.md, "IDs")

extension MemberID {
    /// The ID of a member: the first 8 bytes, big endian, of SHA-1 over the sorted peer URLs, the cluster token and,
    /// for members added at run time, the time of addition.
    /// - Parameters:
    ///   - token: the initial cluster token; empty for members added at run time.
    ///   - unixSeconds: when the member was added at run time; nil for founding members.
    public init(peerURLs: [String], token: String, unixSeconds: Int64? = nil) {
        var text = peerURLs.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }.joined() + token
        if let unixSeconds { text += String(unixSeconds) }
        self.init(firstEightBytes(ofSHA1: Array(text.utf8)))
    }
}

extension ClusterID {
    /// The ID of a cluster: the first 8 bytes, big endian, of SHA-1 over its founding members' IDs, ascending, each as
    /// 8 bytes big endian.
    public init(foundedBy members: [MemberID]) {
        var bytes: [UInt8] = []
        for id in members.sorted() {
            for shift in stride(from: 56, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: id.rawValue >> UInt64(shift)))
            }
        }
        self.init(firstEightBytes(ofSHA1: bytes))
    }
}

private func firstEightBytes(ofSHA1 bytes: [UInt8]) -> UInt64 {
    var hash = Insecure.SHA1()
    hash.update(data: bytes)
    return hash.finalize().prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
}

// MARK: - JSON

extension ClusterMember {
    /// `{"id":…,"peerURLs":[…],"isLearner":true,"name":"…","clientURLs":[…]}`, empty members left out, as a row of the
    /// bucket `members` and the context of a configuration change hold it.
    public var json: JSON {
        var members: [JSON.Member] = [
            .init("id", .number(String(id.rawValue))),
            .init("peerURLs", .array(peerURLs.map(JSON.string))),
        ]
        if isLearner { members.append(.init("isLearner", .bool(true))) }
        if !name.isEmpty { members.append(.init("name", .string(name))) }
        if !clientURLs.isEmpty { members.append(.init("clientURLs", .array(clientURLs.map(JSON.string)))) }
        return .object(members)
    }

    /// Reads what `json` writes; unknown members are ignored, missing ones are empty.
    public init(_ json: JSON) throws(MembershipError) {
        guard let id = json["id"]?.unsigned else {
            throw .malformedRecord("a member record without an ID: \(json.text)")
        }
        self.init(
            id: MemberID(id), peerURLs: json.strings("peerURLs"), isLearner: json["isLearner"]?.bool ?? false,
            name: json["name"]?.string ?? "", clientURLs: json.strings("clientURLs"))
    }
}

extension JSON {
    /// The strings of an array member; empty when it is missing or null.
    package func strings(_ name: String) -> [String] { self[name]?.array?.compactMap(\.string) ?? [] }
}
