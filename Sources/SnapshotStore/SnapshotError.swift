public import EtcdProto
public import Platform

/// Why a snapshot file cannot be written or read. The texts begin as etcd's do.
public enum SnapshotError: Error, Equatable, Sendable {
    case disk(DiskError)
    /// The file, or the data in it, has no bytes, or no checksum.
    case empty(file: String)
    case malformed(file: String, reason: WireError)
    case checksumMismatch(file: String, expected: UInt32, found: UInt32)
}

extension SnapshotError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .disk(let error): error.description
        case .empty(let file): "snap: empty snapshot: '\(file)'"
        case .malformed(let file, let reason): "snap: malformed snapshot: '\(file)': \(reason)"
        case .checksumMismatch(let file, let expected, let found):
            "snap: crc mismatch: expected: \(String(expected, radix: 16)) computed: \(String(found, radix: 16)): "
                + "in file '\(file)'"
        }
    }
}
