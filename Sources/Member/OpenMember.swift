internal import Apply
internal import Auth
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
    /// The snapshot in the log that the member started from; zero when there is none.
    var snapshotIndex: LogIndex
    /// What the cluster version is taken to be as long as none has been agreed on.
    var assumedVersion: SemanticVersion
    /// The segment that the log goes on in.
    var logFile: String
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
    let passwords: any Passwords
    let raftLog: LogSink?
    /// Lines for the log of the process.
    package internal(set) var lines: [LogLine] = []

    package init(
        _ configuration: MemberConfiguration, disk: any Disk, clock: any Clock, seed: UInt64,
        passwords: any Passwords, raftLog: LogSink? = nil
    ) {
        self.passwords = passwords
        self.configuration = configuration
        self.disk = disk
        self.clock = clock
        self.seed = seed
        self.raftLog = raftLog
    }

    /// - Throws: why the member cannot start; nothing that could not be undone has been done to the directory then, and
    ///   nothing at all if a newer version wrote it.
    package mutating func open() throws(MemberError) -> (RestoredMember, OpenFiles) {
        let existing = try openExistingBackend()
        try prepareDirectories()
        let hasLog = try attempt("look for a log") { try WriteAheadLog.exists(on: disk, directory: walDirectory) }
        if hasLog { return try restart(existing) }
        return try found(existing)
    }

    var walDirectory: String { configuration.effectiveWALDirectory }

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

    private mutating func found(_ existing: ExistingBackend?) throws(MemberError) -> (RestoredMember, OpenFiles) {
        let cluster = try foundingCluster()
        let file: BackendFile
        if let existing { file = existing.file } else { file = try openBackendFile() }
        try prepare(file)
        let applier = try openStore(file, cluster)
        if existing != nil, applier.backend.consistentIndex > .zero {
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
                confState: ConfState(), snapshotIndex: .zero, assumedVersion: ServerVersion.etcd.majorMinor,
                logFile: log.tailPath),
            OpenFiles(log: log, snapshots: snapshotter, disk: disk, backend: file)
        )
    }

    /// The cluster that `--initial-cluster` describes, its members not yet added: that is done through the log.
    func foundingCluster() throws(MemberError) -> RaftCluster {
        if let joining = configuration.joining { return try joinedCluster(joining) }
        try configuration.validateInitialCluster(joins: false)
        let members = configuration.foundingMembers()
        guard let local = members.first(where: { $0.name == configuration.name }) else {
            preconditionFailure("validated, and \(configuration.name) is not in the initial cluster")
        }
        return RaftCluster(id: ClusterID(foundedBy: members.map(\.id)), localID: local.id)
    }

    func list(_ urls: [String]) -> String { urls.joined(separator: ",") }

    /// A raft node whose log begins with the additions of the founding members.
    func bootstrap(_ cluster: RaftCluster) throws(MemberError) -> RawNode<MemoryStorage> {
        if configuration.joining != nil { return try blankNode(cluster) }
        let peers = configuration.foundingMembers().sorted { $0.id < $1.id }.map {
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

    // MARK: Raft

    func raftConfiguration(_ localID: MemberID) -> Config {
        var config = Config(id: localID, electionTicks: configuration.electionTicks, heartbeatTicks: 1)
        config.asyncStorageWrites = true
        config.maxSizePerMessage = 1 << 20
        config.maxCommittedSizePerReady = MemberLimits.appliedBytesPerReady
        config.maxUncommittedSize = MemberLimits.uncommittedLogBytes
        config.maxInflightMessages = 512
        config.checkQuorum = true
        config.checksQuorumEachTick = true
        config.campaignsInTurn = true
        config.repeatsProbesEmpty = true
        config.preVote = configuration.preVote
        config.seed = seed
        config.log = raftLog
        return config
    }

    // MARK: Files

    var walOptions: WriteAheadLog.Options {
        var options = WriteAheadLog.Options()
        options.syncs = !configuration.unsafeNoSync
        options.segmentSize = configuration.logSegmentBytes
        return options
    }

    var snapshotter: Snapshotter {
        Snapshotter(disk: disk, clock: clock, directory: configuration.snapshotDirectory)
    }

    /// Opens the backend file without writing to it, if it is there; creates it otherwise.
    mutating func openBackendFile() throws(MemberError) -> BackendFile {
        let start = clock.now()
        let file: BackendFile
        do throws(BackendError) {
            file = try BackendFile.openUntouched(
                configuration.backendPath, on: disk, options: configuration.backendFileOptions)
        } catch .locked {
            throw MemberError(
                .inUse,
                "db file \(configuration.backendPath) is flocked by another process; stop it, or use another --data-dir"
            )
        } catch {
            throw MemberError(
                .corruption,
                "failed to open database: \(error); restore the file from a backup, or start from a snapshot")
        }
        if let notice = file.notice {
            lines.append(
                LogLine(.warn, "the backend file was damaged and could be used all the same", ["reason": notice]))
        }
        lines.append(
            LogLine(
                .info, "opened backend db", ["path": configuration.backendPath, "took": "\(clock.now() - start)"]))
        return file
    }

    /// Makes an open backend file ready for use.
    func prepare(_ file: BackendFile) throws(MemberError) {
        do {
            try file.createBuckets()
            try disk.syncDirectory(configuration.snapshotDirectory)
        } catch {
            throw MemberError(.disk, "cannot open the backend file: \(error)")
        }
    }

    mutating func openStore(_ file: BackendFile, _ cluster: RaftCluster) throws(MemberError) -> Applier {
        do {
            let applier = try configuration.openApplier(try file.read(), passwords) { _ in cluster }
            lines.append(LogLine(.info, "kvstore restored", ["current-rev": "\(applier.store.currentRevision)"]))
            return applier
        } catch {
            throw MemberError(.corruption, "cannot read \(configuration.backendPath): \(error)")
        }
    }

    func attempt<Result>(_ what: String, _ body: () throws -> Result) throws(MemberError) -> Result {
        do { return try body() } catch { throw MemberError(.dataDirectory, "cannot \(what): \(error)") }
    }
}
