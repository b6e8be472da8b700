internal import Base

/// The key-value store of a member: the index of all keys in memory, their rows in the backend, the leases that keys
/// are attached to, and the compaction of history. One thread owns it; it reads no clock and starts nothing by itself.
///
/// Requests come as commands whose keys are offsets into the request's bytes; answers are appended, encoded, to the
/// caller's buffer, with stored rows copied as they are.
///
/// ```swift
/// let store = try KeyValueStore(backend)
/// let command = try PutCommand(request)
/// try store.put(command, in: request, header: header, into: &response)
/// ```
///
/// Invariants: (1) every revision in the index after the compaction revision has its row in the backend; (2) rows that
/// the index does not know are only such that a compaction is about to remove; (3) outside of a call no transaction is
/// open (`changes == 0`).
public final class KeyValueStore {
    public let backend: Backend
    var index = KeyIndex()
    var leases = LeaseTable()
    /// The main revision of the last transaction that changed something; 1 in an empty store.
    public internal(set) var currentRevision: Int64 = 1
    /// Reads below it fail. −1 before the first compaction.
    public internal(set) var compactRevision: Int64 = -1
    /// Changes in the open transaction; the next one gets this as its sub revision.
    var changes: Int64 = 0
    var compaction = CompactionState()
    public internal(set) var counters = StoreCounters()
    /// Memory for rows that are looked into.
    var scratch: [UInt8] = []
    /// Memory for the field headers around nested responses.
    var prefix: [UInt8] = []

    /// Reads the store out of `backend`. O(rows).
    public init(_ backend: Backend) throws(StoreError) {
        self.backend = backend
        try restore()
    }

    /// Keys that exist now.
    public var liveKeyCount: Int { index.liveCount }

    /// Keys in the index, deleted ones included that have not been compacted away yet.
    public var keyCount: Int { index.count }

    // MARK: Transactions

    /// What a read inside the open transaction sees, and what it says as its revision.
    var readRevision: Int64 { changes > 0 ? currentRevision + 1 : currentRevision }

    /// The revision of the next change.
    var nextRevision: Revision { Revision(main: currentRevision + 1, sub: changes) }

    /// Ends the open transaction.
    func endTransaction() {
        if changes > 0 { currentRevision += 1 }
        changes = 0
    }
}

/// Figures of a store since it was opened, named as etcd's metrics are.
public struct StoreCounters: Sendable, Equatable {
    public var ranges = 0
    public var puts = 0
    public var deletes = 0
    /// Transactions of more than one operation.
    public var txns = 0
    /// Bytes of keys and values put.
    public var putBytes = 0
    /// Rows that compactions have removed.
    public var compactedRows = 0
    public var compactions = 0
}
