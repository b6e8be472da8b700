public import Base
internal import EtcdProto
public import Platform
public import RaftCore
internal import RaftProto

/// What a log holds from a snapshot on.
public struct WALContents: Sendable {
    public var metadata: WALMetadata
    /// The last one in the log.
    public var hardState: HardState
    /// Consecutive, from the one behind the snapshot.
    public var entries: [Entry]
}

extension WriteAheadLog {
    /// Opens a log for appending and reads what follows `snapshot`, which must be one of `validSnapshots`.
    ///
    /// Bytes behind the last record are zeroed, so that they cannot come to look like records later. Fails with a
    /// repairable `.unexpectedEnd` if a crash has torn the last record: `repair` once, then open again.
    public static func open(
        on disk: any Disk, clock: any Clock, directory: String, at snapshot: WALSnapshot, options: Options = Options()
    ) throws(WALError) -> (log: WriteAheadLog, contents: WALContents) {
        let all = try segmentNames(on: disk, directory)
        guard let start = all.lastIndex(where: { $0.index <= snapshot.index }) else {
            throw .noSegment(directory: directory, index: snapshot.index)
        }
        let names = all[start...]
        for (a, b) in zip(names, names.dropFirst()) where b.sequence != a.sequence + 1 {
            throw .missingSegment(file: b.description, expected: a.sequence + 1, found: b.sequence)
        }
        var segments: [SegmentFile] = []
        for name in names {
            do throws(DiskError) {
                segments.append(
                    try SegmentFile.openLocked(name, on: disk, at: join(directory, name.description)))
            } catch {
                throw error.reason == .locked ? .locked(file: error.path) : .disk(error)
            }
        }
        var reading = Reading(directory: directory, start: snapshot)
        var reader = try RecordReader(segments)
        while let record = try reader.next() { try reading.take(record, from: reader) }
        guard reader.offset > 0 else { throw .emptySegment(file: reader.fileName) }
        guard reading.foundStart else { throw .snapshotNotFound(directory: directory, index: snapshot.index) }
        guard let data = reading.metadata else { throw .metadataMissing(directory: directory) }
        let metadata: WALMetadata
        do throws(WireError) {
            metadata = try WALMetadata(decoding: data)
        } catch {
            throw .malformed(file: names[start].description, offset: 0, reason: error)
        }
        let contents = WALContents(metadata: metadata, hardState: reading.hardState, entries: reading.entries)
        let tail = segments[segments.count - 1].file
        let end = reader.offset
        try onDisk { () throws(DiskError) in
            try clearTail(tail, from: end)
            // Before new records come: a crash must not mix their sectors with what lay there.
            if options.syncs { try tail.syncData() }
        }
        let log = WriteAheadLog(
            disk: disk, clock: clock, directory: directory, options: options,
            opened: Opened(
                segments: segments, offset: end, crc: reader.crc.value, metadata: data,
                hardState: reading.hardState, lastIndex: max(reading.lastIndex, snapshot.index)))
        return (log, contents)
    }

    /// Leaves zeros from `end` on, and the file as long as it was.
    private static func clearTail(_ file: any DiskFile, from end: Int64) throws(DiskError) {
        let size = try file.size()
        if size == end { return }
        try file.truncate(to: end)
        do throws(DiskError) {
            try file.allocate(upTo: size)
        } catch {
            // On a full disk a log that cannot reserve its space must still open.
            guard error.reason == .noSpace else { throw error }
        }
    }

    /// The snapshots from which the log can be opened, oldest first: those whose index the last hard state has
    /// committed. A snapshot file without such a record, or with one beyond the commit, was not finished before a
    /// crash.
    ///
    /// Reads segments from the last one back, without locks or changes. A torn end passes: `open` will find it.
    /// - Parameter index: once a snapshot at or before it is found, only the heads of the other segments are read, to
    ///   see that they are the same member's; nil to read everything.
    /// - Complexity: O(bytes of the segments that are read).
    public static func validSnapshots(
        on disk: any Disk, directory: String, reaching index: LogIndex? = nil
    ) throws(WALError) -> [WALSnapshot] {
        let names = try segmentNames(on: disk, directory)
        var snapshots: [WALSnapshot] = []
        var commit: LogIndex?
        var metadata: [UInt8]?
        var isEnough = false
        for position in names.indices.reversed() {
            // What lies in front of a gap cannot be reached any more: a removal of old segments was cut short.
            if position + 1 < names.count, names[position].sequence + 1 != names[position + 1].sequence { break }
            let found = try scan(
                names[position], isLast: position + 1 == names.count, headOnly: isEnough, on: disk, directory)
            if let metadata, let other = found.metadata, metadata != other {
                throw .metadataConflict(file: names[position].description, offset: 0)
            }
            metadata = metadata ?? found.metadata
            snapshots = found.snapshots + snapshots
            commit = commit ?? found.commit
            if let index, let commit, snapshots.contains(where: { $0.index <= min(index, commit) }) { isEnough = true }
        }
        return snapshots.filter { $0.index <= commit ?? .zero }
    }

