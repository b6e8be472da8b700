/// Tells versions of a file apart without reading it.
public struct FileStamp: Hashable, Sendable {
    public var inode: UInt64
    public var size: Int64
    /// Last change of the content, in nanoseconds since 1970.
    public var modified: Int64

    public init(inode: UInt64, size: Int64, modified: Int64) {
        self.inode = inode
        self.size = size
        self.modified = modified
    }
}

/// A disk that notices when somebody else has replaced a file.
public protocol StampingDisk: Disk {
    /// The stamp of what `path` leads to, symbolic links followed.
    func stamp(_ path: String) throws(DiskError) -> FileStamp
}
