internal import Apply
package import Base
package import MVCC
internal import Membership
package import Platform
package import RaftCore
internal import SnapshotStore
internal import WAL

/// A member's state as it was read from disk, before its first turn.
package struct RestoredMember {
    package var localID: MemberID
    package var clusterID: ClusterID
    var node: RawNode<MemoryStorage>
    var applier: Applier
    var confState: ConfState
    /// The last snapshot in the log; zero when there is none.
    var snapshotIndex: LogIndex
}

/// A member's files, open and locked.
package struct OpenFiles {
    let log: WriteAheadLog
    let snapshots: Snapshotter
    let disk: any Disk
    package let backend: BackendFile

    /// What writes the log, for the thread that is to own it.
    package func makeWriter(_ configuration: MemberConfiguration, clock: any Clock) -> LogWriter {
        LogWriter(
            log: log, snapshots: snapshots, disk: disk, clock: clock, keptSegments: configuration.maxWALs,
            keptSnapshots: configuration.maxSnapshots)
    }
}

/// Brings a member up from its data directory, or founds a new one there. Formats and order: docs/formats/backend.md,
/// "Start".
package struct MemberOpener {
    let configuration: MemberConfiguration
    let disk: any Disk
    let clock: any Clock
    let seed: UInt64
    let raftLog: LogSink?
    /// Lines for the log of the process.
    package internal(set) var lines: [LogLine] = []

    package init(
        _ configuration: MemberConfiguration, disk: any Disk, clock: any Clock, seed: UInt64, raftLog: LogSink? = nil
    ) {
        self.configuration = configuration
        self.disk = disk
        self.clock = clock
        self.seed = seed
        self.raftLog = raftLog
    }

    /// - Throws: why the member cannot start; nothing that could not be undone has been done to the directory then.
    package mutating func open() throws(MemberError) -> (RestoredMember, OpenFiles) {
        try prepareDirectories()
        let hasLog = try attempt("look for a log") { try WriteAheadLog.exists(on: disk, directory: walDirectory) }
        let hasBackend = try attempt("look for a backend file") { try disk.exists(configuration.backendPath) }
        if hasLog { return try restart(hasBackend: hasBackend) }
        return try found(hasBackend: hasBackend)
    }

    private var walDirectory: String { configuration.effectiveWALDirectory }

    // MARK: Directories

    private func prepareDirectories() throws(MemberError) {
        for directory in [
            configuration.dataDirectory, configuration.memberDirectory, configuration.snapshotDirectory,
        ] { try makeDirectory(directory) }
        if let directory = configuration.walDirectory { try makeDirectory(parent(of: directory)) }
        let probe = "\(configuration.dataDirectory)/.touch"
        do {
            try disk.open(probe, .truncate).close()
            try disk.remove(probe)
            for name in try disk.list(configuration.snapshotDirectory) where name.hasPrefix("tmp") {
                try disk.remove("\(configuration.snapshotDirectory)/\(name)")
            }
        } catch {
            throw MemberError(.dataDirectory, "cannot write to data directory: \(error)")
        }
    }

    /// Creates a directory and those above it.
    private func makeDirectory(_ path: String) throws(MemberError) {
        do throws(DiskError) {
            if try disk.exists(path) {
                _ = try disk.list(path)
                return
            }
        } catch {
            throw MemberError(.dataDirectory, "cannot use \(path) as a directory: \(error)")
        }
        let above = parent(of: path)
        if above != path { try makeDirectory(above) }
        do throws(DiskError) {
            try disk.createDirectory(path)
            try disk.syncDirectory(above)
        } catch {
            if error.reason == .exists { return }
            throw MemberError(.dataDirectory, "cannot create data directory: \(error)")
        }
    }

    private func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    // MARK: A new member

    private mutating func found(hasBackend: Bool) throws(MemberError) -> (RestoredMember, OpenFiles) {
        let cluster = try foundingCluster()
        let file = try openBackendFile()
        let applier = try openStore(file, cluster)
        if hasBackend, applier.backend.consistentIndex > .zero {
            throw MemberError(
                .dataDirectory,
                "\(configuration.backendPath) holds the state up to entry \(applier.backend.consistentIndex), but there "
                    + "is no log in \(walDirectory); restore the log, or start from a snapshot")
        }
        let log: WriteAheadLog
        do {
            log = try WriteAheadLog.create(
                on: disk, clock: clock, directory: walDirectory,
                metadata: WALMetadata(memberID: cluster.localID, clusterID: cluster.id), options: walOptions)
        } catch {
            throw MemberError(.disk, "cannot create the log: \(error)")
        }
        lines.append(
            LogLine(
                .info, "starting local member",
                ["local-member-id": "\(cluster.localID)", "cluster-id": "\(cluster.id)"]))
        let node = try bootstrap(cluster)
        return (
            RestoredMember(
                localID: cluster.localID, clusterID: cluster.id, node: node, applier: applier,
                confState: ConfState(), snapshotIndex: .zero),
            OpenFiles(log: log, snapshots: snapshotter, disk: disk, backend: file)
        )
    }

    /// The cluster that `--initial-cluster` describes, its members not yet added: that is done through the log.
    private func foundingCluster() throws(MemberError) -> RaftCluster {
        if let joining = configuration.joining { return try joinedCluster(joining) }
        let members = try foundingMembers()
        guard let local = members.first(where: { $0.name == configuration.name }) else {
            throw MemberError(
                .configuration,
                "couldn't find local name \"\(configuration.name)\" in the initial cluster configuration")
        }
        guard local.peerURLs.sorted() == configuration.peerURLs.sorted() else {
            throw MemberError(
                .configuration,
                "--initial-cluster has \(list(local.peerURLs)) but missing from --initial-advertise-peer-urls="
                    + list(configuration.peerURLs))
        }
        return RaftCluster(id: ClusterID(foundedBy: members.map(\.id)), localID: local.id)
    }

    func foundingMembers() throws(MemberError) -> [ClusterMember] {
        var urls: [(name: String, urls: [String])] = []
        for pair in configuration.initialCluster {
            if let i = urls.firstIndex(where: { $0.name == pair.name }) {
                urls[i].urls.append(pair.peerURL)
            } else {
                urls.append((pair.name, [pair.peerURL]))
            }
        }
        return urls.map {
            let id = MemberID(peerURLs: $0.urls, token: configuration.initialClusterToken)
            return ClusterMember(id: id, peerURLs: $0.urls, name: $0.name)
        }
    }

    func list(_ urls: [String]) -> String { urls.joined(separator: ",") }

    /// A raft node whose log begins with the additions of the founding members.
    private func bootstrap(_ cluster: RaftCluster) throws(MemberError) -> RawNode<MemoryStorage> {
        if configuration.joining != nil { return try blankNode(cluster) }
        let peers = try foundingMembers().sorted { $0.id < $1.id }.map {
            Peer(id: $0.id, context: Array($0.json.text.utf8))
        }
        do {
            var node = try RawNode(raftConfiguration(cluster.localID), storage: MemoryStorage())
            try node.bootstrap(peers)
            return node
        } catch {
            throw MemberError(.configuration, "cannot start raft: \(error)")
        }
    }

    // MARK: A member that has run before

    private mutating func restart(hasBackend: Bool) throws(MemberError) -> (RestoredMember, OpenFiles) {
        let snapshot: WALSnapshot
        do {
            let valid = try WriteAheadLog.validSnapshots(on: disk, directory: walDirectory)
            snapshot = valid.last ?? WALSnapshot()
        } catch {
            throw MemberError(.corruption, "cannot read the log: \(error)")
        }
        guard hasBackend || snapshot.index == .zero else {
            throw MemberError(
                .dataDirectory,
                "database file (\(configuration.backendPath)) of the backend is missing, and the log begins only at "
                    + "entry \(snapshot.index.next()); restore the file, or start from a snapshot")
        }
        let file = try finishInstallation(of: snapshot, in: openBackendFile())
        let (log, contents) = try openLog(at: snapshot)
        let localID = contents.metadata.memberID
        let applier = try openStore(
            file, RaftCluster(id: contents.metadata.clusterID, localID: localID), recoversCluster: true)
        let restored = try check(contents, snapshot, applier)
        lines.append(
            LogLine(
                .info, "restarting local member",
                [
                    "cluster-id": "\(contents.metadata.clusterID)", "local-member-id": "\(localID)",
                    "commit-index": "\(restored.hardState.commit)",
                ]))
        let isBlank = contents.entries.isEmpty && snapshot.index == .zero && restored.hardState.isEmpty
        let node = try isBlank ? refound(localID) : resume(localID, restored, snapshot, contents.entries)
        return (
            RestoredMember(
                localID: localID, clusterID: contents.metadata.clusterID, node: node, applier: applier,
                confState: restored.confState, snapshotIndex: snapshot.index),
            OpenFiles(log: log, snapshots: snapshotter, disk: disk, backend: file)
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

    private mutating func openLog(at snapshot: WALSnapshot) throws(MemberError) -> (WriteAheadLog, WALContents) {
        do throws(WALError) {
            return try WriteAheadLog.open(
                on: disk, clock: clock, directory: walDirectory, at: snapshot, options: walOptions)
        } catch {
            guard error.isRepairable else { throw logError(error) }
            lines.append(LogLine(.warn, "repairing WAL", ["dir": walDirectory, "error": "\(error)"]))
        }
        do throws(WALError) {
            _ = try WriteAheadLog.repair(on: disk, directory: walDirectory)
            lines.append(LogLine(.info, "repaired WAL", ["dir": walDirectory]))
            return try WriteAheadLog.open(
                on: disk, clock: clock, directory: walDirectory, at: snapshot, options: walOptions)
        } catch {
            throw logError(error)
        }
    }

    private func logError(_ error: WALError) -> MemberError {
        if case .locked = error { return MemberError(.inUse, "\(error)") }
        if case .disk(let error) = error { return MemberError(.disk, "cannot read the log: \(error)") }
        return MemberError(.corruption, "failed to read WAL, cannot be repaired: \(error)")
    }

    /// Log, snapshot and backend must fit together: what the backend holds has to be in the log or in the snapshot.
    private func check(
        _ contents: WALContents, _ snapshot: WALSnapshot, _ applier: Applier
    ) throws(MemberError) -> (hardState: HardState, confState: ConfState) {
        let consistent = applier.backend.consistentIndex
        guard consistent >= snapshot.index else {
            throw MemberError(
                .corruption,
                "failed to recover v3 backend from snapshot: \(configuration.backendPath) holds the state up to entry "
                    + "\(consistent), but the log begins at \(snapshot.index); restore the file, or start from a snapshot"
            )
        }
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
        hardState.commit = max(hardState.commit, snapshot.index)
        let voters = applier.cluster.members.filter { !$0.isLearner }.map(\.id)
        let learners = applier.cluster.members.filter(\.isLearner).map(\.id)
        return (hardState, ConfState(voters: voters, learners: learners))
    }

    private func resume(
        _ localID: MemberID, _ restored: (hardState: HardState, confState: ConfState), _ snapshot: WALSnapshot,
        _ entries: [Entry]
    ) throws(MemberError) -> RawNode<MemoryStorage> {
        var storage = MemoryStorage()
        do {
            // The membership is the backend's: changes up to its index are not handed to raft again.
            try storage.apply(
                Snapshot(
                    metadata: SnapshotMetadata(
                        confState: restored.confState, index: snapshot.index, term: snapshot.term)))
            storage.setHardState(restored.hardState)
            storage.append(entries)
            var configuration = raftConfiguration(localID)
            configuration.applied = snapshot.index
            return try RawNode(configuration, storage: storage)
        } catch {
            throw MemberError(.corruption, "cannot restart raft: \(error)")
        }
    }

    func raftConfiguration(_ localID: MemberID) -> Config {
        var config = Config(id: localID, electionTicks: configuration.electionTicks, heartbeatTicks: 1)
        config.asyncStorageWrites = true
        config.maxSizePerMessage = 1 << 20
        config.maxCommittedSizePerReady = MemberLimits.appliedBytesPerReady
        config.maxUncommittedSize = MemberLimits.uncommittedLogBytes
        config.maxInflightMessages = 512
        config.checkQuorum = true
        config.preVote = configuration.preVote
        config.seed = seed
        config.log = raftLog
        return config
    }

    // MARK: Files

    private var walOptions: WriteAheadLog.Options {
        var options = WriteAheadLog.Options()
        options.syncs = !configuration.unsafeNoSync
        return options
    }

    var snapshotter: Snapshotter {
        Snapshotter(disk: disk, clock: clock, directory: configuration.snapshotDirectory)
    }

    mutating func openBackendFile() throws(MemberError) -> BackendFile {
        let start = clock.now()
        let file: BackendFile
        do throws(BackendError) {
            file = try BackendFile.open(configuration.backendPath, on: disk, options: configuration.backendFileOptions)
        } catch .locked {
            throw MemberError(
                .inUse,
                "db file \(configuration.backendPath) is flocked by another process; stop it, or use another --data-dir"
            )
        } catch {
            throw MemberError(.corruption, "failed to open database: \(error)")
        }
        do { try disk.syncDirectory(configuration.snapshotDirectory) } catch {
            throw MemberError(.disk, "cannot open the backend file: \(error)")
        }
        lines.append(
            LogLine(
                .info, "opened backend db", ["path": configuration.backendPath, "took": "\(clock.now() - start)"]))
        return file
    }

    private mutating func openStore(
        _ file: BackendFile, _ blank: RaftCluster, recoversCluster: Bool = false
    ) throws(MemberError) -> Applier {
        do {
            let backend = try Backend(try file.read(), limits: configuration.backendLimits)
            let store = try KeyValueStore(backend)
            lines.append(LogLine(.info, "kvstore restored", ["current-rev": "\(store.currentRevision)"]))
            let cluster =
                recoversCluster
                ? try RaftCluster(id: blank.id, localID: blank.localID, recoveringFrom: backend) : blank
            return try Applier(
                store, cluster: cluster, limits: ApplyLimits(quotaBytes: configuration.quotaBytes ?? 0))
        } catch {
            throw MemberError(.corruption, "cannot read \(configuration.backendPath): \(error)")
        }
    }

    func attempt<Result>(_ what: String, _ body: () throws -> Result) throws(MemberError) -> Result {
        do { return try body() } catch { throw MemberError(.dataDirectory, "cannot \(what): \(error)") }
    }
}
