public import Platform

/// Why an operation on a Bolt file was refused or failed. Where bbolt has a text for the same thing, the description
/// begins with it.
public enum BoltError: Error, Equatable, Sendable {
    /// The file is not a bbolt file: neither meta page has the magic number.
    case invalidDatabase(file: String, reason: String)
    /// The file has a format version that this library does not read.
    case versionMismatch(file: String, found: UInt32)
    /// Both meta pages are damaged; the values are of the first.
    case checksumError(file: String, expected: UInt64, found: UInt64)
    /// A page contradicts the format or another page.
    case corrupted(file: String, page: UInt64, reason: String)
    /// Another process, or another `Database` of this one, has the file open.
    case locked(file: String)
    /// The file would outgrow the address space reserved for it (`Database.Options.mapCapacity`), in bytes.
    case full(file: String, capacity: Int)
    /// An earlier commit failed where its outcome on the disk is unknown. Reads go on; writes need a new `open`.
    case failed(file: String, reason: String)
    case disk(DiskError)
    case readOnly(file: String)
    case closed
    case invalidOptions(reason: String)
    case writerActive
    case transactionEnded
    /// The read transaction held up more than `Database.Options.maxHeldBytes` and was given up.
    case readerExpired(name: String)
    case bucketNotFound
    case bucketExists
    case bucketNameRequired
    /// A bucket where a value was expected, or the reverse.
    case incompatibleValue
    case keyRequired
    case keyTooLarge(count: Int)
    case valueTooLarge(count: Int)
    /// The keys of a run do not ascend strictly; `index` is the first item that is out of order.
    case unsorted(index: Int)
}

extension BoltError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .invalidDatabase(let file, let reason):
            "invalid database: \(file): \(reason); not a bbolt file, or damaged: restore it from a snapshot"
        case .versionMismatch(let file, let found):
            "version mismatch: \(file): expected format version \(Meta.version), found \(found)"
        case .checksumError(let file, let expected, let found):
            "checksum error: \(file): meta page 0: expected \(hex(expected)), found \(hex(found)), and meta page 1 is "
                + "not valid either; restore the file from a snapshot"
        case .corrupted(let file, let page, let reason):
            "corrupted database: \(file): page \(page): \(reason); restore the file from a snapshot"
        case .locked(let file): "\(file): another process has it open"
        case .full(let file, let capacity):
            "\(file): cannot grow beyond the \(capacity) bytes of address space reserved for it"
        case .failed(let file, let reason):
            "\(file): no more writes after a failed commit (\(reason)); open the database again"
        case .disk(let error): error.description
        case .readOnly(let file): "database is in read-only mode: \(file)"
        case .closed: "database not open"
        case .invalidOptions(let reason): "invalid options: \(reason)"
        case .writerActive: "a write transaction is active"
        case .transactionEnded: "tx closed"
        case .readerExpired(let name): "read transaction expired: \(name) held up more pages than allowed"
        case .bucketNotFound: "bucket not found"
        case .bucketExists: "bucket already exists"
        case .bucketNameRequired: "bucket name required"
        case .incompatibleValue: "incompatible value"
        case .keyRequired: "key required"
        case .keyTooLarge(let count): "key too large: \(count) bytes, at most \(Layout.maxKeyCount)"
        case .valueTooLarge(let count): "value too large: \(count) bytes, at most \(Layout.maxValueCount)"
        case .unsorted(let index): "keys not strictly ascending at item \(index)"
        }
    }
}

/// Lower-case hexadecimal with `0x`.
func hex(_ value: UInt64) -> String { "0x" + String(value, radix: 16) }

/// Runs a disk call and hands its error on as ours.
@inline(__always)
func onDisk<R>(_ body: () throws(DiskError) -> R) throws(BoltError) -> R {
    do { return try body() } catch { throw error.reason == .locked ? .locked(file: error.path) : .disk(error) }
}
