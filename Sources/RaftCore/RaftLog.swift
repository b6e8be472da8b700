internal import Base

/// An entry's place: two logs that agree on it agree on everything before it.
struct EntryID: Sendable, Hashable {
    var term: Term
    var index: LogIndex
}

/// The log as raft sees it: the stored part, the unstable end, and how far it is committed and applied.
///
/// Invariants:
/// 1. `applied <= applying <= committed <= lastIndex`.
/// 2. The unstable part begins behind the last entry that is stored and agreed to, so it hides a stale stored tail.
/// 3. `recent` is, unless `isRecentStale`, a run of entries just as they are in the log.
struct RaftLog<S: Storage>: Sendable {
    var unstable: UnstableLog
    private(set) var committed: LogIndex
    /// Handed out for applying.
    private(set) var applying: LogIndex
    private(set) var applied: LogIndex
    /// The limit on `applyingSize`, in encoded bytes.
    private let maxApplyingSize: UInt64
    private var applyingSize: UInt64 = 0
    private var applyingPaused = false
    /// The entries that were last appended or handed out together. Peers, storage and state machine mostly want the
    /// same ones, and get this very array; once nobody else holds it, its memory serves for the next.
    private var recent: [Entry] = []
    private var isRecentStale = true
    /// Their size in encoded bytes.
    private var recentSize: UInt64 = 0
    /// What is kept for its memory alone, in encoded bytes.
    private static var mostKept: UInt64 { 1 << 16 }
    // Last, so that the offsets of the other fields do not depend on the type of the storage.
    var storage: S

    init(storage: S, maxApplyingSize: UInt64) {
        let first = storage.firstIndex
        unstable = UnstableLog(offset: storage.lastIndex.next())
        committed = first.previous()
        applying = committed
        applied = committed
        self.maxApplyingSize = max(maxApplyingSize, 1)
        self.storage = storage
    }

    var firstIndex: LogIndex {
        if let snapshot = unstable.snapshot { return snapshot.metadata.index.next() }
        return storage.firstIndex
    }

    var lastIndex: LogIndex { unstable.lastIndex ?? storage.lastIndex }

    var last: EntryID {
        let index = lastIndex
        guard let term = term(at: index) else { preconditionFailure("the term of the last entry is unknown") }
        return EntryID(term: term, index: index)
    }

    /// The term of an entry from `firstIndex - 1` to the last; nil outside.
    func term(at index: LogIndex) -> Term? {
        if let term = unstable.term(at: index) { return term }
        if index.next() < firstIndex || index > lastIndex { return nil }
        do {
            return try storage.term(at: index)
        } catch {
            precondition(error == .compacted || error == .unavailable, "storage: \(error)")
            return nil
        }
    }

    /// The newest snapshot, be it durable or not.
    func snapshot() throws(StorageError) -> Snapshot {
        if let pending = unstable.snapshot { return pending }
        return try storage.snapshot()
    }

    func matches(_ id: EntryID) -> Bool { term(at: id.index) == id.term }

    /// Whether a log that ends in `id` holds everything that could be committed here.
    func isUpToDate(_ id: EntryID) -> Bool {
        let own = last
        return id.term > own.term || (id.term == own.term && id.index >= own.index)
    }

    /// The largest index up to `index` whose own term is at most `term`, and that term, zero if it is unknown.
    func findConflict(from index: LogIndex, term: Term) -> EntryID {
        var index = index
        while index > .zero {
            guard let own = self.term(at: index) else { return EntryID(term: .zero, index: index) }
            if own <= term { return EntryID(term: own, index: index) }
            index = index.previous()
        }
        return EntryID(term: .zero, index: .zero)
    }

    enum SliceError: Error { case compacted }

    /// Entries from `from` to the end, a prefix of at most `maxSize` bytes and one entry at least.
    mutating func entries(from: LogIndex, maxSize: UInt64) throws(SliceError) -> [Entry] {
        let last = lastIndex
        if from > last { return [] }
        if isRecent(from: from, to: last.next(), maxSize: maxSize) { return recent }
        return try slice(from: from, to: last.next(), maxSize: maxSize)
    }

    /// The entries that nobody has been asked to write yet.
    mutating func entriesToWrite() -> [Entry] {
        guard unstable.hasEntriesToWrite else { return [] }
        if !isRecent(from: unstable.offsetInProgress, to: unstable.end, maxSize: noLimit) {
            recent.removeAll(keepingCapacity: true)
            unstable.copyEntriesToWrite(into: &recent)
            recentSize = recent.encodedSize()
            isRecentStale = false
        }
        return recent
    }

    private func isRecent(from: LogIndex, to: LogIndex, maxSize: UInt64) -> Bool {
        if isRecentStale || recentSize > maxSize { return false }
        guard let first = recent.first?.index else { return false }
        return first == from && first + recent.count == to
    }

