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
    /// Bytes that hold something.
    public var sizeInUse: Int

    public init(size: Int, sizeInUse: Int) {
        self.size = size
        self.sizeInUse = sizeInUse
    }
}

/// What a commit has made; goes to `Backend.committed(_:)`.
public struct CommitResult: Sendable {
    public var version: StoredVersion
    public var statistics: BackendStatistics { version.statistics }
}
