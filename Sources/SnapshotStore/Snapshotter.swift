public import Base
public import Platform
public import RaftCore

/// The raft snapshot files of a member, in etcd's format: one file for each snapshot, named by term and index.
///
/// Holds no state besides the place, so any thread may use it; two must not save or purge at once.
public struct Snapshotter: Sendable {
    /// What a save cost.
    public struct SaveStatistics: Sendable, Equatable {
        public var bytes: Int
        public var writeDuration: Duration
        public var syncDuration: Duration
    }

    /// A file that could not be used at start, for the log.
    public struct Broken: Sendable, Equatable {
        public var file: String
        public var reason: SnapshotError
        /// Where it is now; nil if renaming it failed, with the reason in `renameFailure`.
        public var renamedTo: String?
        public var renameFailure: DiskError?
    }

    public let directory: String
    private let disk: any Disk
    private let clock: any Clock

    /// - Parameter directory: `member/snap`; must exist before the first call.
    public init(disk: any Disk, clock: any Clock, directory: String) {
        self.disk = disk
        self.clock = clock
        self.directory = directory
    }

    // MARK: Writing

    /// Writes a snapshot that has an index and makes it, and its name, durable. A failure leaves no file behind.
    /// Only after this may its record go into the write-ahead log.
    @discardableResult
    public func save(_ snapshot: Snapshot) throws(SnapshotError) -> SaveStatistics {
        precondition(!snapshot.isEmpty, "an empty snapshot is not saved")
        let path = join(Snapshotter.fileName(snapshot.metadata))
        let bytes = SnapshotFile.encode(snapshot)
        return try onDisk { () throws(DiskError) in
            let start = clock.now()
            do throws(DiskError) {
                let file = try disk.open(path, .truncate)
                try file.write(bytes.span.bytes, at: 0)
                let written = clock.now()
                try file.sync()
                try file.close()
                // etcd leaves this out; without it the name may be lost while the log refers to it.
                try disk.syncDirectory(directory)
                let end = clock.now()
                return SaveStatistics(
                    bytes: bytes.count, writeDuration: written - start, syncDuration: end - written)
            } catch {
                try? disk.remove(path)
                throw error
            }
        }
    }

    // MARK: Reading

    /// The names of the snapshot files, newest first: by term, then index.
    public func list() throws(SnapshotError) -> [String] {
        try names().filter { $0.hasSuffix(".snap") }.reversed()
    }

    /// Reads one file.
    public func load(_ name: String) throws(SnapshotError) -> Snapshot {
        let path = join(name)
        let bytes = try onDisk { () throws(DiskError) in
            let file = try disk.open(path, .read)
            return try file.read(at: 0, count: Int(try file.size()))
        }
        return try SnapshotFile.decode(bytes, file: path)
    }

    /// The newest snapshot that can be read and is valid. What cannot be read is renamed to `<name>.broken`, so that
    /// the next start does not meet it again, and reported; what is not valid stays.
    /// - Parameter isValid: whether the write-ahead log knows the snapshot; see `WriteAheadLog.validSnapshots`.
    public func loadNewest(
        where isValid: (SnapshotMetadata) -> Bool = { _ in true }
    ) throws(SnapshotError) -> (snapshot: Snapshot?, broken: [Broken]) {
        var broken: [Broken] = []
        for name in try list() {
            do throws(SnapshotError) {
                let snapshot = try load(name)
                if isValid(snapshot.metadata) { return (snapshot, broken) }
            } catch {
                broken.append(setAside(name, error))
            }
        }
        return (nil, broken)
    }

    private func setAside(_ name: String, _ reason: SnapshotError) -> Broken {
        let path = join(name)
        do throws(DiskError) {
            try disk.rename(path, to: path + ".broken")
            return Broken(file: path, reason: reason, renamedTo: path + ".broken")
        } catch {
            return Broken(file: path, reason: reason, renameFailure: error)
        }
    }

    // MARK: Names

    static func fileName(_ metadata: SnapshotMetadata) -> String {
        "\(hexadecimal(metadata.term.rawValue))-\(hexadecimal(metadata.index.rawValue)).snap"
    }

    /// The database that a leader sent with the snapshot at `index`, before it replaces the member's own.
    public func databasePath(_ index: LogIndex) -> String {
        join("\(Snapshotter.hexadecimal(index.rawValue)).snap.db")
    }

    static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }

    func names() throws(SnapshotError) -> [String] {
        try onDisk { () throws(DiskError) in try disk.list(directory) }
    }

    func join(_ name: String) -> String { directory + "/" + name }

    /// Removes files; what else there is stays.
    func remove(_ names: some Collection<String>) throws(SnapshotError) -> [String] {
        try onDisk { () throws(DiskError) in
            for name in names { try disk.remove(join(name)) }
            if !names.isEmpty { try disk.syncDirectory(directory) }
        }
        return names.map(join)
    }
}

/// Runs disk calls and makes their errors the snapshotter's.
func onDisk<R>(_ body: () throws(DiskError) -> R) throws(SnapshotError) -> R {
    do throws(DiskError) {
        return try body()
    } catch {
        throw .disk(error)
    }
}
