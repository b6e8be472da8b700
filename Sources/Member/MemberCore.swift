package import Apply
package import Base
internal import EtcdProto
internal import Leasing
package import MVCC
internal import Membership
package import Platform
internal import RaftCore

/// A member of a cluster as a pure state machine: events and the time in, effects out. It owns raft, the store and the
/// membership; it reads no clock, file or random number. `MemberLoop` drives it on a thread.
///
/// Invariants, checked after each turn: (1) applied ≤ committed; (2) the backend file's index ≤ the backend's;
/// (3) at most one backend commit and one snapshot are under way.
package final class MemberCore {
    let configuration: MemberConfiguration
    package let localID: MemberID
    package let clusterID: ClusterID
    var node: RaftNode
    /// Replaced as a whole when a leader's snapshot is installed.
    package internal(set) var applier: Applier
    /// The membership as raft last confirmed it, for the next snapshot.
    var confState: ConfState
    /// What the cluster version is taken to be as long as none has been agreed on.
    let assumedVersion: SemanticVersion
    /// As the last `Ready` said.
    var leader = MemberID.none
    /// The term in which that came to be so.
    var leaderTerm = Term.zero
    /// When the newest leader became known here; nil before the first.
    var leaderKnownSince: Instant?
    var ids: RequestIDGenerator

    /// Proposals of this turn, or of earlier ones while no leader is known.
    var proposals: [[UInt8]] = []
    /// Their request IDs, one for each.
    var proposalIDs: [UInt64] = []
    var pending = PendingRequests()
    var reads = LinearizableReads()
    var boundedReads = BoundedReads()
    var outbox = ResponseOutbox()
    /// Applied results are encoded here before it is known who waits for them.
    var scratch: [UInt8] = []

    var now: Instant
    private let requestTimeout: Duration
    /// When a request that comes in now and names no earlier time is given up.
    var requestLimit: Instant
    var nextTick: Instant
    var nextCommit: Instant
    var nextVersionCheck: Instant
    var nextDowngradeCheck: Instant
    var nextCompactionSlice: Instant
    var nextHashSlice: Instant
    var nextRangeSlice: Instant
    var nextReaderReport: Instant
    /// Answers to physical compactions, held back until the history is gone from the backend file.
    var compactions = WaitingCompactions()

    /// Copies of the backend that clients wait for.
    var copies: [BackendCopyOrder] = []
    /// Reads of many keys that are under way, in the order of their next slices.
    var ranges: [AwaitedRange] = []
    /// Hashes of the store that are waited for; the first is under way.
    var hashes: [AwaitedHash] = []
    /// Comparisons of the members' data, and what they have shown.
    var corruption: CorruptionWatch
    /// What is known of the other members.
    var peers: PeerRecords
    /// What this turn has for them.
    var outgoing = PeerWork()
    var heldCommits = HeldCommits()
    var sendingSnapshots = SnapshotSending()
    /// A leader's snapshot whose database is being opened; nothing is applied or committed meanwhile.
    var installing: Snapshot?
    var isInstallationRequested = false
    var contention: HeartbeatContention
    /// Until when leadership may be handed over before the member is stopped.
    var leavingUntil: Instant?
    /// Clients that wait for leadership to move, and where to.
    var leadershipMoves: [LeadershipMove] = []
    /// Clients that wait for the leader's answer to a promotion, by its number.
    var forwardedPromotions: [UInt64: (address: ReplyAddress, deadline: Instant)] = [:]
    var leaderless = LeaderlessRequests()
    /// The time of the leases, while this member leads.
    var lessor: Lessor
    /// Clients and members that wait for what becomes of a lease, here and at the leader.
    var renewalsOfEnded = RenewalsOfEnded()
    var forwardedQuestions = ForwardedQuestions()
    /// The time of day at the start, from which that of new members is told.
    private let unixMillisecondsAtStart: Int64
    private let startedAt: Instant

    /// The index of the last snapshot that is durable, and of the one under way.
    var snapshotIndex: LogIndex
    var snapshotUnderWay: PendingSnapshot?

    var logWatch: LogWatch
    /// The file that the log's thread wrote last.
    var logFile: String
    var figures = MemberStatistics()
    var lines: [LogLine] = []
    var failure: MemberError?
    var becameReady = false
    var hasPublished = false
    private var hasCampaignedAlone = false
    /// Has been ready at some time.
    var wasReady = false
    var isSettingVersion = false
    var hasLeft = false
    var isRemoved = false
    var isChangingAlarm = false
    var divergenceRecords = DivergenceRecords()
    var effectsLedger = EffectsLedger()
    /// See `divergenceSuspects`.
    var toldSuspects: [MemberID] = []
    var isEndingDowngrade = false
    /// The entry by which the version of the cluster went down, or a later one. See `followClusterVersion`.
    var loweringSince: LogIndex?

    package init(_ restored: RestoredMember, configuration: MemberConfiguration, now: Instant, unixMilliseconds: Int64)
    {
        self.configuration = configuration
        localID = restored.localID
        clusterID = restored.clusterID
        node = RaftNode(restored.node)
        applier = restored.applier
        confState = restored.confState
        ids = RequestIDGenerator(member: restored.localID, unixMilliseconds: unixMilliseconds)
        snapshotIndex = restored.snapshotIndex
        peers = PeerRecords(startedAt: now)
        unixMillisecondsAtStart = unixMilliseconds
        startedAt = now
        contention = HeartbeatContention(limit: configuration.heartbeatInterval * 2)
        lessor = Lessor(
            LessorSettings(
                grace: configuration.electionTimeout, minimumTTL: configuration.minimumLeaseTTL,
                checkpointInterval: configuration.checkpointsLeases ? configuration.leaseCheckpointInterval : nil))
        assumedVersion = restored.assumedVersion
        logFile = restored.logFile
        logWatch = LogWatch(now: now)
        self.now = now
        requestTimeout = configuration.requestTimeout
        requestLimit = now + requestTimeout
        nextTick = now + configuration.heartbeatInterval
        nextCommit = now + configuration.backendBatchInterval
        nextVersionCheck = now
        nextDowngradeCheck = now
        nextCompactionSlice = now
        nextHashSlice = now
        nextRangeSlice = now
        nextReaderReport = now
        corruption = CorruptionWatch(configuration, now: now)
        figures.clusterID = restored.clusterID
        figures.memberID = restored.localID
        figures.name = configuration.name
        meetPeers()
        restoreQuarantine()
    }

    /// One turn: takes in everything that has happened, and hands out everything that is to be done.
    /// - Parameter events: emptied.
    package func turn(_ events: inout [MemberEvent], now: Instant) -> MemberEffects {
        precondition(now >= self.now, "time goes back")
        self.now = now
        requestLimit = now + requestTimeout
        var effects = MemberEffects(wakeAt: now)
        let appliedBefore = node.applied
        if failure == nil {
            for event in events { handle(event, &effects) }
            let ticked = advanceClock()
            campaignAlone()
            watchCluster()
            publish()
            watchDowngrade()
            proposeQueued()
            serveLeaderless()
            keepLeases()
            beginReadRound()
            runRaft(&effects)
            serveReads()
            if ticked { expire() }
            finishLeadershipMoves()
            keepHouse(&effects)
            compareEffects()
            for work in effects.log { logWatch.handedOut(work.sequence, at: now) }
            giveOutgoing(&effects.peers)
        }
        events.removeAll(keepingCapacity: true)
        if failure != nil { refuseEverything() }
        outbox.drain(into: &effects.responses)
        swap(&effects.lines, &lines)
        effects.failure = failure
        effects.hasApplied = node.applied > appliedBefore
        effects.becameReady = becameReady
        becameReady = false
        effects.hasLeft = hasLeft
        effects.isRemoved = isRemoved
        effects.wakeAt = min(nextTick, nextCommit)
        if let due = heldCommits.due { effects.wakeAt = min(effects.wakeAt, due) }
        if applier.store.isCompacting { effects.wakeAt = min(effects.wakeAt, nextCompactionSlice) }
        if !ranges.isEmpty { effects.wakeAt = min(effects.wakeAt, nextRangeSlice) }
        if let deadline = boundedReads.nextDeadline { effects.wakeAt = min(effects.wakeAt, deadline) }
        if !hashes.isEmpty { effects.wakeAt = min(effects.wakeAt, nextHashSlice) }
        checkInvariants()
        return effects
    }

    private func handle(_ event: MemberEvent, _ effects: inout MemberEffects) {
        switch event {
        case .requests(let requests, let sink):
            for request in requests { accept(request, from: sink) }
        case .logged(let completion): logged(completion)
        case .committed(let completion): backendCommitted(completion)
        case .statistics(let reply): effects.statistics.append((reply, statistics()))
        case .peer(let report): handle(report)
        case .copied(let copy): databaseCopied(copy)
        case .copiedForClient(let order, let copy): hand(copy, to: order)
        case .installed(let installed): take(installed)
        case .replaced(let result): take(result)
        case .leave: leave()
        case .failed(let error): fail(error)
        }
    }

    /// Ticks that are due. After a long pause only one is made up for: what did not run cannot have missed anything.
    private func advanceClock() -> Bool {
        guard now >= nextTick else { return false }
        if logKeepsPace() { node.tick() }
        nextTick = nextTick + configuration.heartbeatInterval
        if nextTick <= now { nextTick = now + configuration.heartbeatInterval }
        return true
    }

    /// Nobody can object to the election of the only voter, so it does not wait for its election timeout.
    private func campaignAlone() {
        guard configuration.advancesInitialElectionTicks, !hasCampaignedAlone, node.leader == .none,
            node.applied == node.committed, node.configuration.voters.ids == [localID]
        else { return }
        hasCampaignedAlone = true
        node.campaign()
    }

    /// Milliseconds since 1970, by the clock of the start.
    var unixMilliseconds: Int64 { unixMillisecondsAtStart + (now - startedAt).inNanoseconds / 1_000_000 }

    /// The member cannot go on. The first reason stays.
    func fail(_ error: MemberError) {
        if failure == nil { failure = error }
    }

    private func refuseEverything() {
        refuseClients(.stopped)
        refuseHashes()
        for waiter in pending.removeAll() {
            switch waiter {
            case .membership(let address, _), .downgrade(let address): outbox.refuse(address, .stopped)
            case .client, .renewal, .own: break
            }
        }
        for move in leadershipMoves { outbox.refuse(move.address, .stopped) }
        leadershipMoves = []
        leaderless = LeaderlessRequests()
        for number in forwardedPromotions.keys.sorted() {
            if let waiter = forwardedPromotions.removeValue(forKey: number) { outbox.refuse(waiter.address, .stopped) }
        }
    }

    /// Refuses all who wait for something that shows or depends on the data.
    func refuseClients(_ error: EtcdError) {
        for order in copies { outbox.refuse(order.address, error) }
        copies.removeAll()
        refuseRanges(error)
        for address in pending.removeClients() { outbox.refuse(address, error) }
        for waiter in takeLeaseWaiters() { outbox.refuse(waiter.address, error) }
        for read in reads.takeAll() { outbox.refuse(read.address, error) }
        for read in boundedReads.takeAll() { outbox.refuse(read.address, error) }
        for answer in compactions.removeAll() { outbox.refuse(answer.address, error) }
    }

    private func expire() {
        let expired = pending.removeExpired(at: now)
        let unproposed = expired.isEmpty ? [] : unproposedIDs
        for each in expired {
            switch each.waiter {
            case .client(let address), .membership(let address, _), .downgrade(let address):
                figures.proposalsFailed += 1
                outbox.refuse(address, unproposed.contains(each.id) ? .deadlineExceeded : timeout(since: each.since))
            case .renewal(let waiter): outbox.refuse(waiter.address, timeout(since: each.since))
            case .own(.publish): hasPublished = false
            case .own(.clusterVersion): isSettingVersion = false
            case .own(.alarm): isChangingAlarm = false
            case .own(.downgradeEnd): isEndingDowngrade = false
            case .own(.corruptAlarm): break
            }
        }
        dropAbandonedProposals()
        expireLeaderless()
        expireLeaseQuestions()
        expireHashes()
        for read in reads.takeExpired(at: now) {
            figures.readIndexesFailed += 1
            outbox.refuse(read.address, .timeout)
        }
    }

    private func checkInvariants() {
        precondition(node.applied <= node.committed, "applied beyond committed")
        precondition(applier.backend.committedIndex <= applier.backend.consistentIndex)
    }

    /// What log and backend file do not hold yet, for a clean stop. Nothing may be asked of the member afterwards.
    package func lastWork() -> (log: LogWork?, commit: CommitBatch?) {
        (node.releaseHeldState(), applier.backend.freeze())
    }

    /// Whether history is being removed.
    package var isCompacting: Bool { applier.store.isCompacting }

    func log(_ level: LogLine.Level, _ message: String, _ fields: KeyValuePairs<String, String> = [:]) {
        lines.append(LogLine(level, message, fields))
    }
}
