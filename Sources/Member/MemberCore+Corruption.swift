internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership
internal import Platform
internal import RaftCore

/// Comparisons of the members' data: when the next are due, and the one under way. At most one is.
struct CorruptionWatch {
    /// A comparison under way.
    struct Round {
        enum Kind {
            case periodic
            /// Compares what a compaction recorded; these come next if it says nothing, the newest first.
            case compaction(older: [KeyValueHash])
            /// This member compares itself with the others.
            case own
        }

        enum Stage: Equatable {
            /// The own hash is being worked out.
            case hashing
            case asking
            /// Whether this member still leads is being found out, under this ID.
            case confirming(UInt64)
            /// It did at this index, which has to be applied.
            case applying(LogIndex)
            /// The own hash is being worked out a second time.
            case hashingAgain
        }

        var number: UInt64
        var kind: Kind
        var stage: Stage
        /// nil until it is known.
        var own: CorruptionCheck.Own?
        var answers: [PeerHash] = []
        /// When the question, or the confirmation, is given up; hashes take the time they take.
        var deadline: Instant
        /// The last applied entry when the own hash was begun.
        var applied: LogIndex
    }

    /// How often a member in quarantine looks whether it still differs.
    static let quarantineInterval: Duration = .seconds(10)
    /// How often, and at which distance, a member that has been accused asks the others, who may be behind.
    static let attempts = 4
    static let attemptInterval: Duration = .milliseconds(500)

    var quarantine: Quarantine?
    var round: Round?
    var lastNumber: UInt64 = 0
    /// nil for never.
    var nextPeriodic: Instant?
    var nextCompaction: Instant?
    /// When this member compares itself with the others; nil while it has no reason to.
    var nextOwn: Instant?
    var attemptsLeft = 0
    /// Other members who wait for that, by the number under which they are answered.
    var accusers: [UInt64] = []
    /// Members that have been accused by this one and have not answered yet.
    var accused: [MemberID] = []
    /// The last compaction in which all members agreed.
    var checkedCompaction: Int64 = .min
    /// Whether a CORRUPT alarm has been looked into.
    var hasSeenAlarm = false
    /// How far this member has come with another's database.
    var resync: Resync
    /// Has to go to the backend's thread.
    var replacement: FetchedDatabase?
    /// Fetched databases that nobody needs any more; the backend's thread removes them.
    var unwanted: [String] = []
    /// Whether it has taken another's database since its data were last confirmed.
    var hasResynchronised = false
    /// When leadership may be offered to somebody else again.
    var nextTransfer: Instant

    init(_ configuration: MemberConfiguration, now: Instant) {
        nextPeriodic = configuration.corruptionCheckInterval.map { now + $0 }
        nextCompaction = configuration.compactionHashCheckInterval.map { now + $0 }
        nextTransfer = now
        resync = .idle(until: now)
    }
}

// The checks, as etcd makes them, and what follows: docs/decisions/123-corruption-checks.md.
extension MemberCore {
    /// Starts what is due, and gives up what got no answer.
    func watchCorruption() {
        giveUpLeadership()
        heedAlarms()
        resynchronise()
        clearOwnAlarm()
        if let round = corruption.round {
            switch round.stage {
            case .asking, .confirming:
                if now >= round.deadline {
                    log(
                        .warn, "gave up a comparison of the members' data: no answer in time",
                        ["local-member-id": "\(localID)", "stage": "\(round.stage)"])
                    endRound()
                }
            case .applying(let index):
                if node.applied >= index { hashAgain() }
            case .hashing, .hashingAgain: break
            }
            return
        }
        // While history is being removed hashes of a store without keys depend on how far that is.
        if applier.store.isCompacting { return }
        if let due = corruption.nextOwn, now >= due {
            corruption.nextOwn = nil
            beginRound(.own)
        } else if let due = corruption.nextPeriodic, now >= due {
            corruption.nextPeriodic = configuration.corruptionCheckInterval.map { now + $0 }
            if node.isLeader, corruption.quarantine == nil { beginRound(.periodic) }
        } else if let due = corruption.nextCompaction, now >= due {
            corruption.nextCompaction = configuration.compactionHashCheckInterval.map { now + $0 }
            if node.isLeader, corruption.quarantine == nil { checkCompactions() }
        } else if corruption.quarantine != nil, corruption.nextOwn == nil, node.leader != .none {
            corruption.nextOwn = now + CorruptionWatch.quarantineInterval
        }
    }

