public import Base

/// The part a node plays. The raw values are etcd's.
public enum Role: UInt8, Sendable, Hashable {
    /// Follows a leader, or waits for one.
    case follower = 0
    /// Asks for votes in its term.
    case candidate = 1
    /// Leads its term.
    case leader = 2
    /// Asks whether it would be elected, before it raises its term.
    case preCandidate = 3
}

/// A read that may be served once the state machine has applied `index`.
public struct ReadState: Sendable, Hashable {
    /// What must be applied before the read is served.
    public var index: LogIndex
    /// As it was given with the request.
    public var context: [UInt8]

    /// An answer for the request with this context.
    @inlinable public init(index: LogIndex, context: [UInt8]) {
        self.index = index
        self.context = context
    }
}

/// The consensus state machine of one node: messages and ticks in; messages, entries and state to persist out.
///
/// It follows the Raft thesis (Ongaro, 2014) with the additions and the message flow of etcd-io/raft. `RawNode` is the
/// way to drive it.
///
/// Invariants:
/// 1. `term` never goes back; `vote` changes only from nobody to somebody within a term.
/// 2. `role == .leader` implies `leader == id`.
/// 3. What may leave only after persistence is in `afterAppend`; `messages` never needs it.
struct Raft<S: Storage>: Sendable {
    let id: MemberID
    let config: Config
    var term: Term = .zero
    var vote: MemberID = .none
    var role: Role = .follower
    /// The leader of this term, if known.
    var leader: MemberID = .none
    /// To whom leadership is being handed over.
    var transferee: MemberID = .none
    /// No configuration change may be proposed until this index is applied.
    var pendingConfIndex: LogIndex = .zero
    /// The payload of this leader's entries that are not known to be applied.
    var uncommittedSize: UInt64 = 0

    var electionElapsed = 0
    var heartbeatElapsed = 0
    var randomizedElectionTimeout = 0
    /// How often a campaign in turn may ask for pre-votes once more.
    var asksAgain = 0
    /// Ticks for which this node does not campaign, because another does.
    var courtesyTicks = 0
    var random: SeededGenerator

    var tracker: Tracker
    var readOnly = ReadOnly()
    var readStates: [ReadState] = []
    /// Read requests that wait for the first commit of this leader's term.
    var pendingReads: [ReadOnly.Request] = []

    /// To be sent at once.
    var messages: [Message] = []
    /// To be sent, or delivered to this node itself, once everything before is durable.
    var afterAppend = DeferredMessages()

    // Last, so that the offsets of the other fields do not depend on the type of the storage.
    var log: RaftLog<S>

    init(_ config: Config, storage: S) throws(ConfigError) {
        try config.validate()
        id = config.id
        self.config = config
        random = SeededGenerator(seed: config.seed ^ config.id.rawValue &* 0x9E37_79B9_7F4A_7C15)
        tracker = Tracker(
            maxInflightMessages: config.maxInflightMessages, maxInflightBytes: config.maxInflightBytes)
        log = RaftLog(
            storage: storage,
            maxApplyingSize: config.maxCommittedSizePerReady == 0
                ? config.maxSizePerMessage : config.maxCommittedSizePerReady)

        let (hardState, confState) = storage.initialState
        do {
            let restored = try Changer.restore(confState, tracker: tracker, lastIndex: log.lastIndex)
            _ = switchConfiguration(restored)
        } catch {
            throw .confState(error)
        }
        if !hardState.isEmpty {
            guard hardState.commit <= log.lastIndex else {
                throw .commitOutOfRange(commit: hardState.commit, lastIndex: log.lastIndex)
            }
            // It may lag behind the snapshot: a commit index alone need not be durable.
            log.commit(to: hardState.commit)
            term = hardState.term
            vote = hardState.vote
        }
        if config.applied > .zero {
            guard config.applied >= log.applied && config.applied <= log.lastIndex else {
                throw .appliedOutOfRange(
                    applied: config.applied, firstApplied: log.applied, lastIndex: log.lastIndex)
            }
            // What was applied was committed.
            log.commit(to: config.applied)
            log.startApplied(at: config.applied)
        }
        trace(
            .started(
                self.hardState, applied: log.applied, last: log.lastIndex,
                configuration: tracker.configuration.confState))
        becomeFollower(term, leader: .none)
        info(
            "newRaft \(id) [peers: [\(tracker.configuration.voters.ids.map(\.description).joined(separator: ","))], term: \(term), commit: \(log.committed), applied: \(log.applied), lastindex: \(log.last.index), lastterm: \(log.last.term)]"
        )
    }

    var hardState: HardState { HardState(term: term, vote: vote, commit: log.committed) }
    var softState: SoftState { SoftState(leader: leader, role: role) }

    /// Whether this node may start an election.
    var isPromotable: Bool {
        guard let p = tracker.progress.position(id) else { return false }
        return !tracker.progress[at: p].isLearner && log.unstable.snapshot == nil
    }

    var isLearner: Bool { tracker.progress[id]?.isLearner ?? false }

    // MARK: Sending

    /// Sends a message at this node's term.
    mutating func send(_ message: Message) {
        var message = message
        if message.from == .none { message.from = id }
        if !message.type.isTermless { message.term = term }
        precondition(message.to != id, "message should not be self-addressed when sending \(message.type.name)")
        trace(.sent(message))
        messages.append(message)
    }

