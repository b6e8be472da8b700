public import Base

/// Why stored entries or a snapshot could not be had.
public enum StorageError: Error, Hashable {
    /// The entry is older than what is kept.
    case compacted
    /// The entry does not exist yet.
    case unavailable
    /// The snapshot is not newer than the one that is stored.
    case snapshotOutOfDate
    /// A snapshot is being made; ask again later.
    case snapshotTemporarilyUnavailable
}

extension StorageError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .compacted: "requested index is unavailable due to compaction"
        case .unavailable: "requested entry at index is unavailable"
        case .snapshotOutOfDate: "requested index is older than the existing snapshot"
        case .snapshotTemporarilyUnavailable: "snapshot is temporarily unavailable"
        }
    }
}

/// The stable part of the log, as the node reads it. The application writes it, in the order of the `Ready`s.
///
/// All calls are made from within the node, so they must be cheap: a disk is read ahead of time, not here.
public protocol Storage: Sendable {
    /// The stored hard state and membership; both empty for a new node.
    var initialState: (hardState: HardState, confState: ConfState) { get }
    /// The index of the first entry that is kept, which is one above the snapshot's.
    var firstIndex: LogIndex { get }
    /// The index of the last entry, or of the snapshot if there are none.
    var lastIndex: LogIndex { get }
    /// The entries in `from..<to`, cut to a prefix of at most `maxSize` encoded bytes but one entry at least.
    func entries(from: LogIndex, to: LogIndex, maxSize: UInt64) throws(StorageError) -> [Entry]
    /// The term of an entry in `firstIndex - 1 ... lastIndex`: that of the last compacted one stays known.
    func term(at index: LogIndex) throws(StorageError) -> Term
    /// The newest snapshot.
    func snapshot() throws(StorageError) -> Snapshot
}