    /// Somebody has found differences: whoever it is about, every member looks at itself.
    private func heedAlarms() {
        let isRaised = applier.alarms.contains(.corrupt)
        if isRaised, !corruption.hasSeenAlarm { suspectSelf() }
        corruption.hasSeenAlarm = isRaised
    }

    /// There is reason to think that this member's data differ: it will compare itself with the others.
    func suspectSelf() {
        corruption.attemptsLeft = CorruptionWatch.attempts
        if corruption.nextOwn.map({ $0 > now }) ?? true { corruption.nextOwn = now }
    }

    private func beginRound(_ kind: CorruptionWatch.Round.Kind) {
        corruption.lastNumber += 1
        figures.corruptionChecks += 1
        corruption.round = .init(
            number: corruption.lastNumber, kind: kind, stage: .hashing, deadline: requestLimit, applied: node.applied)
        orderOwnHash()
    }

    /// The own hash that was ordered is there.
    func ownHashed(_ hash: KeyValueHash) {
        guard var round = corruption.round else { return }
        if applier.store.isCompacting { return endRound() }
        let own = CorruptionCheck.Own(localID, hash, applied: round.applied)
        if round.stage == .hashingAgain { return judge(round, later: own) }
        round.own = own
        ask(&round)
    }

    /// It cannot be worked out: the revision has been compacted or the store replaced meanwhile, or the member stops.
    func ownHashFailed() { endRound() }

    private func ask(_ round: inout CorruptionWatch.Round) {
        round.stage = .asking
        round.deadline = requestLimit
        outgoing.corruption.append(.askHashes(number: round.number, revision: round.own?.hash.revision ?? 0))
        corruption.round = round
    }

    func handle(_ report: CorruptionReport) {
        switch report {
        case .hashes(let number, let answers): take(answers, number)
        case .accused(let number):
            corruption.accusers.append(number)
            if corruption.accusers.count == 1 { suspectSelf() }
        case .databaseFetched(let result): databaseFetched(result)
        case .accusationAnswered(let member, let finding): accusationAnswered(member, finding)
        }
    }

    private func take(_ answers: [PeerHash], _ number: UInt64) {
        guard var round = corruption.round, round.number == number, round.stage == .asking, let own = round.own
        else { return }
        round.answers = answers
        switch round.kind {
        case .periodic:
            let id = ids.next()
            round.stage = .confirming(id)
            round.deadline = requestLimit
            corruption.round = round
            node.readIndex(id)
        case .compaction(let older): judge(round, own, older)
        case .own: judgeSelf(round, own)
        }
    }

    /// This member led when `index` was committed: whatever a peer may have applied up to then is committed here.
    func leadershipConfirmed(_ id: UInt64, at index: LogIndex) {
        guard corruption.round?.stage == .confirming(id) else { return }
        corruption.round?.stage = .applying(index)
    }

    private func hashAgain() {
        corruption.round?.stage = .hashingAgain
        orderOwnHash()
    }

    private func endRound() {
        guard let round = corruption.round else { return }
        corruption.round = nil
        if case .own = round.kind { selfCheckEnded(.unknown) }
    }

    // MARK: Verdicts

    private func judge(_ round: CorruptionWatch.Round, later: CorruptionCheck.Own) {
        corruption.round = nil
        guard let own = round.own, node.isLeader else { return }
        let findings = CorruptionCheck.periodic(
            own, later: later, round.answers, members: applier.cluster.members.count)
        act(on: findings, round.answers)
        let checked = round.answers.count { $0.hash != nil }
        log(.info, "finished peer corruption check", ["number-of-peers-checked": "\(checked)"])
    }

    private func checkCompactions() {
        var records = applier.store.compactionHashes.filter { $0.revision > corruption.checkedCompaction }
        guard let newest = records.popLast() else { return }
        figures.corruptionChecks += 1
        compare(newest, older: records)
    }