    /// Sends a response that promises something: it waits until what it promises is durable.
    mutating func sendAfterAppend(_ message: Message) {
        var message = message
        message.from = id
        precondition(message.term != .zero, "term should be set when sending \(message.type.name)")
        trace(.sent(message))
        let isVote = message.type == .voteResponse
        if message.to != id && (isVote ? has(.voteBeforeDurable) : has(.acknowledgeBeforeDurable)) {
            return messages.append(message)
        }
        afterAppend.append(message)
    }

    /// Acknowledges, to the leader or to itself, the log up to `index`.
    mutating func acknowledgeAppend(_ index: LogIndex, to: MemberID) {
        if to == id && config.trace == nil {
            afterAppend.appendSelf(id: id, term: term, index: index)
        } else {
            sendAfterAppend(Message(type: .appendResponse, to: to, term: term, index: index))
        }
    }

    // MARK: Transitions

    mutating func reset(_ newTerm: Term) {
        precondition(newTerm >= term, "terms never go back")
        if term != newTerm {
            term = newTerm
            vote = .none
        }
        leader = .none
        electionElapsed = 0
        heartbeatElapsed = 0
        asksAgain = 0
        courtesyTicks = 0
        randomizedElectionTimeout = config.electionTicks + random.next(below: config.electionTicks)
        transferee = .none
        tracker.resetVotes()
        let last = log.lastIndex
        for p in 0..<tracker.progress.count {
            tracker.progress[at: p] = Progress(
                match: tracker.progress.ids[p] == id ? last : .zero, next: last.next(), recentActive: false,
                isLearner: tracker.progress[at: p].isLearner, inflights: tracker.newInflights)
        }
        pendingConfIndex = .zero
        uncommittedSize = 0
        readOnly.removeAll()
        pendingReads.removeAll()
    }

    mutating func becomeFollower(_ newTerm: Term, leader newLeader: MemberID) {
        reset(newTerm)
        leader = newLeader
        role = .follower
        info("\(id) became follower at term \(term)")
        trace(.becameFollower(term: term, leader: leader))
    }

    mutating func becomePreCandidate() {
        precondition(role != .leader, "invalid transition [leader -> pre-candidate]")
        // Neither term nor vote nor timeout change: only if a quorum would vote for this node is there an election.
        tracker.resetVotes()
        leader = .none
        role = .preCandidate
        info("\(id) became pre-candidate at term \(term)")
        trace(.becamePreCandidate(term: term))
    }

    mutating func becomeCandidate() {
        precondition(role != .leader, "invalid transition [leader -> candidate]")
        reset(has(.reuseTerm) && term > .zero ? term : term.next())
        vote = id
        role = .candidate
        info("\(id) became candidate at term \(term)")
        trace(.becameCandidate(term: term))
    }

    mutating func becomeLeader() {
        precondition(role != .follower, "invalid transition [follower -> leader]")
        reset(term)
        leader = id
        role = .leader
        guard let own = tracker.progress.position(id) else { preconditionFailure("a leader must be a member") }
        tracker.progress[at: own].becomeReplicate()
        tracker.progress[at: own].recentActive = true
        // An inherited change may wait anywhere in the log's tail; until all of it is applied, no new one is taken.
        pendingConfIndex = log.lastIndex
        trace(.becameLeader(term: term, lastIndex: log.lastIndex))
        appendEntry(Entry(term: term, index: .zero))
        info("\(id) became leader at term \(term)")
    }

    // MARK: Ticks

    mutating func tick() {
        if role == .leader { tickHeartbeat() } else { tickElection() }
    }

    private mutating func tickElection() {
        electionElapsed += 1
        if courtesyTicks > 0 {
            courtesyTicks -= 1
        } else if isPromotable && electionElapsed >= electionTimeout {
            electionElapsed = 0
            if config.campaignsInTurn { takeTurn() }
            hup(config.preVote ? .preElection : .election)
        }
    }

    private mutating func tickHeartbeat() {
        heartbeatElapsed += 1
        electionElapsed += 1
        if config.checksQuorumEachTick { watchQuorum() }
        if electionElapsed >= config.electionTicks {
            electionElapsed = 0
            if config.checkQuorum && !config.checksQuorumEachTick { checkQuorum() }
            // A transfer that takes longer than an election is given up, so that proposals are taken again.
            if role == .leader { transferee = .none }
        }
        if role == .leader && heartbeatElapsed >= config.heartbeatTicks {
            heartbeatElapsed = 0
            broadcastHeartbeat()
        }
    }

    mutating func checkQuorum() {
        if !tracker.quorumActive {
            warn("\(id) stepped down to follower since quorum is not active")
            becomeFollower(term, leader: .none)
        }
        for p in 0..<tracker.progress.count where tracker.progress.ids[p] != id {
            tracker.progress[at: p].recentActive = false
        }
    }

    // MARK: Observation

    @inline(__always) func debug(_ text: @autoclosure () -> String) { write(.debug, text) }
    @inline(__always) func info(_ text: @autoclosure () -> String) { write(.info, text) }
    @inline(__always) func warn(_ text: @autoclosure () -> String) { write(.warning, text) }
    @inline(__always) func error(_ text: @autoclosure () -> String) { write(.error, text) }

    @inline(__always) private func write(_ level: LogLevel, _ text: () -> String) {
        if let sink = config.log, level >= sink.level { sink.write(level, text()) }
    }

    @inline(__always) func trace(_ event: @autoclosure () -> TraceEvent) {
        if let sink = config.trace { sink.record(id, event()) }
    }

    /// The part that costs no more than a few comparisons.
    func checkInvariants() {
        // A node with a fault is to be caught from outside.
        if hasFault { return }
        precondition(role != .leader || leader == id)
        precondition(role != .candidate || vote == id)
        log.checkInvariants()
    }
}
