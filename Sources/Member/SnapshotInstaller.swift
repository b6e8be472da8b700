internal import Apply
internal import Auth
internal import Base
package import MVCC
internal import Membership
package import Platform
package import RaftCore
internal import SnapshotStore
internal import Synchronization

/// The backend file in use: replaced on the backend's thread when a leader's snapshot is installed.
package final class BackendSlot: Sendable {
    private let current: Mutex<BackendFile>

    package init(_ file: BackendFile) { current = Mutex(file) }

    package var file: BackendFile { current.withLock { $0 } }

    /// - Returns: the file that was in use.
    fileprivate func replace(with file: BackendFile) -> BackendFile {
        current.withLock { current in
            let former = current
            current = file
            return former
        }
    }
}

/// Puts the database that came with a leader's snapshot in the place of the member's own.
package struct SnapshotInstaller: Sendable {
    private let snapshots: Snapshotter
    private let disk: any Disk
    private let configuration: MemberConfiguration
    private let passwords: any Passwords
    private let localID: MemberID
    private let clusterID: ClusterID

    package init(
        _ files: OpenFiles, _ core: MemberCore, _ configuration: MemberConfiguration, _ passwords: any Passwords
    ) {
        snapshots = files.snapshots
        disk = files.disk
        self.passwords = passwords
        self.configuration = configuration
        localID = core.localID
        clusterID = core.clusterID
    }

    /// Renames the database, opens it and reads the state out of it. Blocks; for the backend's thread.
    /// - Complexity: O(size of the database).
    package func install(_ snapshot: Snapshot, in slot: BackendSlot) throws(MemberError) -> InstalledSnapshot {
        let index = snapshot.metadata.index
        do throws(DiskError) {
            try disk.rename(snapshots.databasePath(index), to: configuration.backendPath)
            try disk.syncDirectory(configuration.snapshotDirectory)
        } catch {
            throw MemberError(.disk, "cannot install the database of the snapshot at \(index): \(error)")
        }
        do {
            let file = try BackendFile.open(
                configuration.backendPath, on: disk, options: configuration.backendFileOptions)
            try slot.replace(with: file).close()
            let applier = try configuration.openApplier(file, passwords) { [clusterID, localID] backend in
                try RaftCluster(id: clusterID, localID: localID, recoveringFrom: backend)
            }
            return InstalledSnapshot(applier: applier, index: index)
        } catch {
            throw MemberError(
                .corruption,
                "cannot read the database of the snapshot at \(index), \(configuration.backendPath): \(error)")
        }
    }
}

extension MemberConfiguration {
    var backendFileOptions: BackendFile.Options {
        var options = BackendFile.Options()
        options.mapCapacity = backendMapCapacity
        options.syncs = !unsafeNoSync
        options.founder = "\(ServerVersion.etcd.majorMinor)"
        return options
    }

    /// Reads a member's state out of its backend file. O(rows).
    func openApplier(
        _ file: BackendFile, _ passwords: any Passwords, cluster: (Backend) throws -> RaftCluster
    ) throws -> Applier {
        let backend = try Backend(try file.read(), limits: BackendLimits(batchOperations: backendBatchLimit))
        var limits = ApplyLimits(quotaBytes: quotaBytes ?? 0)
        limits.minimumLeaseTTL = minimumLeaseTTL
        limits.persistsLeaseCheckpoints = persistsLeaseCheckpoints
        // At etcd's default cost: entries do not say which one their member used.
        return try Applier(
            KeyValueStore(backend), cluster: cluster(backend), limits: limits,
            hashPassword: { password, salt in passwords.bcrypt(password, salt: salt, cost: 10) })
    }
}
