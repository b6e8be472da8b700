public import Base

/// A `Storage` in memory: the whole of it, or the cache of the tail of a log whose durable form lies elsewhere.
///
/// Appending, reading and compacting cost only the entries concerned; compaction gives their memory back.
public struct MemoryStorage: Storage {
    private var hardState = HardState()
    private var latest = Snapshot()
    /// The last compacted entry, at which the log can still be matched.
    private var base: (index: LogIndex, term: Term) = (.zero, .zero)
    private var log = EntryQueue()

    /// An empty storage, of a node that is new.
    public init() {}

    public var initialState: (hardState: HardState, confState: ConfState) { (hardState, latest.metadata.confState) }
    public var firstIndex: LogIndex { base.index.next() }
    public var lastIndex: LogIndex { base.index + log.count }
    public func snapshot() throws(StorageError) -> Snapshot { latest }

    public func term(at index: LogIndex) throws(StorageError) -> Term {
        if index < base.index { throw .compacted }
        if index == base.index { return base.term }
        if index > lastIndex { throw .unavailable }
        return log.term(index - base.index - 1)
    }

    public func entries(from: LogIndex, to: LogIndex, maxSize: UInt64) throws(StorageError) -> [Entry] {
        if from <= base.index { throw .compacted }
        if from > to || to > lastIndex.next() { throw .unavailable }
        return log.prefix(of: (from - base.index - 1)..<(to - base.index - 1), maxSize: maxSize)
    }

    /// Keeps the hard state of a `Ready`.
    public mutating func setHardState(_ state: HardState) { hardState = state }

    /// Puts entries at the end; those that are already there from the first new index on are replaced, and those that
    /// are compacted are skipped.
    /// - Parameter entries: consecutive; a gap behind the last index is a bug of the caller and traps.
    public mutating func append(_ entries: [Entry]) {
        guard let first = entries.first else { return }
        let skip = first.index > base.index ? 0 : base.index - first.index + 1
        if skip >= entries.count { return }
        let start = first.index + skip
        precondition(start <= lastIndex.next(), "missing log entries between \(lastIndex) and \(start)")
        log.truncate(to: start - base.index - 1)
        log.append(contentsOf: entries[skip...])
    }

    /// Drops the entries up to `index`, whose term stays known.
    public mutating func compact(to index: LogIndex) throws(StorageError) {
        if index <= base.index { throw .compacted }
        if index > lastIndex { throw .unavailable }
        let term = try term(at: index)
        log.removeFirst(index - base.index)
        base = (index, term)
    }

    /// Records a snapshot of the state at `index`, an entry that is in the log.
    /// - Parameters:
    ///   - index: the last entry that the state includes.
    ///   - confState: the membership at `index`; nil keeps the last one.
    ///   - data: the state.
    public mutating func createSnapshot(
        at index: LogIndex, confState: ConfState? = nil, data: [UInt8] = []
    ) throws(StorageError) -> Snapshot {
        if index <= latest.metadata.index { throw .snapshotOutOfDate }
        let term = try term(at: index)
        latest = Snapshot(
            data: data,
            metadata: SnapshotMetadata(
                confState: confState ?? latest.metadata.confState, index: index, term: term))
        return latest
    }

    /// Replaces everything with a snapshot.
    public mutating func apply(_ snapshot: Snapshot) throws(StorageError) {
        if latest.metadata.index >= snapshot.metadata.index && !latest.isEmpty { throw .snapshotOutOfDate }
        latest = snapshot
        base = (snapshot.metadata.index, snapshot.metadata.term)
        log = EntryQueue()
    }
}
