internal import Base

/// The two kinds of stream between members.
package enum StreamKind: String, Sendable, CaseIterable {
    /// Appends only, in the compact form.
    case append = "msgapp"
    /// All other messages.
    case message = "message"
}

/// Where a request on the peer listener goes. Reference: docs/formats/peer.md.
enum PeerRoute: Equatable {
    case pipeline
    /// The last part of the path is the sender's ID.
    case stream(StreamKind, from: MemberID)
    case snapshot
    case probing
    case members
    case promote(id: String)
    case hashKV
    case version
    case downgradeEnabled
    case leases
    case leasesInternal
    /// Martlet's own: the member is to compare its data with the others'.
    case divergence
    /// Martlet's own: a copy of the member's database.
    case database

    private static let streamPrefix = "/raft/stream/"
    private static let promotePrefix = "/members/promote/"

    /// The endpoint of a path, and the one method that it takes; nil for any.
    /// - Parameter uri: path and query.
    init(uri: String) throws(PeerRefusal) {
        let path = String(uri.prefix { $0 != "?" })
        switch path {
        case "/raft": self = .pipeline
        case "/raft/snapshot": self = .snapshot
        case "/raft/probing": self = .probing
        case "/members": self = .members
        case "/members/hashkv": self = .hashKV
        case "/version": self = .version
        case "/downgrade/enabled": self = .downgradeEnabled
        case "/leases": self = .leases
        case "/leases/internal": self = .leasesInternal
        case "/martlet/divergence": self = .divergence
        case "/martlet/database": self = .database
        default:
            if path.hasPrefix(Self.streamPrefix) {
                self = try Self.stream(path.dropFirst(Self.streamPrefix.count))
            } else if path.hasPrefix(Self.promotePrefix) {
                self = .promote(id: String(path.dropFirst(Self.promotePrefix.count)))
            } else {
                throw .notFound
            }
        }
    }

    private static func stream(_ rest: Substring) throws(PeerRefusal) -> PeerRoute {
        // As etcd does, which looks at the last part of the path, and at all that stands before it.
        guard let slash = rest.lastIndex(of: "/"), let kind = StreamKind(rawValue: String(rest[..<slash])) else {
            throw .invalidPath
        }
        guard let id = UInt64(rest[rest.index(after: slash)...], radix: 16) else { throw .invalidFrom }
        return .stream(kind, from: MemberID(id))
    }

    /// The only method that the endpoint takes; nil for any.
    var method: String? {
        switch self {
        case .pipeline, .snapshot, .promote, .divergence: "POST"
        case .stream, .members, .hashKV, .version, .downgradeEnabled, .database: "GET"
        case .probing, .leases, .leasesInternal: nil
        }
    }

    /// Whether only members of the cluster with a compatible version may ask.
    var isGuarded: Bool {
        switch self {
        case .pipeline, .stream, .snapshot, .database: true
        case .probing, .members, .promote, .hashKV, .version, .downgradeEnabled, .leases, .leasesInternal,
            .divergence:
            false
        }
    }
}
