public import Base

/// A node of a Raft cluster, without threads, clock, network or disk: calls go in, a `Ready` comes out.
///
/// One owner drives it: it feeds ticks, proposals and messages, and whenever `hasReady` is true takes a `Ready` and
/// does what it says. The same calls in the same order give the same results.
///
/// ```swift
/// var node = try RawNode(Config(id: MemberID(1)), storage: MemoryStorage())
/// ```
public struct RawNode<S: Storage>: Sendable {
    private var previousSoftState: SoftState
    private var previousHardState: HardState
    /// What `advance(_:)` will do for the outstanding `Ready`.
    private var onAdvance: [Message] = []
    private var readySequence: UInt64 = 0
    private var advanced: UInt64 = 0
    private var appendSequence: UInt64 = 0
    private var appendsDone: UInt64 = 0
    private var applySequence: UInt64 = 0
    private var appliesDone: UInt64 = 0
    private var raft: Raft<S>

    /// Makes a node that goes on from what the storage holds; an empty one joins when a leader adds it.
    @_specialize(where S == MemoryStorage)
    public init(_ config: Config, storage: S) throws(ConfigError) {
        raft = try Raft(config, storage: storage)
        previousSoftState = raft.softState
        previousHardState = raft.hardState
    }

    /// Who this node is.
    public var id: MemberID { raft.id }

    /// The storage, for the application to write what a `Ready` tells it to, and to compact.
    public var storage: S {
        _read { yield raft.log.storage }
        _modify { yield &raft.log.storage }
    }

    // MARK: Events

    /// One unit of time has passed.
    @_specialize(where S == MemoryStorage)
    public mutating func tick() {
        raft.tick()
        raft.checkInvariants()
    }

    /// Starts an election now. Does nothing on a leader, a learner or a removed node.
    @_specialize(where S == MemoryStorage)
    public mutating func campaign() {
        raft.hup(raft.config.preVote ? .preElection : .election)
        raft.checkInvariants()
    }

    /// Gives up leadership without a word to anybody: the others elect a new leader when they miss this one's
    /// heartbeats. Does nothing on a node that is no leader.
    @_specialize(where S == MemoryStorage)
    public mutating func stepDown() {
        guard raft.role == .leader else { return }
        raft.becomeFollower(raft.term, leader: .none)
        raft.checkInvariants()
    }

    /// Proposes an entry with this data. A follower forwards it to the leader, and never learns what becomes of it.
    @_specialize(where S == MemoryStorage)
    public mutating func propose(_ data: [UInt8]) throws(ProposalError) {
        defer { raft.checkInvariants() }
        if raft.role == .leader { return try raft.propose(data) }
        try raft.proposeElsewhere([Entry(term: .zero, index: .zero, data: data)])
    }

    /// Proposes one entry for each element: all of them or none, and in one message to each peer.
    @_specialize(where S == MemoryStorage, Batch == [[UInt8]])
    public mutating func propose<Batch: Sequence<[UInt8]>>(contentsOf batch: Batch) throws(ProposalError) {
        try propose(entries: batch.map { Entry(term: .zero, index: .zero, data: $0) })
    }

    /// Proposes a configuration change of the first form. One that may not be proposed now becomes an empty entry.
    public mutating func proposeConfChange(_ change: ConfChange) throws(ProposalError) {
        try propose(entries: [change.entry])
    }

    /// Proposes a configuration change of the second form. One that may not be proposed now becomes an empty entry.
    public mutating func proposeConfChange(_ change: ConfChangeV2) throws(ProposalError) {
        try propose(entries: [change.entry])
    }

    @_specialize(where S == MemoryStorage)
    private mutating func propose(entries: [Entry]) throws(ProposalError) {
        defer { raft.checkInvariants() }
        if entries.isEmpty { throw .empty }
        if raft.role != .leader { return try raft.proposeElsewhere(entries) }
        var entries = entries
        try raft.propose(&entries)
    }

    /// Puts a committed configuration change into force, in the order of the log.
    /// - Returns: the membership from here on, for the next snapshot.
    /// - Throws: if the change cannot follow the present configuration. Nothing has changed then, on this node and on
    ///   every other that applies the same log.
    public mutating func applyConfChange(_ change: ConfChange) throws(ConfChangeError) -> ConfState {
        try applyConfChange(ConfChangeV2(change))
    }

    /// Puts a committed configuration change into force, in the order of the log.
    @_specialize(where S == MemoryStorage)
    public mutating func applyConfChange(_ change: ConfChangeV2) throws(ConfChangeError) -> ConfState {
        defer { raft.checkInvariants() }
        return try raft.apply(change)
    }

