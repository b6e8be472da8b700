internal import Apply
internal import Base
internal import MVCC
internal import Membership
internal import Platform
internal import RaftCore
internal import SnapshotStore
internal import WAL

// Which snapshot a restart begins at, and which membership counts: docs/decisions/093-which-membership-counts.md.
extension MemberOpener {
    /// The backend; or the one that a leader sent, if the member stopped before that had taken its place.
    mutating func upToDate(
        _ backend: ExistingBackend, _ valid: [WALSnapshot]
    ) throws(MemberError) -> ExistingBackend {
        guard let newest = valid.last, newest.index.rawValue > backend.schema.consistentIndex else { return backend }
        let received = snapshotter.databasePath(newest.index)
        guard try attempt("look for a received database", { try disk.exists(received) }) else { return backend }
        do {
            try backend.file.close()
            try disk.rename(received, to: configuration.backendPath)
            try disk.syncDirectory(configuration.snapshotDirectory)
        } catch {
            throw MemberError(.disk, "cannot put \(received) in the place of \(configuration.backendPath): \(error)")
        }
        lines.append(
            LogLine(
                .info, "recovered v3 backend from snapshot", ["path": received, "snapshot-index": "\(newest.index)"]))
        return try inspect(try openBackendFile())
    }

    /// The newest snapshot in the log that the backend has reached.
    mutating func startPoint(
        _ backend: ExistingBackend, _ valid: [WALSnapshot]
    ) throws(MemberError) -> StartPoint {
        let consistent = backend.schema.consistentIndex
        let usable = valid.filter { $0.index.rawValue <= consistent }
        guard let newest = valid.last else { return StartPoint(snapshot: WALSnapshot()) }
        guard let last = usable.last else {
            throw MemberError(
                .corruption,
                "failed to recover v3 backend from snapshot: \(configuration.backendPath) holds the state up to entry "
                    + "\(consistent), but the log in \(walDirectory) begins at \(newest.index.next()); restore the file, "
                    + "or start from a snapshot")
        }
        if last != newest {
            lines.append(
                LogLine(
                    .warn, "the backend is behind the last snapshot; starting from an older one",
                    [
                        "path": configuration.backendPath, "consistent-index": "\(consistent)",
                        "snapshot-index": "\(newest.index)", "older-snapshot-index": "\(last.index)",
                    ]))
        }
        return try withMembership(backend, usable, last)
    }

    /// Up to 3.5 the snapshot files hold the membership that counts; since then the backend does.
    private mutating func withMembership(
        _ backend: ExistingBackend, _ usable: [WALSnapshot], _ last: WALSnapshot
    ) throws(MemberError) -> StartPoint {
        guard backend.version.assumed < DirectoryVersion.modern else {
            let loaded = try loadSnapshot(usable)
            // Behind an older one the log is not read from there.
            let isLast = loaded?.metadata.index == last.index
            return StartPoint(snapshot: last, witness: isLast ? loaded.flatMap { membership(in: $0) } : nil)
        }
        var usable = usable
        var loaded = try loadSnapshot(usable)
        if loaded == nil {
            // Older ones may do.
            do {
                usable = try WriteAheadLog.validSnapshots(on: disk, directory: walDirectory)
                    .filter { $0.index.rawValue <= backend.schema.consistentIndex }
            } catch {
                throw logError(error)
            }
            loaded = try loadSnapshot(usable)
        }
        guard let loaded else {
            // Without a file the log tells it, if it reaches back to the founding.
            return usable.first?.index == .zero
                ? StartPoint(snapshot: usable[0], cluster: RaftCluster(id: ClusterID(0), localID: .none))
                : StartPoint(snapshot: last)
        }
        guard let cluster = membership(in: loaded) else { return StartPoint(snapshot: last) }
        let start = usable.last { $0.index == loaded.metadata.index } ?? last
        return StartPoint(snapshot: start, cluster: cluster)
    }

    /// nil, and a line in the log, when it cannot be read.
    private mutating func membership(in snapshot: Snapshot) -> RaftCluster? {
        do { return try RaftCluster(id: ClusterID(0), localID: .none, v2StoreSnapshot: snapshot.data) } catch {
            lines.append(
                LogLine(
                    .warn, "the membership in a snapshot file cannot be read; taking the backend's",
                    ["snapshot-index": "\(snapshot.metadata.index)", "error": "\(error)"]))
            return nil
        }
    }

