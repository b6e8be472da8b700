public import Base

/// The limits of the backend's write buffer.
public struct BackendLimits: Sendable {
    /// Operations after which a commit is due (etcd's `--backend-batch-limit`).
    public var batchOperations: Int
    /// Bytes after which a commit is due.
    public var batchBytes: Int
    /// Bytes after which nothing more may be applied until the running commit has ended.
    public var bufferedBytes: Int

    public init(batchOperations: Int = 10_000, batchBytes: Int = 32 << 20, bufferedBytes: Int = 256 << 20) {
        self.batchOperations = batchOperations
        self.batchBytes = batchBytes
        self.bufferedBytes = bufferedBytes
    }
}

/// The backend as its one owner sees it: the last committed version of the file, over it the batch that is being
/// written, over that what has changed since. Reads see all three.
///
/// Commits take three steps, so that no lock is needed: `freeze()` on the owner's thread makes a `CommitBatch`, its
/// `write(to:)` runs on any thread, `committed(_:)` on the owner's thread again takes the new version. The consistent
/// index is part of each batch, so data and index cannot disagree. Format: docs/formats/backend.md.
///
/// Invariants: (1) at most one batch is frozen; (2) rows of bucket `key` ascend from the file over the frozen batch to
/// the pending changes; (3) the consistent index never falls.
public final class Backend {
    public let limits: BackendLimits
    /// What the file held at the last commit.
    var stored: StoredVersion
    /// Changes being written; empty when no commit runs.
    var frozen = BackendChanges()
    var pending = BackendChanges()
    public private(set) var isCommitting = false
    /// Index and term of the last entry whose effects the backend holds; zero before the first one.
    public private(set) var consistentIndex: LogIndex
    public private(set) var consistentTerm: Term
    /// The consistent index in the file.
    public private(set) var committedIndex: LogIndex
    private var frozenIndex: LogIndex
    /// Bytes of the file that are allocated, as of the last commit.
    public private(set) var size: Int
    /// Bytes of the file that hold something, as of the last commit.
    public private(set) var sizeInUse: Int
    /// Bytes that a quota counts: what the file holds, and what is on its way there. Space that is free in the file
    /// does not count, as it is used again or given back.
    public var liveBytes: Int { sizeInUse + frozen.byteCount + pending.byteCount }
    /// Commits so far.
    public private(set) var commits = 0
    /// What the entries so far have done.
    public internal(set) var effects: EffectsHash
    /// Whether an entry is being applied, and where the rows that it writes begin in the pending ones.
    var recordsEffects = false
    var effectsStart = 0

    /// - Parameter version: of a file whose buckets exist (`BackendFile.open` creates them).
    public init(_ version: StoredVersion, limits: BackendLimits = BackendLimits()) throws(BackendError) {
        self.limits = limits
        stored = version
        size = version.statistics.size
        sizeInUse = version.statistics.sizeInUse
        let index = try version.unsigned(MetaKey.consistentIndex, in: .meta) ?? 0
        consistentIndex = LogIndex(index)
        consistentTerm = Term(try version.unsigned(MetaKey.term, in: .meta) ?? 0)
        committedIndex = LogIndex(index)
        frozenIndex = LogIndex(index)
        effects = EffectsHash(
            after: LogIndex(index), stored: try version.get(MartletKey.effectsHash, in: .martlet))
    }

    // MARK: Buckets other than `key`

    /// Takes effect for reads at once, for the file with the next commit.
    public func put(_ key: [UInt8], _ value: [UInt8], in bucket: BackendBucket) {
        precondition(bucket != .key, "rows of bucket key are appended by the store")
        precondition(!key.isEmpty, "an empty key in bucket \(bucket.name)")
        pending.set(.put(value), for: key, in: bucket)
        recordEffect(key, value, in: bucket)
    }

    public func delete(_ key: [UInt8], in bucket: BackendBucket) {
        precondition(bucket != .key, "rows of bucket key are removed by the store")
        pending.set(.delete, for: key, in: bucket)
        recordEffect(key, nil, in: bucket)
    }

    public func get(_ key: [UInt8], in bucket: BackendBucket) throws(BackendError) -> [UInt8]? {
        if bucket == .key {
            guard let row = RowKey(key.span.bytes) else { return nil }
            var value: [UInt8] = []
            return try appendRow(row.revision, to: &value) ? value : nil
        }
        for changes in [pending.tables[bucket.rawValue][key], frozen.tables[bucket.rawValue][key]] {
            switch changes {
            case .put(let value): return value
            case .delete: return nil
            case nil: continue
            }
        }
        return try stored.get(key, in: bucket)
    }

    // MARK: Applied index

    /// Records that the effects of the entry at `index` are in the backend. The file gets it with the next commit.
    public func setConsistentIndex(_ index: LogIndex, term: Term) {
        precondition(index >= consistentIndex, "the consistent index falls from \(consistentIndex) to \(index)")
        consistentIndex = index
        consistentTerm = term
    }

    // MARK: Commit

    /// Puts and deletes since the last `freeze`.
    public var pendingOperations: Int { pending.operations }
    public var pendingBytes: Int { pending.byteCount }
    /// Whether a commit would write anything: changes, or a part of what makes the file shorter.
    public var hasChanges: Bool {
        !pending.isEmpty || consistentIndex != frozenIndex || stored.statistics.hasReclaimWork
    }
    /// The number of the commit that will hold all changes so far, counted as `commits` is. There will be one even
    /// without changes once an entry has been applied, because that has moved the consistent index.
    public var nextCommit: Int { commits + (isCommitting ? 2 : 1) }
    /// Whether one of the limits asks for a commit now, without waiting for the interval.
    public var needsCommit: Bool {
        pending.operations >= limits.batchOperations || pending.byteCount >= limits.batchBytes
    }
    /// Whether the owner must stop applying until the running commit has ended.
    public var isFull: Bool { isCommitting && pending.byteCount >= limits.bufferedBytes }

    /// Takes all changes so far as the next commit. Nil when there are none, or a commit is running. O(1) for rows of
    /// `key`, O(n log n) for the rest.
    public func freeze() -> CommitBatch? {
        guard !isCommitting, hasChanges else { return nil }
        if consistentIndex > .zero, consistentIndex != frozenIndex || !pending.isEmpty {
            var index: [UInt8] = []
            index.append(bigEndian: consistentIndex.rawValue)
            pending.set(.put(index), for: MetaKey.consistentIndex, in: .meta)
            if consistentTerm > .zero {
                var term: [UInt8] = []
                term.append(bigEndian: consistentTerm.rawValue)
                pending.set(.put(term), for: MetaKey.term, in: .meta)
            }
            if let window = effects.encoded(at: consistentIndex) {
                pending.set(.put(window), for: MartletKey.effectsHash, in: .martlet)
            }
        }
        swap(&pending, &frozen)
        isCommitting = true
        frozenIndex = consistentIndex
        return CommitBatch(changes: frozen)
    }

    /// Reads from another view of the same version from now on.
    public func move(to version: StoredVersion) {
        precondition(!isCommitting, "the commit that runs brings a version of its own")
        stored = version
        size = version.statistics.size
        sizeInUse = version.statistics.sizeInUse
    }

    /// Takes over the version that the commit of the frozen batch has made.
    public func committed(_ result: consuming CommitResult) {
        precondition(isCommitting, "no commit is running")
        stored = result.version
        size = result.statistics.size
        sizeInUse = result.statistics.sizeInUse
        committedIndex = frozenIndex
        commits += 1
        isCommitting = false
        frozen.removeAll()
    }
}
