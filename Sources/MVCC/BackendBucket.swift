/// The top-level buckets of the backend, all created at start even when they stay empty.
/// Format: docs/formats/backend.md, "Buckets".
public enum BackendBucket: Int, CaseIterable, Sendable {
    case alarm
    case auth
    case authRoles
    case authUsers
    case cluster
    case key
    case lease
    case members
    case membersRemoved
    case meta

    /// The name in the file. The cases stand in the order of their names.
    public var name: String {
        switch self {
        case .alarm: "alarm"
        case .auth: "auth"
        case .authRoles: "authRoles"
        case .authUsers: "authUsers"
        case .cluster: "cluster"
        case .key: "key"
        case .lease: "lease"
        case .members: "members"
        case .membersRemoved: "members_removed"
        case .meta: "meta"
        }
    }

    var nameBytes: [UInt8] { Array(name.utf8) }
}

/// The keys of bucket `meta`.
public enum MetaKey {
    public static let consistentIndex = Array("consistent_index".utf8)
    public static let term = Array("term".utf8)
    public static let confState = Array("confState".utf8)
    public static let scheduledCompactRevision = Array("scheduledCompactRev".utf8)
    public static let finishedCompactRevision = Array("finishedCompactRev".utf8)
    public static let storageVersion = Array("storageVersion".utf8)
}