    private func compare(_ record: KeyValueHash, older: [KeyValueHash]) {
        corruption.lastNumber += 1
        var round = CorruptionWatch.Round(
            number: corruption.lastNumber, kind: .compaction(older: older), stage: .asking, deadline: requestLimit,
            applied: node.applied)
        round.own = CorruptionCheck.Own(localID, record, applied: node.applied)
        ask(&round)
    }

    private func judge(_ round: CorruptionWatch.Round, _ own: CorruptionCheck.Own, _ older: [KeyValueHash]) {
        corruption.round = nil
        guard node.isLeader else { return }
        switch CorruptionCheck.compaction(own, round.answers, members: applier.cluster.members.count) {
        case .agreed:
            corruption.checkedCompaction = own.hash.revision
            log(
                .info, "finished compaction hash check",
                ["number-of-hashes-checked": "1", "revision": "\(own.hash.revision)"])
        case .differ(let findings): act(on: findings, round.answers)
        case .inconclusive:
            var older = older
            if let next = older.popLast() { compare(next, older: older) }
        }
    }

    private func judgeSelf(_ round: CorruptionWatch.Round, _ own: CorruptionCheck.Own) {
        corruption.round = nil
        switch CorruptionCheck.own(own, round.answers, members: applier.cluster.members.count) {
        case .confirmed(let healthy):
            rowsConfirmed(healthy: healthy)
            selfCheckEnded(.confirmed)
        case .divergent(let reason, let healthy):
            enterQuarantine(reason, .rows, healthy: healthy)
            selfCheckEnded(.quarantined)
        case .unknown: selfCheckEnded(.unknown)
        }
    }

    private func selfCheckEnded(_ finding: SelfFinding) {
        corruption.attemptsLeft -= corruption.attemptsLeft > 0 ? 1 : 0
        if finding == .unknown, corruption.attemptsLeft > 0 {
            corruption.nextOwn = now + CorruptionWatch.attemptInterval
            return
        }
        corruption.attemptsLeft = 0
        for number in corruption.accusers {
            outgoing.corruption.append(
                .answerAccusation(number: number, corruption.quarantine == nil ? finding : .quarantined))
        }
        corruption.accusers = []
    }

    // MARK: What follows

    /// A Martlet that differs is told, and serves nobody any more once it has found the same; for any other, and for
    /// one that cannot tell, there is etcd's alarm, which stops all members.
    private func act(on findings: [CorruptionCheck.Finding], _ answers: [PeerHash]) {
        for finding in findings {
            let state = answers.first { $0.member == finding.member }?.state
            log(
                .warn, "found a member whose data differ",
                [
                    "member-id": "\(finding.member)", "reason": finding.reason, "is-proven": "\(finding.isProven)",
                    "is-in-quarantine": "\(state?.isQuarantined ?? false)",
                ])
            if finding.member == localID, finding.isProven {
                enterQuarantine(finding.reason, .rows, healthy: nil)
            } else if let state {
                guard !state.isQuarantined, !corruption.accused.contains(finding.member) else { continue }
                corruption.accused.append(finding.member)
                outgoing.corruption.append(.accuse(finding.member))
            } else {
                raiseCorruptAlarm(of: finding.member)
            }
        }
    }

    private func accusationAnswered(_ member: MemberID, _ finding: SelfFinding?) {
        guard corruption.accused.contains(member) else { return }
        corruption.accused.removeAll { $0 == member }
        switch finding {
        case .quarantined:
            log(.warn, "the member whose data differ serves no clients any more", ["member-id": "\(member)"])
        case .confirmed:
            log(.info, "the member's data are those of a majority after all", ["member-id": "\(member)"])
        case .unknown, nil: if node.isLeader { raiseCorruptAlarm(of: member) }
        }
    }

    private func raiseCorruptAlarm(of member: MemberID) {
        guard !applier.alarms.contains(.corrupt, of: member) else { return }
        log(.error, "raising the CORRUPT alarm", ["member-id": "\(member)"])
        proposeCorruptAlarm(of: member, raised: true)
    }

    func proposeCorruptAlarm(of member: MemberID, raised: Bool) {
        let id = ids.next()
        queueProposal(
            ProposalKind.alarm.entry(OwnMessage.alarm(.corrupt, of: member, raised: raised), requestID: id), id)
        pending.insert(id, .own(.corruptAlarm), since: now, deadline: requestLimit)
    }
}
