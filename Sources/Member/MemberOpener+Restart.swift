internal import Apply
internal import Base
internal import MVCC
internal import Membership
internal import Platform
internal import RaftCore
internal import SnapshotStore
internal import WAL

/// Where a restart begins.
struct StartPoint {
    /// In the log.
    var snapshot: WALSnapshot
    /// The membership there if the backend's is not to be believed.
    var cluster: RaftCluster?
    /// The membership there, as the snapshot's file tells it, if the backend's is: the two are compared.
    var witness: RaftCluster?
}

// A member that has run before, under Martlet or under etcd. Order: docs/formats/backend.md, "Start".
extension MemberOpener {
    mutating func restart(_ existing: ExistingBackend?) throws(MemberError) -> (RestoredMember, OpenFiles) {
        let valid: [WALSnapshot]
        do {
            valid = try WriteAheadLog.validSnapshots(
                on: disk, directory: walDirectory, reaching: existing.map { LogIndex($0.schema.consistentIndex) })
        } catch {
            throw logError(error)
        }
        guard existing != nil || valid.last?.index ?? .zero == .zero else {
            throw MemberError(
                .dataDirectory,
                "database file (\(configuration.backendPath)) of the backend is missing, and the log in "
                    + "\(walDirectory) does not reach back to the first change; restore the file, or start from a "
                    + "snapshot")
        }
        let opened: ExistingBackend
        if let existing { opened = existing } else { opened = try inspect(try openBackendFile()) }
        let backend = try upToDate(opened, valid)
        let start = try startPoint(backend, valid)
        var (log, contents) = try openLog(at: start.snapshot)
        try prepare(backend.file)
        let applier = try openStore(
            backend.file, try cluster(at: LogIndex(backend.schema.consistentIndex), start, contents, backend))
        try reconcile(applier, with: start)
        compareMembership(of: applier, start, contents)
        var hardState = try check(contents, start.snapshot, applier)
        let isBlank = contents.entries.isEmpty && start.snapshot.index == .zero && hardState.isEmpty
        if configuration.forcesNewCluster, !isBlank {
            try leaveOthers(&log, &contents, &hardState, applier)
        } else if applier.cluster.isRemoved(applier.cluster.localID) {
            throw MemberError(
                .dataDirectory,
                "the member \(applier.cluster.localID) has been permanently removed from the cluster; remove "
                    + "\(configuration.dataDirectory) before it is added again, which gives it a new ID")
        }
        let confState = applier.cluster.confState
        let node = try isBlank ? refound(contents.metadata.memberID) : resume(applier, hardState, start, contents)
        lines.append(
            LogLine(
                .info, "restarting local member",
                [
                    "cluster-id": "\(contents.metadata.clusterID)", "local-member-id": "\(contents.metadata.memberID)",
                    "commit-index": "\(hardState.commit)",
                ]))
        return (
            RestoredMember(
                localID: contents.metadata.memberID, clusterID: contents.metadata.clusterID, node: node,
                applier: applier, confState: confState, snapshotIndex: start.snapshot.index,
                assumedVersion: backend.version.assumed, logFile: log.tailPath),
            OpenFiles(log: log, snapshots: snapshotter, disk: disk, backend: backend.file)
        )
    }

    /// The member stopped after it had made its log and before it had written its first entry.
    private func refound(_ localID: MemberID) throws(MemberError) -> RawNode<MemoryStorage> {
        let cluster = try foundingCluster()
        guard cluster.localID == localID else {
            throw MemberError(
                .configuration,
                "the log in \(walDirectory) belongs to member \(localID), but the configuration describes "
                    + "\(cluster.localID); use the configuration that it was created with, or another directory")
        }
        return try bootstrap(cluster)
    }

    // MARK: Log

    private mutating func openLog(at snapshot: WALSnapshot) throws(MemberError) -> (WriteAheadLog, WALContents) {
        do throws(WALError) {
            return try WriteAheadLog.open(
                on: disk, clock: clock, directory: walDirectory, at: snapshot, options: walOptions)
        } catch {
            guard error.isRepairable else { throw logError(error) }
            lines.append(LogLine(.warn, "repairing WAL", ["dir": walDirectory, "error": "\(error)"]))
        }
        do throws(WALError) {
            let repair = try WriteAheadLog.repair(on: disk, directory: walDirectory)
            lines.append(
                LogLine(
                    .info, "repaired WAL",
                    [
                        "path": repair?.file ?? walDirectory, "cut-at": "\(repair?.offset ?? 0)",
                        "copy": repair?.copy ?? "",
                    ]))
            return try WriteAheadLog.open(
                on: disk, clock: clock, directory: walDirectory, at: snapshot, options: walOptions)
        } catch {
            throw logError(error)
        }
    }

    func logError(_ error: WALError) -> MemberError {
        if case .locked = error { return MemberError(.inUse, "\(error)") }
        if case .disk(let error) = error { return MemberError(.disk, "cannot read the log: \(error)") }
        return MemberError(
            .corruption,
            "failed to read WAL, cannot be repaired: \(error); the log is in \(walDirectory) and has not been changed: "
                + "replace this member by one that starts empty, or restore a snapshot")
    }

    // MARK: Raft

    /// Log, snapshot and backend must fit together: what the backend holds has to be in the log or in the snapshot.
    private func check(
        _ contents: WALContents, _ snapshot: WALSnapshot, _ applier: Applier
    ) throws(MemberError) -> HardState {
        let consistent = applier.backend.consistentIndex
        let last = contents.entries.last?.index ?? snapshot.index
        guard consistent <= last else {
            throw MemberError(
                .corruption,
                "\(configuration.backendPath) holds the state up to entry \(consistent), but the log in \(walDirectory) "
                    + "ends at \(last): its end is lost; start from a snapshot of the backend file")
        }
        var hardState = contents.hardState
        guard hardState.commit <= last else {
            throw MemberError(
                .corruption,
                "the log in \(walDirectory) ends at entry \(last), but \(hardState.commit) were committed; start from a "
                    + "snapshot of the backend file")
        }
        // A commit index alone is not synced; what has been applied was committed.
        hardState.commit = max(hardState.commit, snapshot.index, consistent)
        return hardState
    }

    /// Raft takes up behind the last entry whose effects the backend holds, in the configuration of that entry: changes
    /// up to there must not be made twice.
    private func resume(
        _ applier: Applier, _ hardState: HardState, _ start: StartPoint, _ contents: WALContents
    ) throws(MemberError) -> RawNode<MemoryStorage> {
        var storage = MemoryStorage()
        do {
            try storage.apply(
                Snapshot(
                    metadata: SnapshotMetadata(
                        confState: applier.cluster.confState, index: start.snapshot.index, term: start.snapshot.term)))
            storage.setHardState(hardState)
            storage.append(contents.entries)
            var configuration = raftConfiguration(contents.metadata.memberID)
            configuration.applied = applier.backend.consistentIndex
            return try RawNode(configuration, storage: storage)
        } catch {
            throw MemberError(.corruption, "cannot restart raft: \(error)")
        }
    }
}

extension RaftCluster {
    /// The members as raft's configuration.
    var confState: ConfState {
        ConfState(
            voters: members.filter { !$0.isLearner }.map(\.id), learners: members.filter(\.isLearner).map(\.id))
    }
}
