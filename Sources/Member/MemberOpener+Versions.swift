internal import MVCC
internal import Membership
internal import Platform

/// A backend file that was there, and what it says of itself.
struct ExistingBackend {
    var file: BackendFile
    var schema: BackendSchema
    var version: DirectoryVersion
}

/// Which versions of etcd, or of Martlet, have written a data directory. The rules are those of docs/decisions/092.
struct DirectoryVersion: Equatable {
    /// What the members agreed on; nil before that.
    var cluster: SemanticVersion?
    /// The schema of the backend file, so far as it can be told.
    var storage: SemanticVersion?
    var isFoundedByMartlet: Bool

    static let oldest = SemanticVersion(major: 3, minor: 4)
    /// From here on the backend's membership can be relied upon, and requests of the v2 API are out of use.
    static let modern = SemanticVersion(major: 3, minor: 6)

    init(_ schema: BackendSchema) throws(MembershipError) {
        cluster = try schema.clusterVersion.map { text throws(MembershipError) in try SemanticVersion(parsing: text) }
        isFoundedByMartlet = schema.founder != nil
        if let text = schema.storageVersion {
            storage = try SemanticVersion(parsing: text)
        } else if schema.hasTerm {
            storage = SemanticVersion(major: 3, minor: 5)
        } else {
            storage = nil
        }
    }

    /// What a cluster without an agreed version is taken to have, so that the program that left the directory can take
    /// it back.
    var assumed: SemanticVersion {
        if let cluster { return cluster.majorMinor }
        if isFoundedByMartlet { return ServerVersion.etcd.majorMinor }
        return storage?.majorMinor ?? Self.oldest
    }

    /// Why this program must leave the directory alone, with the reason in etcd's words where it has some.
    func refusal(by own: SemanticVersion) -> String? {
        if let cluster, cluster.majorMinor > own.majorMinor {
            return "invalid downgrade; server version is lower than determined cluster version: this server is \(own), "
                + "the cluster in the data directory is \(cluster)"
        }
        if let storage, storage.majorMinor > own.majorMinor {
            return "version \"\(storage)\" is not supported: this server reads storage versions up to \(own.majorMinor)"
        }
        if let cluster, cluster < Self.oldest {
            return "version \"\(cluster)\" is not supported: take the cluster to \(Self.oldest) with etcd first"
        }
        return nil
    }
}

extension MemberOpener {
    /// Opens the backend file, if there is one, and looks at who wrote it, before anything in the directory is touched.
    mutating func openExistingBackend() throws(MemberError) -> ExistingBackend? {
        let exists = try attempt("use the data directory") { try disk.exists(configuration.backendPath) }
        guard exists else { return nil }
        return try inspect(try openBackendFile())
    }

    func inspect(_ file: BackendFile) throws(MemberError) -> ExistingBackend {
        let schema: BackendSchema
        let version: DirectoryVersion
        do {
            schema = try file.schema()
            version = try DirectoryVersion(schema)
        } catch {
            throw MemberError(.corruption, "cannot read \(configuration.backendPath): \(error)")
        }
        if let reason = version.refusal(by: ServerVersion.etcd) {
            throw MemberError(
                .dataDirectory,
                "\(reason); nothing in \(configuration.dataDirectory) has been changed; start it with a server of that "
                    + "version")
        }
        return ExistingBackend(file: file, schema: schema, version: version)
    }
}
