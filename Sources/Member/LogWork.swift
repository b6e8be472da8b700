package import Base
internal import Platform
package import RaftCore

/// What the log's thread is asked to make durable, in order.
package enum LogWork: Sendable {
    /// Entries and hard state of one `Ready`.
    case append(sequence: UInt64, hardState: HardState?, entries: [Entry], sync: Bool)
    /// A raft snapshot: its file first, then its record in the log.
    case snapshot(sequence: UInt64, Snapshot)
    /// A leader's snapshot, and what of the log follows it: its file, its record, then the entries.
    case received(sequence: UInt64, Snapshot, hardState: HardState?, entries: [Entry])

    package var sequence: UInt64 {
        switch self {
        case .append(let sequence, _, _, _), .snapshot(let sequence, _), .received(let sequence, _, _, _): sequence
        }
    }
}

/// Everything up to and including `sequence` is durable.
package struct LogCompletion: Sendable {
    package var sequence: UInt64
    /// The file that was written last.
    package var file = ""
    package var bytes = 0
    package var writeSeconds = 0.0
    /// nil when no sync was needed.
    package var syncSeconds: Double?
    package var snapshot: SnapshotCompletion?
    /// A leader's snapshot that is durable now, without its database being in use yet.
    package var received: Snapshot?

    package struct SnapshotCompletion: Sendable {
        package var index: LogIndex
        package var totalSeconds: Double
    }

    package init(sequence: UInt64) { self.sequence = sequence }
}

/// The appends of one batch of work, merged so that one write and one sync serve them all.
///
/// Merging keeps the meaning: entries behind one another are joined, the last hard state wins, and one append that
/// needs a sync makes the whole need it. An append whose entries do not continue the previous ones (another leader
/// overwrote them) starts a new merge.
package struct MergedAppend {
    package private(set) var sequence: UInt64 = 0
    package private(set) var hardState: HardState?
    package private(set) var entries: [Entry] = []
    package private(set) var sync = false
    package private(set) var isEmpty = true

    package init() {}

    /// Takes an append in. False, and nothing is taken, when it must be written apart from what is here.
    package mutating func merge(sequence: UInt64, hardState: HardState?, entries: [Entry], sync: Bool) -> Bool {
        if let last = self.entries.last, let first = entries.first, first.index != last.index.next() { return false }
        self.sequence = sequence
        if let hardState { self.hardState = hardState }
        if self.entries.isEmpty { self.entries = entries } else { self.entries.append(contentsOf: entries) }
        self.sync = self.sync || sync
        isEmpty = false
        return true
    }
}