    /// Takes a message from a peer.
    /// - Throws: why it was refused. The node is unharmed; log it and drop the message.
    @_specialize(where S == MemoryStorage)
    public mutating func step(_ message: Message) throws(StepError) {
        if message.type.isLocal { throw .localMessage(message.type) }
        // Nobody else may speak for this node or its storage. A request to transfer names the target as its sender.
        if message.from.isLocalThread
            || (message.from == raft.id && message.type != .propose && message.type != .transferLeader)
        {
            throw .malformed(message.type, from: message.from, .address)
        }
        if message.type.isResponse && !raft.tracker.progress.contains(message.from) {
            throw .peerNotFound(message.from)
        }
        defer { raft.checkInvariants() }
        try raft.step(message)
    }

    /// Takes a response that this node's own storage work carried: the form that etcd's storage threads use instead of
    /// `appended(_:)` and `applied(_:)`, for scripts that show the messages. The two forms do not mix on one node.
    package mutating func stepLocal(_ message: Message) throws(StepError) {
        guard message.to == raft.id, message.from == raft.id || message.from.isLocalThread else {
            throw .malformed(message.type, from: message.from, .address)
        }
        if message.from == raft.id && message.type.isResponse && !raft.tracker.progress.contains(raft.id) {
            throw .peerNotFound(message.from)
        }
        defer { raft.checkInvariants() }
        try raft.take(message)
    }

    /// Asks for an index at which a linearizable read may be served. The answer comes as a `ReadState` with the same
    /// context, or never: if the leader is unknown, changes, or the message is lost, ask again.
    @_specialize(where S == MemoryStorage)
    public mutating func readIndex(context: [UInt8]) {
        let entry = Entry(term: .zero, index: .zero, data: context)
        switch raft.role {
        case .leader: raft.readIndex(ReadOnly.Request(from: .none, entries: [entry], index: .zero))
        case .follower:
            if raft.leader == .none {
                raft.info("\(raft.id) no leader at term \(raft.term); dropping index reading msg")
            } else {
                raft.send(Message(type: .readIndex, to: raft.leader, entries: [entry]))
            }
        case .candidate, .preCandidate: break
        }
        raft.checkInvariants()
    }

    /// Asks the leader to hand leadership to a voter. It succeeds within an election timeout or is given up.
    @_specialize(where S == MemoryStorage)
    public mutating func transferLeadership(to target: MemberID) {
        switch raft.role {
        case .leader: raft.transferLeadership(to: target)
        case .follower:
            if raft.leader == .none {
                raft.info("\(raft.id) no leader at term \(raft.term); dropping leader transfer msg")
            } else {
                raft.send(Message(type: .transferLeader, to: raft.leader, from: target))
            }
        case .candidate, .preCandidate: break
        }
        raft.checkInvariants()
    }

    /// Makes a follower forget its leader, so that it supports another's election at once.
    @_specialize(where S == MemoryStorage)
    public mutating func forgetLeader() {
        raft.forgetLeader()
        raft.checkInvariants()
    }

    /// The leader's process is known to have ended: a follower forgets it and campaigns within a few ticks unless
    /// another does before. Nothing is lost when that was wrong: a pre-vote finds those who still hear the leader.
    @_specialize(where S == MemoryStorage)
    public mutating func leaderHasEnded() {
        raft.leaderHasEnded()
        raft.checkInvariants()
    }

    /// The last messages to a peer did not arrive.
    @_specialize(where S == MemoryStorage)
    public mutating func reportUnreachable(_ peer: MemberID) {
        raft.reportUnreachable(peer)
        raft.checkInvariants()
    }

    /// A snapshot has reached a peer, or has not. Until this or an acknowledgement the peer gets no appends.
    @_specialize(where S == MemoryStorage)
    public mutating func reportSnapshot(to peer: MemberID, failed: Bool) {
        raft.reportSnapshot(peer, failed: failed)
        raft.checkInvariants()
    }

    /// Starts the log of a new cluster: every first member calls this with the same list on an empty storage.
    @_specialize(where S == MemoryStorage)
    public mutating func bootstrap(_ peers: [Peer]) throws(ConfigError) {
        defer { raft.checkInvariants() }
        try raft.bootstrap(peers)
        // The first Ready is to persist the term and commit that this has set.
        previousHardState = HardState()
    }

    // MARK: Ready

    private var applyUnstable: Bool { !raft.config.asyncStorageWrites }