    /// `recent` no longer is what the log holds, or nobody is expected to want it any more.
    private mutating func forgetRecent() {
        isRecentStale = true
        // Emptying an array that somebody else still holds would allocate another.
        if recentSize > Self.mostKept { recent = [] }
    }

    /// The entries in `from..<to`, a prefix of at most `maxSize` bytes and one entry at least.
    func slice(from: LogIndex, to: LogIndex, maxSize: UInt64) throws(SliceError) -> [Entry] {
        precondition(from <= to && to <= lastIndex.next(), "slice out of bounds")
        if from < firstIndex { throw .compacted }
        if from == to { return [] }
        if from >= unstable.offset { return unstable.slice(from: from, to: to, maxSize: maxSize) }
        let cut = min(to, unstable.offset)
        var result: [Entry]
        do {
            result = try storage.entries(from: from, to: cut, maxSize: maxSize)
        } catch {
            precondition(error == .compacted, "entries[\(from):\(cut)) is unavailable from storage")
            throw .compacted
        }
        if to <= unstable.offset || result.count < cut - from { return result }
        if maxSize == noLimit {
            result.append(contentsOf: unstable.slice(from: unstable.offset, to: to, maxSize: noLimit))
            return result
        }
        let size = result.encodedSize()
        if size >= maxSize { return result }
        let rest = unstable.slice(from: unstable.offset, to: to, maxSize: maxSize - size)
        if rest.count == 1 && size + rest[0].encodedSize > maxSize { return result }
        result.append(contentsOf: rest)
        return result
    }

    // MARK: Appending

    /// Cuts off what is at and behind `first`, which lies above the committed index.
    mutating func prepare(from first: LogIndex) -> UnstableLog.Joint {
        precondition(first > committed, "an append would replace committed entries")
        if !isRecentStale, let last = recent.last, first <= last.index { forgetRecent() }
        return unstable.prepare(from: first)
    }

    mutating func append(_ entry: Entry) { unstable.append(entry) }

    mutating func append(contentsOf entries: ArraySlice<Entry>) { unstable.append(contentsOf: entries) }

    mutating func append(contentsOf entries: [Entry]) {
        unstable.append(contentsOf: entries[...])
        recent = entries
        recentSize = entries.encodedSize()
        isRecentStale = false
    }

    mutating func restore(_ snapshot: Snapshot) {
        forgetRecent()
        committed = snapshot.metadata.index
        unstable.restore(snapshot)
    }

    // MARK: Committing and applying

    mutating func commit(to index: LogIndex) {
        if index <= committed { return }
        precondition(
            index <= lastIndex,
            "tocommit(\(index)) is out of range [lastIndex(\(lastIndex))]. Was the raft log corrupted, truncated, or lost?"
        )
        committed = index
    }

    /// The state at the start: `index` and everything before it is applied.
    mutating func startApplied(at index: LogIndex) {
        applied = index
        applying = max(applying, index)
    }

    private func maxAppliable(allowUnstable: Bool) -> LogIndex {
        allowUnstable ? committed : min(committed, unstable.offset.previous())
    }

    func hasEntriesToApply(allowUnstable: Bool) -> Bool {
        !applyingPaused && unstable.snapshot == nil && applying < maxAppliable(allowUnstable: allowUnstable)
    }

    /// Committed entries that have not been handed out, as far as the budget goes.
    func entriesToApply(allowUnstable: Bool) -> [Entry] {
        guard hasEntriesToApply(allowUnstable: allowUnstable) else { return [] }
        let budget = maxApplyingSize == noLimit ? noLimit : maxApplyingSize - applyingSize
        let to = maxAppliable(allowUnstable: allowUnstable).next()
        if isRecent(from: applying.next(), to: to, maxSize: budget) { return recent }
        do {
            return try slice(from: applying.next(), to: to, maxSize: budget)
        } catch {
            preconditionFailure("entries from \(applying.next()) on were compacted before they were applied")
        }
    }

    mutating func acceptApplying(to index: LogIndex, size: UInt64, allowUnstable: Bool) {
        precondition(
            index <= committed,
            "applying(\(index)) is out of range [prevApplying(\(applying)), committed(\(committed))]")
        applying = index
        applyingSize += size
        applyingPaused = applyingSize >= maxApplyingSize || index < maxAppliable(allowUnstable: allowUnstable)
    }

    mutating func applied(to index: LogIndex, size: UInt64) {
        precondition(
            index >= applied && index <= committed,
            "applied(\(index)) is out of range [prevApplied(\(applied)), committed(\(committed))]")
        applied = index
        applying = max(applying, index)
        applyingSize = applyingSize > size ? applyingSize - size : 0
        applyingPaused = applyingSize >= maxApplyingSize
        // Whoever still lacks them is behind, and is served from the log.
        if !isRecentStale, let last = recent.last, last.index <= applied { forgetRecent() }
    }

    func checkInvariants() {
        precondition(applied <= applying && applying <= committed)
        unstable.checkInvariants()
    }
}
