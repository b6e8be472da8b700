internal import Base
public import Platform
internal import RaftCore

extension WriteAheadLog {
    /// Whether `directory` holds a log: at least one name that ends in `.wal`. A directory that does not exist holds
    /// none.
    public static func exists(on disk: any Disk, directory: String) throws(WALError) -> Bool {
        try onDisk { () throws(DiskError) in
            guard try disk.exists(directory) else { return false }
            return try disk.list(directory).contains { $0.hasSuffix(".wal") }
        }
    }

    /// Creates a log in `directory`, which must not exist or be empty; the directory above it must exist.
    ///
    /// The first segment is written in `<directory>.tmp`, which is then renamed: a crash leaves the whole log or none.
    /// What an earlier attempt left in that directory is removed.
    public static func create(
        on disk: any Disk, clock: any Clock, directory: String, metadata: WALMetadata, options: Options = Options()
    ) throws(WALError) -> WriteAheadLog {
        if try exists(on: disk, directory: directory) { throw .exists(directory: directory) }
        let temporary = directory + ".tmp"
        let name = SegmentName(sequence: 0, index: .zero)
        let data = metadata.encoded()
        var encoder = RecordEncoder(crc: 0)
        encoder.appendChecksum()
        encoder.append(.metadata, data)
        encoder.append(WALSnapshot())
        let segment = try onDisk { () throws(DiskError) in
            try removeTree(on: disk, temporary)
            do throws(DiskError) {
                try writeFirstSegment(
                    on: disk, temporary, join(temporary, name.description), encoder.buffer, options: options)
                try disk.rename(temporary, to: directory)
            } catch {
                try? removeTree(on: disk, temporary)
                throw error
            }
            if options.syncs { try disk.syncDirectory(parent(of: directory)) }
            return try SegmentFile.openLocked(name, on: disk, at: join(directory, name.description))
        }
        return WriteAheadLog(
            disk: disk, clock: clock, directory: directory, options: options,
            opened: Opened(
                segments: [segment], offset: Int64(encoder.buffer.count), crc: encoder.crc.value, metadata: data,
                hardState: .init(), lastIndex: .zero))
    }

    private static func writeFirstSegment(
        on disk: any Disk, _ directory: String, _ path: String, _ head: [UInt8], options: Options
    ) throws(DiskError) {
        try disk.createDirectory(directory)
        let file = try disk.open(path, .create)
        try file.lock(.openFileDescription)
        try file.allocate(upTo: options.segmentSize)
        try file.write(head.span.bytes, at: 0)
        if options.syncs {
            try file.syncData()
            // Without this the segment's name could be lost in a crash after the rename.
            try disk.syncDirectory(directory)
        }
        try file.close()
    }

    /// Removes a directory with the files in it; nothing happens if it is not there.
    private static func removeTree(on disk: any Disk, _ directory: String) throws(DiskError) {
        guard try disk.exists(directory) else { return }
        for name in try disk.list(directory) { try disk.remove(join(directory, name)) }
        try disk.remove(directory)
    }

    /// The directory that holds `path`.
    private static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }
}
