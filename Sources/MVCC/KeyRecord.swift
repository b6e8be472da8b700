internal import Base

/// What the index knows of a key: its newest revision, and where the older ones are.
///
/// 32 bytes, because there is one for each key; the common key that was put a few times since the last compaction costs
/// no memory of its own beyond this and its bytes.
struct KeyRecord: Sendable {
    var modifiedMain: Int64
    /// Main revision that created the current generation; 0 for a tombstone.
    var created: Int64
    /// Puts since then; 0 for a tombstone.
    var version: Int64
    private var subAndLease: UInt32
    /// The slot in `RevisionHistory`; 0 when there are no older revisions.
    var history: UInt32

    private static let leaseFlag: UInt32 = 1 << 31

    init(_ modified: Revision, created: Int64, version: Int64, hasLease: Bool, history: UInt32 = 0) {
        precondition(modified.sub >= 0 && modified.sub < Int64(KeyRecord.leaseFlag), "sub of \(modified)")
        modifiedMain = modified.main
        self.created = created
        self.version = version
        subAndLease = UInt32(modified.sub) | (hasLease ? KeyRecord.leaseFlag : 0)
        self.history = history
    }

    /// A key that a tombstone ended.
    static func tombstone(_ revision: Revision, history: UInt32) -> KeyRecord {
        KeyRecord(revision, created: 0, version: 0, hasLease: false, history: history)
    }

    var sub: UInt32 { subAndLease & ~KeyRecord.leaseFlag }
    var modified: Revision { Revision(main: modifiedMain, sub: Int64(sub)) }
    var isTombstone: Bool { version == 0 }
    /// Whether the current value is attached to a lease.
    var hasLease: Bool { subAndLease & KeyRecord.leaseFlag != 0 }
}

/// A key's revision as a read at some revision sees it.
struct VisibleRevision: Sendable {
    var modified: Revision
    /// Zero when it is not the key's newest revision: the row knows then.
    var created: Int64
    var version: Int64

    var isNewest: Bool { version != 0 }
}
