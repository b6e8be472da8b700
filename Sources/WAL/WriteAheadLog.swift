public import Base
internal import Platform
public import RaftCore

/// A member's log of entries and hard states on disk, in etcd's format (`docs/formats/wal.md`).
///
/// One thread owns it and makes all calls; only `pipeline` may be used from others. After a failed write or sync the
/// log refuses everything with `.failed`, because what is on disk is then unknown: it has to be opened, and perhaps
/// repaired, again.
///
/// Invariants:
/// 1. Segments below the last one end with their data; the last one holds zeros from `offset` on.
/// 2. `encoder.crc` covers the data of all records up to `offset`.
/// 3. Every held segment is locked against other processes.
public final class WriteAheadLog {
    public struct Options: Sendable {
        /// A segment is closed once it has grown to this many bytes.
        public var segmentSize: Int64 = 64_000_000
        /// Whether syncs happen at all (`--unsafe-no-fsync` turns them off, and with them every promise).
        public var syncs = true

        public init() {}
    }

    /// What a save cost.
    public struct SaveStatistics: Sendable, Equatable {
        public var bytes = 0
        public var writeDuration: Duration = .zero
        /// Nil if there was no sync.
        public var syncDuration: Duration?
        /// Whether a new segment was begun: time to prepare the next one.
        public var isCut = false

        public init() {}
    }

    /// The next segment, made ahead.
    public let pipeline: SegmentPipeline
    public let directory: String
    /// The index of the last entry that was written.
    public private(set) var lastIndex: LogIndex

    /// The segment that records are written to.
    public var tailPath: String { segments[segments.count - 1].path }

    private let disk: any Disk
    private let clock: any Clock
    private let options: Options
    private let metadata: [UInt8]
    private var segments: [SegmentFile]
    /// Where the next record goes in the last segment.
    private var offset: Int64
    private var encoder: RecordEncoder
    private var hardState: HardState
    private var isUsable = true

    /// What a log is made of when it has been created or read.
    struct Opened {
        var segments: [SegmentFile]
        var offset: Int64
        var crc: UInt32
        var metadata: [UInt8]
        var hardState: HardState
        var lastIndex: LogIndex
    }

    init(disk: any Disk, clock: any Clock, directory: String, options: Options, opened: Opened) {
        precondition(!opened.segments.isEmpty)
        self.disk = disk
        self.clock = clock
        self.directory = directory
        self.options = options
        pipeline = SegmentPipeline(disk: disk, directory: directory, size: options.segmentSize)
        segments = opened.segments
        offset = opened.offset
        encoder = RecordEncoder(crc: opened.crc)
        metadata = opened.metadata
        hardState = opened.hardState
        lastIndex = opened.lastIndex
    }

    // MARK: Writing

    /// Whether a save must be synced before anything that depends on it is sent or applied: if it has entries, or a
    /// term or vote other than the last saved one. A commit index alone need not be.
    public func requiresSync(hardState: HardState?, entries: [Entry]) -> Bool {
        if !entries.isEmpty { return true }
        guard let hardState else { return false }
        return hardState.term != self.hardState.term || hardState.vote != self.hardState.vote
    }

    /// Appends entries, then the hard state, with one write and at most one sync; begins a new segment when this one is
    /// full. O(bytes).
    /// - Parameters:
    ///   - hardState: nil or empty if it has not changed.
    ///   - entries: consecutive, the first at most one behind `lastIndex`; those from its index on are replaced.
    ///   - sync: whether the call returns only when everything saved so far is durable. May be false where
    ///     `requiresSync` says so, or when the caller calls `sync` itself before it acts on the save.
    @discardableResult
    public func save(
        hardState: HardState?, entries: [Entry], sync: Bool
    ) throws(WALError) -> SaveStatistics {
        try checkUsable()
        if let first = entries.first {
            precondition(
                first.index > .zero && first.index <= lastIndex.next(), "entry \(first.index) after \(lastIndex)")
        }
        var expected = entries.first?.index ?? lastIndex
        for entry in entries {
            precondition(entry.index == expected, "entry \(entry.index), expected \(expected)")
            encoder.append(entry)
            lastIndex = expected
            expected = expected.next()
        }
        if let hardState, !hardState.isEmpty {
            encoder.append(hardState)
            self.hardState = hardState
        }
        return try flush(sync: sync)
    }