    /// The newest snapshot file that can be read and that the log knows. Broken ones are set aside.
    private mutating func loadSnapshot(_ usable: [WALSnapshot]) throws(MemberError) -> Snapshot? {
        do {
            let (snapshot, broken) = try snapshotter.loadNewest { metadata in
                usable.contains { $0.index == metadata.index && $0.term == metadata.term }
            }
            for file in broken {
                lines.append(
                    LogLine(
                        .warn, "renamed to a broken snap file",
                        [
                            "path": file.file, "error": "\(file.reason)",
                            "broken-path": file.renamedTo ?? "not renamed: \(file.renameFailure?.description ?? "")",
                        ]))
            }
            return snapshot
        } catch {
            throw MemberError(.disk, "cannot read the snapshot files: \(error)")
        }
    }

    // MARK: Membership

    /// The membership as of the entry that the backend has reached.
    mutating func cluster(
        at consistent: LogIndex, _ start: StartPoint, _ contents: WALContents, _ backend: ExistingBackend
    ) throws(MemberError) -> RaftCluster {
        let metadata = contents.metadata
        guard let base = start.cluster else {
            do {
                return try RaftCluster(
                    id: metadata.clusterID, localID: metadata.memberID,
                    recoveringFrom: try Backend(try backend.file.read()))
            } catch {
                throw MemberError(.corruption, "cannot read the members in \(configuration.backendPath): \(error)")
            }
        }
        return replay(contents, through: consistent, on: base, version: backend.version.cluster)
    }

    /// What the log makes of the membership that a snapshot holds.
    private mutating func replay(
        _ contents: WALContents, through last: LogIndex, on base: RaftCluster, version: SemanticVersion?
    ) -> RaftCluster {
        var replay = MembershipReplay(
            from: RaftCluster(
                id: contents.metadata.clusterID, localID: contents.metadata.memberID, members: base.members,
                removed: base.removed, version: version ?? base.version), learnerLimit: configuration.learnerLimit)
        for entry in contents.entries where entry.index <= last { replay.apply(entry) }
        if replay.legacyRequests > 0 {
            lines.append(
                LogLine(
                    .info, "the log holds requests of the v2 API, from members up to 3.5",
                    ["count": "\(replay.legacyRequests)"]))
        }
        return replay.cluster
    }

    /// Since 3.6 the backend's membership counts. That snapshot and log come to the same is a check of both.
    mutating func compareMembership(of applier: Applier, _ start: StartPoint, _ contents: WALContents) {
        guard let witness = start.witness else { return }
        let expected = replay(contents, through: applier.backend.consistentIndex, on: witness, version: nil)
        for difference in applier.cluster.differences(from: expected) {
            lines.append(
                LogLine(
                    .warn,
                    "the backend's list of members is not that of the snapshot and the log; taking the backend's",
                    [
                        "path": configuration.backendPath, "snapshot-index": "\(start.snapshot.index)",
                        "difference": difference,
                    ]))
        }
    }

    /// Makes the backend say which members there are, where an older program left something else.
    mutating func reconcile(_ applier: Applier, with start: StartPoint) throws(MemberError) {
        if start.cluster != nil {
            let differences: [String]
            do { differences = try applier.cluster.correctRows(in: applier.backend) } catch {
                throw MemberError(.corruption, "cannot read the members in \(configuration.backendPath): \(error)")
            }
            for difference in differences {
                lines.append(
                    LogLine(
                        .warn, "corrected the backend's list of members, which an older version did not keep",
                        ["path": configuration.backendPath, "difference": difference]))
            }
        }
        let state = applier.cluster.confState
        if let stored = applier.backend.storedConfState, stored != state, applier.backend.consistentIndex > .zero {
            lines.append(
                LogLine(
                    .warn, "the backend names another raft configuration, as a restore leaves it; taking the members",
                    ["stored": "\(stored.voters) \(stored.learners)", "members": "\(state.voters) \(state.learners)"]))
            applier.backend.setConfState(state)
        }
    }
}
