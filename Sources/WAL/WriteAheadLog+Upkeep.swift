public import Platform

/// What a repair did.
public struct WALRepair: Sendable, Equatable {
    /// The segment that was cut.
    public var file: String
    /// Where the whole of it was kept.
    public var copy: String
    /// The end of its last good record, and now of the file.
    public var offset: Int64
    /// How many bytes were cut off; mostly zeros that had been allocated in advance.
    public var removedBytes: Int64
}

extension WriteAheadLog {
    /// Cuts a log that ends inside a record, as a crash during a write leaves it, at its last good record. The segment
    /// is first copied to `<name>.broken`, over an older copy.
    ///
    /// - Returns: nil if the last segment ends well.
    /// - Throws: any other damage, which cannot be repaired.
    public static func repair(on disk: any Disk, directory: String) throws(WALError) -> WALRepair? {
        let names = try segmentNames(on: disk, directory)
        let name = names[names.count - 1]
        let path = join(directory, name.description)
        let segment: SegmentFile
        do throws(DiskError) {
            segment = try SegmentFile.openLocked(name, on: disk, at: path)
        } catch {
            throw error.reason == .locked ? .locked(file: path) : .disk(error)
        }
        var reader = try RecordReader([segment])
        do throws(WALError) {
            while try reader.next() != nil {}
            return nil
        } catch {
            guard error.isRepairable else { throw error }
        }
        let end = reader.offset
        return try onDisk { () throws(DiskError) in
            let size = try segment.file.size()
            let copy = path + ".broken"
            try copyFile(segment.file, size: size, on: disk, to: copy)
            try segment.file.truncate(to: end)
            try segment.file.sync()
            try disk.syncDirectory(directory)
            try segment.file.close()
            return WALRepair(file: path, copy: copy, offset: end, removedBytes: size - end)
        }
    }

    private static func copyFile(
        _ source: any DiskFile, size: Int64, on disk: any Disk, to path: String
    ) throws(DiskError) {
        let copy = try disk.open(path, .truncate)
        try copy.truncate(to: size)
        var at: Int64 = 0
        while at < size {
            let bytes = try source.read(at: at, count: Int(min(1 << 20, size - at)))
            if bytes.isEmpty { break }
            // What is already zero stays a hole: most of a segment was only allocated.
            if bytes.contains(where: { $0 != 0 }) { try copy.write(bytes.span.bytes, at: at) }
            at += Int64(bytes.count)
        }
        try copy.sync()
        try copy.close()
    }

    /// Removes the oldest segments until `count` are left, and stops at the first that somebody has locked: a log holds
    /// the locks of all that it may need. May be called on any thread. 0 keeps all.
    /// - Returns: the paths of those removed.
    public static func purge(
        on disk: any Disk, directory: String, keeping count: Int
    ) throws(WALError) -> [String] {
        guard count > 0 else { return [] }
        let names = try segmentNames(on: disk, directory)
        var removed: [String] = []
        for name in names.dropLast(count) {
            let path = join(directory, name.description)
            let isRemoved = try onDisk { () throws(DiskError) in try removeUnlocked(path, on: disk) }
            guard isRemoved else { break }
            // One after the other, so that a crash leaves no gap between segments.
            try onDisk { () throws(DiskError) in try disk.syncDirectory(directory) }
            removed.append(path)
        }
        return removed
    }

    private static func removeUnlocked(_ path: String, on disk: any Disk) throws(DiskError) -> Bool {
        let file = try disk.open(path, .readWrite)
        do throws(DiskError) {
            try file.lock(.openFileDescription)
        } catch {
            guard error.reason == .locked else { throw error }
            return false
        }
        try disk.remove(path)
        try file.close()
        return true
    }
}
