/// The top-level buckets of the backend, all but `martlet` created at start even when they stay empty.
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
    /// Martlet's own: etcd leaves a bucket of that name alone. Made when something is first put into it.
    case martlet

    /// Those that etcd has too, in the order of their names.
    public static let shared = allCases.filter { $0 != .martlet }

    /// The name in the file.
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
        case .martlet: "martlet"
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

/// The keys of bucket `martlet`.
public enum MartletKey {
    /// The cluster version of the program that made the file: only Martlet's own files have it.
    public static let founded = Array("founded".utf8)
    /// See `EffectsHash`.
    public static let effectsHash = Array("effectsHash".utf8)
    /// Why the member that owns the file serves nobody: its data were proven to differ from the others'.
    public static let quarantine = Array("quarantine".utf8)
}