    /// Whether there is anything to do for this node. O(1).
    public var hasReady: Bool {
        @_specialize(where S == MemoryStorage) get { hasWork }
    }

    private var hasWork: Bool {
        if raft.softState != previousSoftState { return true }
        let hardState = raft.hardState
        if hardState != previousHardState && !hardState.isEmpty { return true }
        return raft.log.unstable.hasSnapshotToWrite || !raft.messages.isEmpty || !raft.afterAppend.isEmpty
            || raft.log.unstable.hasEntriesToWrite
            || raft.log.hasEntriesToApply(allowUnstable: applyUnstable) || !raft.readStates.isEmpty
    }

    /// Takes all that is to be done. In synchronous mode it must come back with `advance(_:)` before the next is taken.
    @_specialize(where S == MemoryStorage)
    public mutating func ready() -> Ready {
        var ready = Ready()
        ready.entries = raft.log.entriesToWrite()
        ready.committedEntries = raft.log.entriesToApply(allowUnstable: applyUnstable)
        swap(&ready.messages, &raft.messages)
        swap(&ready.readStates, &raft.readStates)
        if raft.softState != previousSoftState {
            previousSoftState = raft.softState
            ready.softState = previousSoftState
        }
        let hardState = raft.hardState
        ready.mustSync =
            !ready.entries.isEmpty || hardState.term != previousHardState.term
            || hardState.vote != previousHardState.vote
        if hardState != previousHardState {
            if !hardState.isEmpty { previousHardState = hardState }
            ready.hardState = hardState
        }
        if raft.log.unstable.hasSnapshotToWrite { ready.snapshot = raft.log.unstable.snapshot }
        let appliedSize = ready.committedEntries.encodedSize()
        if raft.config.asyncStorageWrites {
            addWork(&ready, appliedSize: appliedSize)
        } else {
            precondition(advanced == readySequence, "two accepted Ready structs without call to Advance")
            prepareAdvance(&ready)
        }
        raft.afterAppend.removeAll()
        raft.log.unstable.acceptInProgress()
        if let last = ready.committedEntries.last {
            raft.log.acceptApplying(to: last.index, size: appliedSize, allowUnstable: applyUnstable)
        }
        readySequence += 1
        ready.sequence = readySequence
        raft.checkInvariants()
        return ready
    }

    private mutating func addWork(_ ready: inout Ready, appliedSize: UInt64) {
        if !ready.entries.isEmpty || ready.hardState != nil || ready.snapshot != nil || !raft.afterAppend.isEmpty {
            appendSequence += 1
            ready.append = AppendWork(
                hardState: ready.hardState, entries: ready.entries, snapshot: ready.snapshot,
                mustSync: ready.mustSync || ready.snapshot != nil,
                receipt: receipt(for: ready, sequence: appendSequence))
        }
        if let last = ready.committedEntries.last {
            applySequence += 1
            ready.apply = ApplyWork(
                entries: ready.committedEntries,
                receipt: ApplyReceipt(
                    sequence: applySequence, index: last.index, size: appliedSize,
                    payload: ready.committedEntries.payloadSize()))
        }
    }

    private func receipt(for ready: Ready, sequence: UInt64) -> AppendReceipt {
        // Every work names the end of the log as long as any of it is unstable, also if it brings no entries itself: an
        // earlier report may have been void because the term had changed.
        AppendReceipt(
            id: raft.id, sequence: sequence, term: raft.term,
            last: raft.log.unstable.entries.isEmpty ? nil : raft.log.last, snapshot: ready.snapshot,
            deferred: raft.afterAppend)
    }

    private mutating func prepareAdvance(_ ready: inout Ready) {
        ready.messages += raft.afterAppend.toOthers(than: raft.id)
        let receipt = receipt(for: ready, sequence: 0)
        onAdvance = receipt.deferred.all.filter { $0.to == raft.id }
        if let response = receipt.storageResponse { onAdvance.append(response) }
        if !ready.committedEntries.isEmpty {
            onAdvance.append(
                Message(
                    type: .storageApplyResponse, to: raft.id, from: .localApplyThread,
                    entries: ready.committedEntries))
        }
    }

    /// All that a `Ready` said is done. Only in synchronous mode.
    @_specialize(where S == MemoryStorage)
    public mutating func advance(_ ready: Ready) {
        precondition(!raft.config.asyncStorageWrites, "Advance must not be called when using AsyncStorageWrites")
        precondition(ready.sequence == readySequence && advanced < readySequence, "not the outstanding Ready")
        advanced = readySequence
        let messages = onAdvance
        onAdvance = []
        for message in messages {
            do {
                try raft.take(message)
            } catch {
                preconditionFailure("the node refused its own message: \(error)")
            }
        }
        raft.checkInvariants()
    }

