/// Everything that one commit writes: rows and applied index together. Made by `Backend.freeze()`.
public struct CommitBatch: Sendable {
    let changes: BackendChanges

    /// Puts and deletes in the batch.
    public var operations: Int { changes.operations }
    public var byteCount: Int { changes.byteCount }
}

/// How large the file is.
public struct BackendStatistics: Sendable, Equatable {
    /// Bytes allocated.
    public var size: Int
    /// Bytes of the pages that the version uses: what a quota counts.
    public var sizeInUse: Int
    /// Pages are to be moved or the file is to be cut, which commits do, also empty ones.
    public var hasReclaimWork: Bool

    public init(size: Int, sizeInUse: Int, hasReclaimWork: Bool = false) {
        self.size = size
        self.sizeInUse = sizeInUse
        self.hasReclaimWork = hasReclaimWork
    }
}

/// What a commit has made; goes to `Backend.committed(_:)`.
public struct CommitResult: Sendable {
    public var version: StoredVersion
    public var statistics: BackendStatistics { version.statistics }
}
