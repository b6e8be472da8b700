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

/// A file that another thread opens.
private final class OpeningFile: Sendable {
    let result = Mutex<Result<BackendFile, any Error>?>(nil)
}

/// Puts the database that came with a leader's snapshot in the place of the member's own.
package struct SnapshotInstaller: Sendable {
    private let snapshots: Snapshotter
    private let disk: any Disk
    private let configuration: MemberConfiguration
    private let passwords: any Passwords
    private let localID: MemberID
    private let clusterID: ClusterID
    private let threads: (any Threads)?

    /// - Parameter threads: where the thread comes from that checks a database while its rows are read; nil for one
    ///   after the other.
    package init(
        _ files: OpenFiles, _ core: MemberCore, _ configuration: MemberConfiguration, _ passwords: any Passwords,
        threads: (any Threads)? = nil
    ) {
        self.threads = threads
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
        return InstalledSnapshot(applier: try openReplacement(in: slot, "the snapshot at \(index)"), index: index)
    }

    /// Takes the file at the backend's path into use in the place of the one that was there.
    private func openReplacement(in slot: BackendSlot, _ origin: String) throws(MemberError) -> Applier {
        do {
            let (file, applier) = try open()
            try slot.replace(with: file).close()
            return applier
        } catch {
            throw MemberError(
                .corruption, "cannot read the database of \(origin), \(configuration.backendPath): \(error)")
        }
    }

    /// Puts another member's database in the place of the own one, if it is sound and fits to the log. Blocks; for the
    /// backend's thread. A crash leaves the one or the other, and the log brings either up to date.
    /// - Complexity: O(size of the database).
    package func replace(with fetched: FetchedDatabase, in slot: BackendSlot) throws(MemberError) -> ReplacedDatabase {
        let index: LogIndex
        do {
            let file = try BackendFile.openUntouched(fetched.path, on: disk, options: configuration.backendFileOptions)
            let problems = try file.check()
            index = LogIndex(try file.schema().consistentIndex)
            try file.close()
            if let problem = problems.first { return refuse(fetched, "the database is damaged: \(problem)") }
        } catch {
            return refuse(fetched, "the database cannot be read: \(error)")
        }
        if index < fetched.oldest {
            return refuse(
                fetched, "the database holds the state of entry \(index); the log begins behind \(fetched.oldest)")
        }
        if index > fetched.newest { return .early(index) }
        do throws(DiskError) {
            try disk.rename(fetched.path, to: configuration.backendPath)
            try disk.syncDirectory(configuration.snapshotDirectory)
        } catch {
            throw MemberError(.disk, "cannot put \(fetched.path) in the place of the own database: \(error)")
        }
        return .replaced(
            InstalledSnapshot(applier: try openReplacement(in: slot, "another member"), index: index))
    }

    private func refuse(_ fetched: FetchedDatabase, _ reason: String) -> ReplacedDatabase {
        remove(fetched.path)
        return .refused(reason)
    }

    /// Removes a database that is not needed any more.
    package func remove(_ path: String) {
        // What stays behind is removed at the next start.
        try? disk.remove(path)
    }
}

extension SnapshotInstaller {
    /// Opens the database, which looks at every page, while its rows are read on this thread. If reading fails it is
    /// done again afterwards: the check knows better what is wrong.
    private func open() throws -> (BackendFile, Applier) {
        let opening = OpeningFile()
        guard let threads,
            let ahead = try? BackendFile.readAhead(
                configuration.backendPath, on: disk, options: configuration.backendFileOptions),
            let thread = try? threads.spawn(
                named: "snapshot",
                body: { [self] in
                    let result = Result { try openFile() }
                    opening.result.withLock { $0 = result }
                })
        else {
            let file = try openFile()
            return (file, try readState(try file.read()))
        }
        let early = try? readState(ahead)
        thread.join()
        guard let file = try opening.result.withLock({ $0.take() })?.get() else {
            preconditionFailure("the thread has opened nothing and told no error")
        }
        guard let early else { return (file, try readState(try file.read())) }
        early.backend.move(to: try file.read())
        return (file, early)
    }

    private func openFile() throws(BackendError) -> BackendFile {
        try BackendFile.open(configuration.backendPath, on: disk, options: configuration.backendFileOptions)
    }

    private func readState(_ version: StoredVersion) throws -> Applier {
        try configuration.openApplier(version, passwords) { [clusterID, localID] backend in
            try RaftCluster(id: clusterID, localID: localID, recoveringFrom: backend)
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
        _ version: StoredVersion, _ passwords: any Passwords, cluster: (Backend) throws -> RaftCluster
    ) throws -> Applier {
        let backend = try Backend(version, limits: BackendLimits(batchOperations: backendBatchLimit))
        var limits = ApplyLimits(quotaBytes: quotaBytes ?? 0)
        limits.minimumLeaseTTL = minimumLeaseTTL
        limits.persistsLeaseCheckpoints = persistsLeaseCheckpoints
        // At etcd's default cost: entries do not say which one their member used.
        return try Applier(
            KeyValueStore(backend), cluster: cluster(backend), limits: limits,
            hashPassword: { password, salt in passwords.bcrypt(password, salt: salt, cost: 10) })
    }
}
