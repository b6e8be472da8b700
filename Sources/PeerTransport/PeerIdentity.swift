public import Base

/// What a member tells its peers about itself with every request.
public struct PeerIdentity: Sendable, Equatable {
    public var localID: MemberID
    public var clusterID: ClusterID
    /// As the member advertises them.
    public var peerURLs: [String]
    public var version: PeerVersion
    /// The oldest version that it talks to.
    public var oldestVersion: PeerVersion

    public init(
        localID: MemberID, clusterID: ClusterID, peerURLs: [String], version: PeerVersion,
        oldestVersion: PeerVersion = PeerVersion(major: 3, minor: 0)
    ) {
        self.localID = localID
        self.clusterID = clusterID
        self.peerURLs = peerURLs
        self.version = version
        self.oldestVersion = oldestVersion
    }
}

/// A program's version. Peers compare the major and minor numbers only.
public struct PeerVersion: Sendable, Hashable, CustomStringConvertible {
    public var major: Int
    public var minor: Int
    public var patch: Int

    public init(major: Int, minor: Int, patch: Int = 0) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    /// Reads `3.5.1`, also with a suffix such as `-rc.0` or `+git`; nil when it is no version.
    public init?(_ text: some StringProtocol) {
        let parts = text.prefix { $0 != "-" && $0 != "+" }.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, let major = Int(parts[0]), let minor = Int(parts[1]), let patch = Int(parts[2]),
            major >= 0, minor >= 0, patch >= 0
        else { return nil }
        self.init(major: major, minor: minor, patch: patch)
    }

    public var description: String { "\(major).\(minor).\(patch)" }

    /// What a peer without the header is taken for.
    static let unnamed = PeerVersion(major: 2, minor: 0)

    /// Whether its minor version is older.
    func isOlder(than other: PeerVersion) -> Bool { (major, minor) < (other.major, other.minor) }
}

/// The headers by which peers know each other.
enum PeerHeader {
    static let from = "X-Server-From"
    static let version = "X-Server-Version"
    static let oldestVersion = "X-Min-Cluster-Version"
    static let clusterID = "X-Etcd-Cluster-ID"
    static let to = "X-Raft-To"
    static let peerURLs = "X-PeerURLs"
    /// Between Martlet members only, see `EffectsNote`.
    static let effects = "X-Martlet-Effects"
    /// Martlet's own: a member's state beside its hash.
    static let state = "X-Martlet-State"
}

/// Why a peer's request is not served, with etcd's status and text.
enum PeerRefusal: Error, Equatable {
    case methodNotAllowed(allow: String)
    case notFound
    case incompatibleVersion
    case clusterIDMismatch
    case invalidPath
    case invalidFrom
    case removedMember
    case senderNotFound
    case toFieldMismatch
    case badRequest(String)
    case tooLarge
    case forbidden(String)
    case failed(String)

    var status: Int {
        switch self {
        case .methodNotAllowed: 405
        case .notFound, .invalidPath, .invalidFrom, .senderNotFound: 404
        case .incompatibleVersion, .clusterIDMismatch, .toFieldMismatch: 412
        case .removedMember: 410
        case .badRequest: 400
        case .tooLarge: 413
        case .forbidden: 403
        case .failed: 500
        }
    }

    var text: String {
        switch self {
        case .methodNotAllowed: "Method Not Allowed"
        case .notFound: "404 page not found"
        case .incompatibleVersion: "incompatible version"
        case .clusterIDMismatch: "cluster ID mismatch"
        case .invalidPath: "invalid path"
        case .invalidFrom: "invalid from"
        case .removedMember: "removed member"
        case .senderNotFound: "error sender not found"
        case .toFieldMismatch: "to field mismatch"
        case .tooLarge: "request body too large"
        case .badRequest(let text), .forbidden(let text), .failed(let text): text
        }
    }
}

/// What a request says of its sender.
struct PeerIntroduction: Equatable {
    /// nil when missing or no number.
    var from: MemberID?
    /// nil when the header is there and cannot be read.
    var version: PeerVersion?
    var oldestVersion: PeerVersion?
    var clusterID: String?
    var to: String?
    var peerURLs: [String]

    /// - Parameter header: the first value of a header.
    init(_ header: (String) -> String?) {
        from = header(PeerHeader.from).flatMap { UInt64($0, radix: 16) }.map { MemberID($0) }
        version = header(PeerHeader.version).map { PeerVersion($0) } ?? .unnamed
        oldestVersion = header(PeerHeader.oldestVersion).map { PeerVersion($0) } ?? .unnamed
        clusterID = header(PeerHeader.clusterID)
        to = header(PeerHeader.to)
        let urls = header(PeerHeader.peerURLs) ?? ""
        peerURLs = urls.split(separator: ",").map(String.init)
    }

    /// Whether the sender belongs to this cluster and speaks a version that this member does.
    func check(for local: PeerIdentity) throws(PeerRefusal) {
        guard let version, let oldestVersion, !version.isOlder(than: local.oldestVersion),
            !local.version.isOlder(than: oldestVersion)
        else { throw .incompatibleVersion }
        guard clusterID == local.clusterID.description else { throw .clusterIDMismatch }
    }
}