    /// Appends the record of a snapshot, which must be durable itself, and syncs. `lastIndex` moves up to it.
    @discardableResult
    public func saveSnapshot(_ snapshot: WALSnapshot) throws(WALError) -> SaveStatistics {
        try checkUsable()
        encoder.append(snapshot)
        lastIndex = max(lastIndex, snapshot.index)
        return try flush(sync: true)
    }

    /// Makes everything saved so far durable.
    /// - Returns: how long it took.
    @discardableResult
    public func sync() throws(WALError) -> Duration {
        try checkUsable()
        let start = clock.now()
        try attempt { () throws(DiskError) in try syncTail() }
        return clock.now() - start
    }

    private func flush(sync: Bool) throws(WALError) -> SaveStatistics {
        var statistics = SaveStatistics()
        statistics.bytes = encoder.buffer.count
        if statistics.bytes == 0 { return statistics }
        let start = clock.now()
        try attempt { () throws(DiskError) in try write(encoder.buffer, to: tail.file, at: offset) }
        offset += Int64(statistics.bytes)
        encoder.clear()
        let written = clock.now()
        statistics.writeDuration = written - start
        if offset >= options.segmentSize {
            try attempt { () throws(DiskError) in try cut() }
            statistics.isCut = true
        } else if sync && options.syncs {
            try attempt { () throws(DiskError) in try tail.file.syncData() }
        } else {
            return statistics
        }
        statistics.syncDuration = clock.now() - written
        return statistics
    }

    /// Closes the last segment at its data and begins the next one. The order matters: the old one is durable before
    /// the new one exists, and the new one has a durable head before it has its name.
    private func cut() throws(DiskError) {
        try tail.file.truncate(to: offset)
        try syncTail()
        let name = SegmentName(sequence: tail.name.sequence + 1, index: lastIndex.next())
        let prepared = try pipeline.take()
        encoder.appendHead(metadata: metadata, hardState: hardState)
        let headSize = encoder.buffer.count
        try write(encoder.buffer, to: prepared.file, at: 0)
        encoder.clear()
        if options.syncs { try prepared.file.syncData() }
        let path = join(directory, name.description)
        try disk.rename(prepared.path, to: path)
        if options.syncs { try disk.syncDirectory(directory) }
        // Errors of the file shall carry its final name from now on.
        try prepared.file.close()
        segments.append(try SegmentFile.openLocked(name, on: disk, at: path))
        offset = Int64(headSize)
    }

    // MARK: Letting go

    /// Gives up the locks on segments that are not needed to read from `index` on, so that `purge` may remove them: all
    /// below the newest one that begins before `index`.
    public func releaseLocks(upTo index: LogIndex) throws(WALError) {
        let firstBehind = segments.firstIndex { $0.name.index >= index } ?? segments.count
        let released = segments.prefix(max(0, firstBehind - 1))
        try onDisk { () throws(DiskError) in for segment in released { try segment.file.close() } }
        segments.removeFirst(released.count)
    }

    /// Syncs, gives up all locks and removes the prepared segment. Further calls fail with `.failed`.
    public func close() throws(WALError) {
        pipeline.close()
        guard isUsable else { return }
        try attempt { () throws(DiskError) in
            try syncTail()
            for segment in segments { try segment.file.close() }
        }
        isUsable = false
    }

    private var tail: SegmentFile { segments[segments.count - 1] }

    private func syncTail() throws(DiskError) {
        if options.syncs { try tail.file.syncData() }
    }

    private func checkUsable() throws(WALError) {
        guard isUsable else { throw .failed(file: join(directory, tail.name.description)) }
    }

    private func attempt(_ body: () throws(DiskError) -> Void) throws(WALError) {
        do throws(DiskError) {
            try body()
        } catch {
            isUsable = false
            throw .disk(error)
        }
    }
}

/// A call of its own, so that the buffer is not held when it is cleared afterwards and keeps its memory.
private func write(_ bytes: [UInt8], to file: any DiskFile, at offset: Int64) throws(DiskError) {
    try file.write(bytes.span.bytes, at: offset)
}

extension SegmentFile {
    /// Opens a segment for writing and takes its lock.
    static func openLocked(_ name: SegmentName, on disk: any Disk, at path: String) throws(DiskError) -> SegmentFile {
        let file = try disk.open(path, .readWrite)
        try file.lock(.openFileDescription)
        return SegmentFile(name: name, path: path, file: file)
    }
}

extension RecordEncoder {
    /// The records at the head of a segment that follows another one.
    mutating func appendHead(metadata: [UInt8], hardState: HardState) {
        appendChecksum()
        append(.metadata, metadata)
        if !hardState.isEmpty { append(hardState) }
    }
}
