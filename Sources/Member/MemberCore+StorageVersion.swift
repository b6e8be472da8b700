internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership
internal import Platform

// The backend's schema follows the version of the cluster, up and down.
extension MemberCore {
    /// How often the storage version is compared with the cluster's.
    static let versionCheckInterval: Duration = .seconds(4)
    /// The first schema that says its own version.
    private static let firstNamedSchema = SemanticVersion(major: 3, minor: 6)
    /// The oldest that there is anything to do for.
    private static let oldestSchema = SemanticVersion(major: 3, minor: 5)

    /// Writes the version of the cluster into the backend, if it is another. From 3.5 to 3.7 only the field itself
    /// changes, and 3.5 has none.
    ///
    /// On the way down a snapshot comes first: the program that is to take over replays the log from the last snapshot
    /// on, and ends when it finds that the cluster once had a version above its own. Until then the field keeps it off.
    func followClusterVersion() {
        guard let version = applier.cluster.version?.majorMinor, version >= Self.oldestSchema,
            applier.backend.consistentTerm > .zero
        else { return }
        let wanted = version < Self.firstNamedSchema ? nil : Array("\(version)".utf8)
        let stored: [UInt8]?
        do throws(BackendError) { stored = try applier.backend.get(MetaKey.storageVersion, in: .meta) } catch {
            _ = clientError(.backend(error))
            return
        }
        // After a start in the middle only the field tells.
        if loweringSince == nil, Self.isAbove(version, stored) { loweringSince = node.applied }
        if loweringNeedsSnapshot { return }
        loweringSince = nil
        guard stored != wanted else { return }
        if let wanted {
            applier.backend.put(MetaKey.storageVersion, wanted, in: .meta)
        } else {
            applier.backend.delete(MetaKey.storageVersion, in: .meta)
        }
        log(.info, "updated storage version", ["new-storage-version": "\(version)"])
        if let target = applier.cluster.downgrade.target, target == version {
            log(
                .info, "The server is ready to downgrade",
                ["target-version": "\(target)", "server-version": "\(ServerVersion.etcd)"])
        }
    }

    /// An entry has lowered the version of the cluster. From the commit on that holds its effect the field says the
    /// former version, whether it was written before or not: it alone tells of it after a start in the middle.
    func clusterVersionLowered(from former: SemanticVersion, at index: LogIndex) {
        loweringSince = index
        nextVersionCheck = now
        guard former.majorMinor >= Self.firstNamedSchema else { return }
        applier.backend.put(MetaKey.storageVersion, Array("\(former.majorMinor)".utf8), in: .meta)
    }

    private static func isAbove(_ version: SemanticVersion, _ stored: [UInt8]?) -> Bool {
        guard let stored, let former = try? SemanticVersion(parsing: String(decoding: stored, as: UTF8.self)) else {
            return false
        }
        return former.majorMinor > version
    }

    /// The version went down in an entry that the last snapshot does not cover.
    var loweringNeedsSnapshot: Bool { loweringSince.map { snapshotIndex < $0 } ?? false }
}
