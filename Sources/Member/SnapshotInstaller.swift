internal import Apply
internal import Base
package import MVCC
internal import Membership
internal import Platform
package import RaftCore
internal import SnapshotStore

/// The backend file in use. Owned by the backend's thread; after that has ended by the member's.
package final class BackendSlot {
    package fileprivate(set) var file: BackendFile

    package init(_ file: BackendFile) { self.file = file }
}

/// Puts the database that came with a leader's snapshot in the place of the member's own.
package struct SnapshotInstaller: Sendable {
    private let snapshots: Snapshotter
    private let disk: any Disk
    private let configuration: MemberConfiguration
    private let localID: MemberID
    private let clusterID: ClusterID

    package init(
        _ files: OpenFiles, _ core: MemberCore, _ configuration: MemberConfiguration, _ platform: MemberPlatform
    ) {
        snapshots = files.snapshots
        disk = platform.disk
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
            let former = slot.file
            slot.file = file
            try former.close()
            let backend = try Backend(try file.read(), limits: configuration.backendLimits)
            let cluster = try RaftCluster(id: clusterID, localID: localID, recoveringFrom: backend)
            let applier = try Applier(
                KeyValueStore(backend), cluster: cluster,
                limits: ApplyLimits(quotaBytes: configuration.quotaBytes ?? 0))
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
        return options
    }

    var backendLimits: BackendLimits { BackendLimits(batchOperations: backendBatchLimit) }
}
