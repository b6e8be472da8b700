internal import Base

/// The end of the log that is not durable yet, and possibly a snapshot that is to replace what is.
///
/// Invariants:
/// 1. Entry i has index `offset + i`; a pending snapshot has index `offset - 1` or less.
/// 2. `offset <= offsetInProgress <= offset + entries.count`: entries before `offsetInProgress` are being written.
/// 3. `snapshotInProgress` only with a snapshot.
struct UnstableLog: Sendable {
    private(set) var snapshot: Snapshot?
    private(set) var entries = EntryQueue()
    private(set) var offset: LogIndex
    private(set) var snapshotInProgress = false
    private(set) var offsetInProgress: LogIndex

    /// - Parameter offset: the index behind the last durable entry.
    init(offset: LogIndex) {
        self.offset = offset
        offsetInProgress = offset
    }

    var end: LogIndex { offset + entries.count }

    /// The last index, if this part decides it.
    var lastIndex: LogIndex? {
        if !entries.isEmpty { return end.previous() }
        return snapshot?.metadata.index
    }

    func term(at index: LogIndex) -> Term? {
        if index < offset {
            guard let snapshot, snapshot.metadata.index == index else { return nil }
            return snapshot.metadata.term
        }
        return index < end ? entries.term(index - offset) : nil
    }

    var hasEntriesToWrite: Bool { offsetInProgress < end }
    var hasSnapshotToWrite: Bool { snapshot != nil && !snapshotInProgress }

    /// Appends the entries that nobody has been asked to write yet.
    func copyEntriesToWrite(into result: inout [Entry]) {
        entries.copy((offsetInProgress - offset)..<entries.count, into: &result)
    }

    func slice(from: LogIndex, to: LogIndex, maxSize: UInt64) -> [Entry] {
        precondition(from >= offset && from <= to && to <= end, "unstable slice out of bounds")
        return entries.prefix(of: (from - offset)..<(to - offset), maxSize: maxSize)
    }

    /// Everything here is being written from now on.
    mutating func acceptInProgress() {
        offsetInProgress = end
        if snapshot != nil { snapshotInProgress = true }
    }

    /// Why a durability report does not count, for the log.
    enum Stale {
        case missing
        case matchesSnapshot
        case mismatch(Term)
    }

    /// The entries up to `index` are durable. Ignored if the entry there has since been replaced.
    mutating func stable(to index: LogIndex, term: Term) -> Stale? {
        guard let own = self.term(at: index) else { return .missing }
        if index < offset { return .matchesSnapshot }
        if own != term { return .mismatch(own) }
        entries.removeFirst(index - offset + 1)
        offset = index.next()
        offsetInProgress = max(offsetInProgress, offset)
        return nil
    }

    mutating func snapshotStable(at index: LogIndex) {
        if snapshot?.metadata.index == index {
            snapshot = nil
            snapshotInProgress = false
        }
    }

    mutating func restore(_ newSnapshot: Snapshot) {
        offset = newSnapshot.metadata.index.next()
        offsetInProgress = offset
        entries = EntryQueue()
        snapshot = newSnapshot
        snapshotInProgress = false
    }

    /// How new entries met what was there, for the log.
    enum Joint {
        case appended
        case replaced
        case truncated
    }

    /// Makes room for entries from `first` on: what is at and behind it is cut off.
    mutating func prepare(from first: LogIndex) -> Joint {
        if first == end { return .appended }
        if first <= offset {
            // The entries cut off may be durable already; they count as not written from here on.
            offset = first
            offsetInProgress = first
            entries.removeAll()
            return .replaced
        }
        precondition(first < end, "entries leave a gap behind the unstable log")
        entries.truncate(to: first - offset)
        offsetInProgress = min(offsetInProgress, first)
        return .truncated
    }

    mutating func append(_ entry: Entry) { entries.append(entry) }
    mutating func append(contentsOf more: ArraySlice<Entry>) { entries.append(contentsOf: more) }

    func checkInvariants() {
        precondition(offset <= offsetInProgress && offsetInProgress <= end)
        precondition(snapshot != nil || !snapshotInProgress)
    }
}