    /// The snapshots in one segment, the commit index of its last hard state, and whose it is; nil for what is not
    /// there.
    /// - Parameter headOnly: only up to the metadata.
    private static func scan(
        _ name: SegmentName, isLast: Bool, headOnly: Bool, on disk: any Disk, _ directory: String
    ) throws(WALError) -> (snapshots: [WALSnapshot], commit: LogIndex?, metadata: [UInt8]?) {
        let path = join(directory, name.description)
        let file = try onDisk { () throws(DiskError) in try disk.open(path, .read) }
        var snapshots: [WALSnapshot] = []
        var commit: LogIndex?
        var metadata: [UInt8]?
        var reader = try RecordReader([SegmentFile(name: name, path: path, file: file)], endsLog: isLast)
        do throws(WALError) {
            while let record = try reader.next() {
                switch RecordType(rawValue: record.type) {
                case .snapshot:
                    snapshots.append(
                        try reader.decode(record) { bytes, range throws(WireError) in
                            try WALSnapshot(decoding: bytes, in: range)
                        })
                case .state:
                    commit = try reader.decode(record) { bytes, range throws(WireError) in
                        try HardState(decoding: bytes, in: range).commit
                    }
                case .metadata:
                    metadata = Array(reader.buffer[record.data])
                    if headOnly { return ([], nil, metadata) }
                case .entry, .crc, nil: break
                }
            }
        } catch {
            guard error.isRepairable else { throw error }
        }
        return (snapshots, commit, metadata)
    }

    /// The segments of a directory in their order; other names do not count.
    package static func segmentNames(on disk: any Disk, _ directory: String) throws(WALError) -> [SegmentName] {
        let names = try onDisk { () throws(DiskError) in try disk.list(directory) }
        let segments = names.compactMap { SegmentName($0) }.sorted()
        guard !segments.isEmpty else { throw .notFound(directory: directory) }
        return segments
    }
}

/// What has been read so far of a log that is being opened.
private struct Reading {
    let directory: String
    let start: WALSnapshot
    var metadata: [UInt8]?
    var hardState = HardState()
    var entries: [Entry] = []
    /// Of the last entry in the log, which may lie before the start.
    var lastIndex = LogIndex.zero
    var foundStart = false

    init(directory: String, start: WALSnapshot) {
        self.directory = directory
        self.start = start
    }

    mutating func take(_ record: RecordReader.Record, from reader: RecordReader) throws(WALError) {
        guard let type = RecordType(rawValue: record.type) else {
            throw .unknownRecordType(file: reader.fileName, offset: record.offset, type: record.type)
        }
        switch type {
        case .crc: break
        case .metadata:
            let data = Array(reader.buffer[record.data])
            if let metadata, metadata != data {
                throw .metadataConflict(file: reader.fileName, offset: record.offset)
            }
            metadata = data
        case .state:
            hardState = try reader.decode(record) { bytes, range throws(WireError) in
                try HardState(decoding: bytes, in: range)
            }
        case .entry:
            let entry = try reader.decode(record) { bytes, range throws(WireError) in
                try Entry(decoding: bytes, in: range)
            }
            try take(entry, record, reader)
        case .snapshot:
            let snapshot = try reader.decode(record) { bytes, range throws(WireError) in
                try WALSnapshot(decoding: bytes, in: range)
            }
            guard snapshot.index == start.index else { return }
            guard snapshot.term == start.term else {
                throw .snapshotMismatch(
                    file: reader.fileName, offset: record.offset, index: start.index, expected: start.term,
                    found: snapshot.term)
            }
            foundStart = true
        }
    }

    /// An entry replaces the one that had its index, and everything behind that.
    private mutating func take(
        _ entry: Entry, _ record: RecordReader.Record, _ reader: RecordReader
    ) throws(WALError) {
        lastIndex = entry.index
        guard entry.index > start.index else {
            // It lies in the snapshot; but what was behind it when it was written is void.
            entries.removeAll()
            return
        }
        let position = entry.index.rawValue - start.index.rawValue - 1
        guard position <= UInt64(entries.count) else {
            throw .entryGap(
                file: reader.fileName, offset: record.offset, expected: start.index + (entries.count + 1),
                found: entry.index)
        }
        if position < UInt64(entries.count) { entries.removeSubrange(Int(position)...) }
        entries.append(entry)
    }
}
