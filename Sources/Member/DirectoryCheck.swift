internal import Apply
internal import Base
internal import Bolt
internal import EtcdProto
internal import MVCC
internal import Membership
public import Platform
internal import RaftCore
internal import RaftProto
internal import SnapshotStore
internal import WAL

/// A full check of a data directory that no server uses: every record of the log, every snapshot file, every page and
/// row of the backend, and whether they fit together. Changes nothing. `martletutl check` prints it.
public struct DirectoryCheck {
    public struct Finding: Sendable, Equatable {
        public enum Level: String, Sendable { case ok, warning, problem }
        public var level: Level
        public var text: String
    }

    public private(set) var findings: [Finding] = []
    public var hasProblems: Bool { findings.contains { $0.level == .problem } }

    private let disk: any Disk
    private let configuration: MemberConfiguration
    private var commit = LogIndex.zero
    private var lastIndex = LogIndex.zero
    private var snapshots: [WALSnapshot] = []

    /// - Parameter walDirectory: nil for `member/wal` below.
    /// - Complexity: O(size of all files).
    public init(_ dataDirectory: String, walDirectory: String? = nil, on disk: any Disk) {
        self.disk = disk
        var configuration = MemberConfiguration()
        configuration.dataDirectory = dataDirectory
        configuration.walDirectory = walDirectory
        self.configuration = configuration
        checkLog()
        checkSnapshots()
        checkBackend()
    }

    private mutating func report(_ level: Finding.Level, _ text: String) {
        findings.append(Finding(level: level, text: text))
    }

    // MARK: Log

    private mutating func checkLog() {
        let directory = configuration.effectiveWALDirectory
        do {
            let names = try WriteAheadLog.segmentNames(on: disk, directory)
            for (a, b) in zip(names, names.dropFirst()) where a.sequence + 1 != b.sequence {
                report(.problem, "log: segment \(a.sequence + 1) is missing between '\(a)' and '\(b)'")
            }
            let segments = try names.map { name in
                let path = "\(directory)/\(name)"
                return SegmentFile(name: name, path: path, file: try disk.open(path, .read))
            }
            var reader = try RecordReader(segments)
            var records = 0
            do throws(WALError) {
                while let record = try reader.next() {
                    records += 1
                    try take(record, reader)
                }
            } catch {
                let level: Finding.Level = error.isRepairable ? .warning : .problem
                report(level, "log: \(error)" + (error.isRepairable ? "; a server repairs it at its start" : ""))
            }
            report(
                .ok,
                "log: \(records) records in \(names.count) segments, checksums chain; last entry \(lastIndex), "
                    + "committed \(commit), \(snapshots.count) snapshot records")
        } catch {
            report(.problem, "log: \(error)")
        }
    }

    private mutating func take(_ record: RecordReader.Record, _ reader: RecordReader) throws(WALError) {
        do throws(WireError) {
            switch RecordType(rawValue: record.type) {
            case .entry: lastIndex = try Entry(decoding: reader.buffer, in: record.data).index
            case .state: commit = try HardState(decoding: reader.buffer, in: record.data).commit
            case .snapshot: snapshots.append(try WALSnapshot(decoding: reader.buffer, in: record.data))
            case .metadata, .crc, nil: break
            }
        } catch {
            throw .malformed(file: reader.fileName, offset: record.offset, reason: error)
        }
        guard RecordType(rawValue: record.type) == nil else { return }
        throw .unknownRecordType(file: reader.fileName, offset: record.offset, type: record.type)
    }

    // MARK: Snapshots

    private mutating func checkSnapshots() {
        let snapshotter = Snapshotter(disk: disk, clock: FrozenClock(), directory: configuration.snapshotDirectory)
        let names: [String]
        do { names = try snapshotter.list() } catch { return report(.problem, "snapshots: \(error)") }
        var good = 0
        for name in names {
            do throws(SnapshotError) {
                let metadata = try snapshotter.load(name).metadata
                if snapshots.contains(where: { $0.index == metadata.index && $0.term == metadata.term }) {
                    good += 1
                } else {
                    report(.warning, "snapshots: '\(name)' has no record in the log, so it is not used")
                }
            } catch {
                report(.warning, "snapshots: \(error); a server sets it aside at its start")
            }
        }
        report(.ok, "snapshots: \(good) of \(names.count) files can be used")
    }

    // MARK: Backend

    private mutating func checkBackend() {
        let path = configuration.backendPath
        do {
            guard try disk.exists(path) else { return report(.problem, "backend: \(path) is missing") }
            var options = Database.Options()
            options.readOnly = true
            let database = try Database.open(path, on: disk, options: options)
            let problems = try database.check()
            for problem in problems { report(.problem, "backend: \(problem)") }
            let statistics = database.statistics
            if problems.isEmpty {
                report(
                    .ok,
                    "backend: \(statistics.size / Int64(statistics.pageSize)) pages reachable once, in order; "
                        + "\(statistics.bytesInUse) of \(statistics.size) bytes in use")
            }
            try database.close()
            try checkStore(path)
        } catch BoltError.locked {
            report(.problem, "backend: \(path) is in use; stop the server first")
        } catch {
            report(.problem, "backend: \(error)")
        }
    }

    private mutating func checkStore(_ path: String) throws {
        let file = try BackendFile.openUntouched(path, on: disk)
        let version = try DirectoryVersion(try file.schema())
        if let reason = version.refusal(by: ServerVersion.etcd) { report(.problem, "backend: \(reason)") }
        let backend = try Backend(try file.read())
        let store = try KeyValueStore(backend)
        report(
            .ok,
            "store: revision \(store.currentRevision), compacted at \(store.compactRevision), \(store.liveKeyCount) keys, "
                + "\(store.leaseRecords.count) leases; cluster version \(version.assumed)")
        let index = backend.consistentIndex
        if index > lastIndex, !snapshots.contains(where: { $0.index >= index }) {
            report(.problem, "store: holds the state up to entry \(index), but the log ends at \(lastIndex)")
        } else if let newest = snapshots.last(where: { $0.index <= commit }), newest.index > index {
            report(.problem, "store: holds the state up to entry \(index), behind the snapshot at \(newest.index)")
        } else {
            report(.ok, "store: holds the state up to entry \(index); \(lastIndex - min(index, lastIndex)) to apply")
        }
        try file.close()
    }
}

/// The snapshotter only measures with it.
private struct FrozenClock: Clock {
    func now() -> Instant { Instant(nanoseconds: 0) }
    func unixMilliseconds() -> Int64 { 0 }
}
