/// What the system asks of a disk. `PlatformLinux` implements it with the kernel, `PlatformSim` in memory with faults.
///
/// Paths are plain strings with `/` between their parts. All calls block; the caller chooses the thread.
public protocol Disk: Sendable {
    /// Opens the file at `path`.
    func open(_ path: String, _ mode: OpenMode) throws(DiskError) -> any DiskFile
    /// The names (not paths) in a directory, sorted bytewise, without `.` and `..`.
    func list(_ directory: String) throws(DiskError) -> [String]
    /// Whether something is at `path`, a file or a directory.
    func exists(_ path: String) throws(DiskError) -> Bool
    /// Creates a directory with permissions 0700. Fails with `.exists` if something is there already.
    func createDirectory(_ path: String) throws(DiskError)
    /// Moves `source` over `destination`, replacing it in one step. Durable only after `syncDirectory` of the parent.
    func rename(_ source: String, to destination: String) throws(DiskError)
    /// Removes a file, or an empty directory.
    func remove(_ path: String) throws(DiskError)
    /// Makes the creations, renames and removals in a directory durable.
    func syncDirectory(_ path: String) throws(DiskError)
}

/// How a file is opened.
public enum OpenMode: Sendable, Equatable {
    /// Reading only; the file must exist.
    case read
    /// Reading and writing; the file must exist.
    case readWrite
    /// Reading and writing; created with permissions 0600 if it does not exist, kept as it is if it does.
    case create
    /// Reading and writing; created with permissions 0600, emptied if it exists.
    case truncate
}

/// An open file. Closed by `close()`, at the latest by deinitialisation.
///
/// Offsets and lengths are bytes. Safe to use from several threads as the kernel's own calls are.
public protocol DiskFile: AnyObject, Sendable {
    var path: String { get }
    func size() throws(DiskError) -> Int64
    /// Up to `count` bytes from `offset`; fewer only at the end of the file.
    func read(at offset: Int64, count: Int) throws(DiskError) -> [UInt8]
    /// The same, appended to memory of the caller's, which must have room for `count` bytes.
    func read(at offset: Int64, count: Int, into output: inout OutputRawSpan) throws(DiskError)
    /// Writes all of `bytes` at `offset`, growing the file if needed.
    func write(_ bytes: RawSpan, at offset: Int64) throws(DiskError)
    /// Makes the content, and the size if it changed, durable (`fdatasync`).
    func syncData() throws(DiskError)
    /// Makes content and all metadata durable (`fsync`).
    func sync() throws(DiskError)
    /// Reserves the file's blocks up to `length` and grows the file to it, as zeros (`fallocate`, mode 0).
    func allocate(upTo length: Int64) throws(DiskError)
    /// Cuts or grows (with zeros) the file to `length`.
    func truncate(to length: Int64) throws(DiskError)
    /// Takes an exclusive lock of the given kind, without waiting. `.locked` if another process has it.
    func lock(_ kind: LockKind) throws(DiskError)
    /// Maps the file for reading at a fixed address with room to grow.
    /// - Parameter capacity: address space reserved, in bytes; the file may be shorter or grow up to it. Bytes beyond
    ///   the file's end must not be touched.
    func map(capacity: Int) throws(DiskError) -> any DiskMapping
    /// Closes the file and releases its locks. Mappings stay valid. Further calls fail with `.closed`.
    func close() throws(DiskError)
}

extension DiskFile {
    /// With a copy, for files where that does not matter.
    public func read(at offset: Int64, count: Int, into output: inout OutputRawSpan) throws(DiskError) {
        for byte in try read(at: offset, count: count) { output.append(byte, as: UInt8.self) }
    }
}

/// The kinds of lock that etcd takes: the two do not see each other.
public enum LockKind: Sendable {
    /// `flock(LOCK_EX)`, as bbolt takes it on the backend file.
    case flock
    /// A lock of the open file description over the whole file (`F_OFD_SETLK`), as etcd takes it on WAL segments.
    case openFileDescription
}

/// A file's bytes in memory, read-only, always showing the latest writes. Unmapped by deinitialisation.
public protocol DiskMapping: AnyObject, Sendable {
    /// Where the file's first byte is; stays the same for the life of the mapping.
    // SAFETY: whoever reads keeps the mapping alive and stays below the file's size and `capacity`.
    var base: UnsafeRawPointer { get }
    /// Bytes of address space reserved from `base`.
    var capacity: Int { get }
}

/// A disk call that failed.
public struct DiskError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Reason: Equatable, Sendable {
        case notFound
        case exists
        case permissionDenied
        case readOnlyFileSystem
        case noSpace
        case notADirectory
        case isADirectory
        case directoryNotEmpty
        /// Another process holds the lock.
        case locked
        case closed
        /// The simulated machine has stopped; nothing works until it is started again.
        case stopped
        /// Input/output error (EIO).
        case io
        /// Any other error of the kernel, by its number and text.
        case system(errno: Int32, text: String)
    }

    public var reason: Reason
    /// The call, such as `fdatasync`.
    public var operation: String
    public var path: String

    public init(_ reason: Reason, operation: String, path: String) {
        self.reason = reason
        self.operation = operation
        self.path = path
    }

    /// In the form of Go's `PathError`, which tools match on: `open /x/y: permission denied`.
    public var description: String { "\(operation) \(path): \(reason.text)" }
}

extension DiskError.Reason {
    /// The kernel's text for it.
    public var text: String {
        switch self {
        case .notFound: "no such file or directory"
        case .exists: "file exists"
        case .permissionDenied: "permission denied"
        case .readOnlyFileSystem: "read-only file system"
        case .noSpace: "no space left on device"
        case .notADirectory: "not a directory"
        case .isADirectory: "is a directory"
        case .directoryNotEmpty: "directory not empty"
        case .locked: "resource temporarily unavailable"
        case .closed: "file already closed"
        case .stopped: "the machine has stopped"
        case .io: "input/output error"
        case .system(_, let text): text
        }
    }
}
