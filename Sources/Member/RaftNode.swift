package import Base
package import RaftCore

/// The bridge between raft and the server: it drives the raft core with asynchronous storage writes, turns each `Ready`
/// into work for the log's thread, entries to apply and messages to send, and keeps the record of what is under way.
///
/// Invariants: (1) append work is acknowledged in the order in which it was handed out, and its entries are in the
/// storage before raft hears that they are stable; (2) `heldState` differs from what the log's thread was last given in
/// the commit index alone.
package struct RaftNode {
    private var raw: RawNode<MemoryStorage>
    /// Append work on the log's thread, oldest first.
    private var appending: [Appending] = []
    private var lastSequence: UInt64 = 0
    /// What the log's thread has reported.
    private var durable: UInt64 = 0
    /// The last snapshot of a leader whose state has been taken over.
    private var installed = LogIndex.zero
    /// A commit index that the log has not been given yet: it goes there with the next work, or with the next commit
    /// to the backend file, instead of costing a write for each batch. It is a hint: what is committed is found anew
    /// after a restart.
    private var heldState: HardState?

    private struct Appending {
        var sequence: UInt64
        var work: AppendWork
    }

    /// What raft wants done, in the order in which it is to be done.
    package struct Output {
        package var softState: SoftState?
        package var readStates: [ReadState] = []
        /// May leave at once, before anything is durable.
        package var messages: [Message] = []
        package var log: LogWork?
        package var committed: ApplyWork?
    }

    package init(_ raw: RawNode<MemoryStorage>) { self.raw = raw }

    // MARK: Observation

    package var isLeader: Bool { raw.isLeader }
    package var leader: MemberID { raw.leader }
    package var term: Term { raw.term }
    package var committed: LogIndex { raw.committed }
    package var applied: LogIndex { raw.applied }
    package var configuration: Configuration { raw.configuration }
    package var status: Status { raw.status }

    // MARK: Events

    package mutating func tick() { raw.tick() }
    package mutating func step(_ message: Message) throws(StepError) { try raw.step(message) }
    package mutating func reportUnreachable(_ peer: MemberID) { raw.reportUnreachable(peer) }
    package mutating func reportSnapshot(to peer: MemberID, failed: Bool) {
        raw.reportSnapshot(to: peer, failed: failed)
    }
    package mutating func transferLeadership(to target: MemberID) { raw.transferLeadership(to: target) }
    package mutating func campaign() { raw.campaign() }
    package mutating func leaderHasEnded() { raw.leaderHasEnded() }
    package mutating func stepDown() { raw.stepDown() }

    /// Proposes all entries in one step, or none.
    package mutating func propose(_ entries: [[UInt8]]) throws(ProposalError) {
        try raw.propose(contentsOf: entries)
    }

    package mutating func propose(_ change: ConfChange) throws(ProposalError) { try raw.proposeConfChange(change) }

    /// Starts a read-index round; its answer comes as a read state with the same ID.
    package mutating func readIndex(_ id: UInt64) {
        raw.readIndex(context: (0..<8).map { UInt8(truncatingIfNeeded: id >> (56 - 8 * UInt64($0))) })
    }

    /// The ID that `readIndex` was given.
    package static func readID(_ state: ReadState) -> UInt64 {
        state.context.reduce(0) { $0 << 8 | UInt64($1) }
    }

    package mutating func applyConfChange(_ change: ConfChange) throws(ConfChangeError) -> ConfState {
        try raw.applyConfChange(change)
    }

    // MARK: Work

    /// The next thing to do, nil when there is nothing.
    package mutating func next() -> Output? {
        guard raw.hasReady else { return nil }
        let ready = raw.ready()
        var output = Output(
            softState: ready.softState, readStates: ready.readStates, messages: ready.messages, committed: ready.apply)
        guard let work = ready.append else { return output }
        if work.isCommitOnly, let state = work.hardState, !(appending.isEmpty && work.reportsEntries) {
            heldState = state
            if let last = appending.last {
                appending.append(Appending(sequence: last.sequence, work: work))
            } else {
                raw.storage.setHardState(state)
                raw.appended(work.receipt)
            }
        } else {
            lastSequence += 1
            output.log =
                if let snapshot = work.snapshot {
                    .received(
                        sequence: lastSequence, snapshot, hardState: work.hardState ?? heldState,
                        entries: work.entries)
                } else {
                    .append(
                        sequence: lastSequence, hardState: work.hardState ?? heldState, entries: work.entries,
                        sync: work.mustSync)
                }
            heldState = nil
            appending.append(Appending(sequence: lastSequence, work: work))
        }
        return output
    }

    /// Work that writes the commit index that was held back, if one was. It goes out with each commit to the backend
    /// file, and so before any snapshot, which must not be ahead of it in the log.
    package mutating func releaseHeldState() -> LogWork? {
        guard let state = heldState else { return nil }
        heldState = nil
        lastSequence += 1
        // Nobody waits for it, and raft has its acknowledgement.
        return .append(sequence: lastSequence, hardState: state, entries: [], sync: false)
    }

    /// The log's thread has made all work up to `sequence` durable. Work that brings a snapshot, and all behind it,
    /// waits until the snapshot is installed, too: the leader hears of it when the member really has its state.
    /// - Returns: messages that may leave now.
    package mutating func appended(through sequence: UInt64) -> [Message] {
        durable = max(durable, sequence)
        var messages: [Message] = []
        var done = 0
        for item in appending {
            guard item.sequence <= durable else { break }
            if let snapshot = item.work.snapshot {
                guard installed >= snapshot.metadata.index else { break }
                do { try raw.storage.apply(snapshot) } catch {
                    preconditionFailure("raft took an old snapshot at \(snapshot.metadata.index): \(error)")
                }
            }
            if let hardState = item.work.hardState { raw.storage.setHardState(hardState) }
            raw.storage.append(item.work.entries)
            messages.append(contentsOf: item.work.responses)
            raw.appended(item.work.receipt)
            done += 1
        }
        appending.removeFirst(done)
        return messages
    }

    /// The state of the snapshot at `index`, which the log's thread has made durable, is the member's now.
    /// - Returns: messages that may leave now.
    package mutating func snapshotInstalled(_ index: LogIndex) -> [Message] {
        installed = index
        return appended(through: durable)
    }

    /// The entries of `work` have been applied.
    package mutating func applied(_ work: ApplyWork) { raw.applied(work.receipt) }

    /// A number for other work on the log's thread, in one row with the appends.
    package mutating func nextSequence() -> UInt64 {
        lastSequence += 1
        return lastSequence
    }

    /// The state up to `index` is durable elsewhere: entries before `index - catchUp` are dropped from memory.
    package mutating func compact(at index: LogIndex, confState: ConfState, catchUp: UInt64) throws(StorageError) {
        _ = try raw.storage.createSnapshot(at: index, confState: confState)
        let first = raw.storage.firstIndex
        guard index.rawValue > catchUp else { return }
        let target = LogIndex(index.rawValue - catchUp)
        if target > first { try raw.storage.compact(to: target) }
    }

    /// Entries that are still in memory.
    package func entries(after index: LogIndex, through last: LogIndex) throws(StorageError) -> [Entry] {
        guard last > index else { return [] }
        return try raw.storage.entries(from: index.next(), to: last.next(), maxSize: .max)
    }

    /// The term of an entry that is still in memory.
    package func term(at index: LogIndex) throws(StorageError) -> Term { try raw.storage.term(at: index) }
}
