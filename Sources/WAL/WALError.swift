public import Base
public import EtcdProto
public import Platform

/// Why a log cannot be created, read or written. The texts begin as etcd's do, then say where and what to do.
public enum WALError: Error, Equatable, Sendable {
    case disk(DiskError)
    /// There is a log in the directory already.
    case exists(directory: String)
    /// There is no segment in the directory.
    case notFound(directory: String)
    /// No segment is old enough to hold what follows the index.
    case noSegment(directory: String, index: LogIndex)
    /// A segment is missing in front of `file`.
    case missingSegment(file: String, expected: UInt64, found: UInt64)
    /// Another process has a segment open.
    case locked(file: String)
    /// The record at `offset` needs more bytes than there are, or was torn while it was written.
    /// - Parameter isTail: whether this is the last segment, where a crash explains it.
    case unexpectedEnd(file: String, offset: Int64, needed: Int64, available: Int64, isTail: Bool)
    case checksumMismatch(file: String, offset: Int64, expected: UInt32, found: UInt32)
    /// The record, or the message in it, is not what its frame promises.
    case malformed(file: String, offset: Int64, reason: WireError)
    case unknownRecordType(file: String, offset: Int64, type: Int64)
    /// Two segments were written by different members.
    case metadataConflict(file: String, offset: Int64)
    case metadataMissing(directory: String)
    /// The last segment does not even have its head, which is durable before the segment gets its name.
    case emptySegment(file: String)
    /// An entry does not follow the ones before it.
    case entryGap(file: String, offset: Int64, expected: LogIndex, found: LogIndex)
    case snapshotNotFound(directory: String, index: LogIndex)
    case snapshotMismatch(file: String, offset: Int64, index: LogIndex, expected: Term, found: Term)
    /// An earlier write or sync failed; what is on disk is unknown until the log is opened again.
    case failed(file: String)

    /// Whether `WriteAheadLog.repair` can help: the log ends inside a record, as a crash during a write leaves it.
    public var isRepairable: Bool {
        if case .unexpectedEnd(_, _, _, _, isTail: true) = self { true } else { false }
    }
}

extension WALError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .disk(let error): error.description
        case .exists(let directory): "wal: file already exists: \(directory) holds a log"
        case .notFound(let directory): "wal: file not found: no segment in \(directory)"
        case .noSegment(let directory, let index):
            "wal: file not found which matches the snapshot index '\(index)' in \(directory); "
                + "restore the missing segments, or the member from a snapshot"
        case .missingSegment(let file, let expected, let found):
            "wal: file sequence numbers do not increase continuously: expected \(expected) in front of '\(file)', "
                + "found \(found); restore the missing segment, or replace the member"
        case .locked(let file):
            "fileutil: file already locked: '\(file)' is in use; stop the other process on this directory"
        case .unexpectedEnd(let file, let offset, let needed, let available, let isTail):
            "unexpected EOF: record in file '\(file)' at position: \(offset) needs \(needed) bytes, "
                + (needed > available ? "found \(available)" : "found a sector of zeros among them")
                + (isTail ? "" : "; not the last segment, so not repairable: replace the member")
        case .checksumMismatch(let file, let offset, let expected, let found):
            "walpb: crc mismatch: expected: \(hex(expected)) computed: \(hex(found)): in file '\(file)' "
                + "at position: \(offset); the log is damaged: replace the member, or restore a snapshot"
        case .malformed(let file, let offset, let reason):
            "walpb: malformed record in file '\(file)' at position: \(offset): \(reason); "
                + "the log is damaged: replace the member, or restore a snapshot"
        case .unknownRecordType(let file, let offset, let type):
            "wal: unexpected block type \(type) in file '\(file)' at position: \(offset); "
                + "the log was damaged, or written by a program that this one does not know"
        case .metadataConflict(let file, let offset):
            "wal: conflicting metadata found in file '\(file)' at position: \(offset); "
                + "the segments belong to different members"
        case .metadataMissing(let directory): "wal: no metadata record in \(directory); this is no member's log"
        case .emptySegment(let file):
            "wal: no record in file '\(file)': its beginning was overwritten or cut off; replace the member"
        case .entryGap(let file, let offset, let expected, let found):
            "wal: slice bounds out of range: entry in file '\(file)' at position: \(offset) has index \(found), "
                + "expected at most \(expected)"
        case .snapshotNotFound(let directory, let index):
            "wal: snapshot not found: no record of a snapshot at index \(index) in \(directory)"
        case .snapshotMismatch(let file, let offset, let index, let expected, let found):
            "wal: snapshot mismatch: snapshot \(index) in file '\(file)' at position: \(offset) has term \(found), "
                + "expected \(expected)"
        case .failed(let file):
            "wal: '\(file)' is closed or failed earlier; restart the member to open it again"
        }
    }

    private func hex(_ value: UInt32) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}
