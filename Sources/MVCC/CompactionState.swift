internal import Base

/// A compaction whose removal is not done yet.
struct CompactionTask: Sendable {
    enum Phase: Sendable {
        /// Dropping revisions from the index; the key goes on from here.
        case index(from: [UInt8])
        /// Removing rows; the first one not looked at yet.
        case rows(from: Revision)
    }

    var revision: Int64
    /// The compaction before it, −1 for none.
    var previous: Int64
    /// Whether the hash of what it reads is kept; not if the compaction before it had not ended.
    var recordsHash: Bool
    var phase = Phase.index(from: [])
    /// Whether any key has a revision that the compaction keeps.
    var keepsAny = false
    var hash = KeyValueHash.Accumulator()

    init(revision: Int64, previous: Int64, recordsHash: Bool) {
        self.revision = revision
        self.previous = previous
        self.recordsHash = recordsHash
    }
}

/// The compaction that runs and the one that waits. A newer one takes the place of the one that waits, because it
/// removes all that the older one would.
struct CompactionState: Sendable {
    /// Hashes of compactions that are kept.
    static let hashLimit = 10

    private(set) var running: CompactionTask?
    private(set) var waiting: CompactionTask?
    /// Ascending by revision.
    private(set) var hashes: [KeyValueHash] = []

    mutating func start(_ task: CompactionTask) {
        if running == nil { running = task } else { waiting = task }
    }

    mutating func update(_ task: CompactionTask) { running = task }

    mutating func finish() {
        running = waiting
        waiting = nil
    }

    mutating func record(_ hash: KeyValueHash) {
        hashes.append(hash)
        hashes.sort { $0.revision < $1.revision }
        if hashes.count > CompactionState.hashLimit { hashes.removeFirst() }
    }
}

/// How far the removal of compacted history has come.
public enum CompactionProgress: Sendable, Equatable {
    /// Nothing to remove.
    case idle
    /// More to do for the compaction at this revision.
    case running(Int64)
    /// The compaction at this revision ended with this step.
    case finished(Int64)
}
