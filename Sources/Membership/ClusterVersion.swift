/// A version of a server, a cluster or the storage, such as 3.7.0.
public struct SemanticVersion: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var major: Int
    public var minor: Int
    public var patch: Int

    public init(major: Int, minor: Int, patch: Int = 0) {
        self.major = major
        self.minor = minor
        self.patch = patch
    }

    /// Reads `3.7.1`, and `3.7` as 3.7.0; a suffix such as `-rc.1` or `+build` is ignored.
    public init(parsing text: String) throws(MembershipError) {
        let core = text.prefix { $0 != "-" && $0 != "+" }
        let parts = core.split(separator: ".", omittingEmptySubsequences: false).map { UInt16($0) }
        guard (2...3).contains(parts.count), let major = parts[0], let minor = parts[1],
            let patch = parts.count == 3 ? parts[2] : 0
        else { throw .malformedVersion(text) }
        self.init(major: Int(major), minor: Int(minor), patch: Int(patch))
    }

    /// Reads the target of a downgrade as a client names it: `3.6`, or a whole version, of which two numbers count. As
    /// in etcd a suffix goes with a whole version only.
    public init(downgradeTarget text: String) throws(MembershipError) {
        let core = text.prefix { $0 != "-" && $0 != "+" }
        guard core.count == text.count || core.count(where: { $0 == "." }) == 2 else { throw .malformedVersion(text) }
        self = try SemanticVersion(parsing: text).majorMinor
    }

    public static func < (a: SemanticVersion, b: SemanticVersion) -> Bool {
        (a.major, a.minor, a.patch) < (b.major, b.minor, b.patch)
    }

    /// The version of the cluster that a server of this version can form: its major and minor number.
    public var majorMinor: SemanticVersion { SemanticVersion(major: major, minor: minor) }

    /// What a cluster of this version can be taken down to: the minor version below. Nil below the first.
    public var downgradeTarget: SemanticVersion? {
        minor > 0 ? SemanticVersion(major: major, minor: minor - 1) : nil
    }

    public var description: String { "\(major).\(minor).\(patch)" }
}