    /// An `AppendWork` is done: it is in the storage, durable if it had to be, and its responses are on their way.
    /// Works must be reported in their order, each once.
    @_specialize(where S == MemoryStorage)
    public mutating func appended(_ receipt: AppendReceipt) {
        precondition(receipt.sequence == appendsDone + 1, "append work \(appendsDone + 1) was never acknowledged")
        appendsDone = receipt.sequence
        if let lone = receipt.deferred.lone {
            // What a step of the acknowledgement would do, without building it.
            if lone.term == raft.term && raft.role == .leader, let own = raft.tracker.progress.position(raft.id) {
                raft.tracker.progress[at: own].recentActive = true
                raft.acknowledged(own, to: lone.index)
            }
        } else {
            for message in receipt.deferred.toSelf(raft.id) where raft.tracker.progress.contains(raft.id) {
                do {
                    try raft.take(message)
                } catch {
                    preconditionFailure("the node refused its own message: \(error)")
                }
            }
        }
        if receipt.term == raft.term {
            // An earlier work may have named the same end of the log.
            if let last = receipt.last, last.index >= raft.log.unstable.offset { raft.stable(last) }
        } else if receipt.last != nil {
            raft.info(
                "\(raft.id) [term: \(raft.term)] ignored entry appends from a MsgStorageAppendResp message with lower term [term: \(receipt.term)]"
            )
        }
        if let snapshot = receipt.snapshot { raft.snapshotApplied(snapshot.metadata.index) }
        raft.checkInvariants()
    }

    /// An `ApplyWork` is done. Works must be reported in their order, each once.
    @_specialize(where S == MemoryStorage)
    public mutating func applied(_ receipt: ApplyReceipt) {
        precondition(receipt.sequence == appliesDone + 1, "apply work \(appliesDone + 1) was never acknowledged")
        appliesDone = receipt.sequence
        raft.applied(to: receipt.index, size: receipt.size, payload: receipt.payload)
        raft.checkInvariants()
    }

    // MARK: Observation

    /// Whether it leads the current term, as far as it knows.
    public var isLeader: Bool { raft.role == .leader }
    /// The leader of the current term, if known.
    public var leader: MemberID {
        @_specialize(where S == MemoryStorage) get { raft.leader }
    }
    /// The latest term that it has seen.
    public var term: Term {
        @_specialize(where S == MemoryStorage) get { raft.term }
    }
    /// How far its log is known to be committed.
    public var committed: LogIndex {
        @_specialize(where S == MemoryStorage) get { raft.log.committed }
    }
    /// How far the application has said that it has applied the log.
    public var applied: LogIndex {
        @_specialize(where S == MemoryStorage) get { raft.log.applied }
    }
    /// The end of its log, durable or not.
    public var lastIndex: LogIndex { raft.log.lastIndex }
    /// The membership that is in force here.
    public var configuration: Configuration { raft.tracker.configuration }
    /// The append works that were handed out and not reported yet.
    public var outstandingAppends: Int { Int(appendSequence - appendsDone) }

    /// O(1).
    public var basicStatus: BasicStatus {
        BasicStatus(
            id: raft.id, hardState: raft.hardState, softState: raft.softState, applied: raft.log.applied,
            transferee: raft.transferee)
    }

    /// All of it: copies the membership and, on a leader, the progress of every member.
    public var status: Status {
        Status(
            basic: basicStatus, configuration: raft.tracker.configuration,
            progress: raft.role == .leader ? raft.tracker.progress : ProgressMap())
    }

    /// Replaces the drawn election timeout until the next draw, in ticks: for tests that script an election.
    package mutating func setRandomizedElectionTimeout(_ ticks: Int) { raft.randomizedElectionTimeout = ticks }
}

extension Raft {
    /// What a node that does not lead does with a proposal.
    mutating func proposeElsewhere(_ entries: [Entry]) throws(ProposalError) {
        guard role == .follower else {
            info("\(id) no leader at term \(term); dropping proposal")
            throw .noLeader(term: term)
        }
        for entry in entries where entry.type != .normal {
            do { _ = try ConfChangeV2.carried(by: entry) } catch { throw .malformedConfChange(error) }
        }
        try forwardProposal(Message(type: .propose, entries: entries))
    }
}
