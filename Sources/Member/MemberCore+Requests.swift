internal import Apply
internal import Auth
internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership
internal import Platform
internal import RaftCore

// What clients ask for: reads are answered or queued, changes are proposed.
extension MemberCore {
    func accept(_ request: ClientRequest, from sink: SinkID) {
        let address = ReplyAddress(sink: sink, ticket: request.ticket)
        let limit = request.body.isTimedByItsClient ? now + MemberLimits.membershipWait : requestLimit
        let deadline = request.deadline.map { min($0, limit) } ?? requestLimit
        guard deadline > now else { return outbox.refuse(address, .deadlineExceeded) }
        if request.requiresLeader && node.leader == .none { return outbox.refuse(address, .noLeader) }
        do throws(EtcdError) {
            if !request.isFromPeer {
                if applier.cluster.local?.isLearner == true, !request.body.isAnsweredByLearners {
                    throw .notSupportedForLearner
                }
                try authorize(request.body, request.identity)
            }
            if corruption.quarantine != nil, request.body.isRefusedInQuarantine { throw .quarantined }
            if let limit = request.maxStaleness, request.body.readsKeys {
                if limit > .zero { return try acceptBounded(request, limit: limit, address, deadline) }
                return try enqueue(request, address, deadline)
            }
            switch request.body {
            case .range(let bytes):
                let command = try decode { () throws(WireError) in try RangeCommand(bytes) }
                if command.isSerializable {
                    answerRange(command, in: bytes, to: address, until: deadline)
                } else {
                    try enqueue(request, address, deadline)
                }
            case .txn(_, .serializableRead): answer(request.body, to: address, until: deadline)
            case .txn(_, .linearizableRead), .memberList(true), .probe(true):
                try enqueue(request, address, deadline)
            case .put(let bytes): try propose(.put, bytes, request, address, deadline)
            case .deleteRange(let bytes): try propose(.deleteRange, bytes, request, address, deadline)
            case .txn(let bytes, .write): try propose(.txn, bytes, request, address, deadline)
            case .compaction(let bytes): try propose(.compaction, bytes, request, address, deadline)
            case .alarm(let bytes): try propose(.alarm, bytes, request, address, deadline)
            case .snapshot: orderCopy(for: address)
            // The file gives space back by itself; there is nothing to wait for.
            case .defragment: outbox.answer(address, with: [])
            case .downgrade(let message): try acceptDowngrade(message, request, address, deadline)
            case .memberAdd, .memberRemove, .memberUpdate, .memberPromote, .moveLeader:
                let waiting = pending.count + forwardedPromotions.count + leadershipMoves.count
                guard waiting < MemberLimits.pendingRequests else { throw .tooManyRequests }
                try changeMembership(request.body, address, deadline)
            case .leaseGrant(let bytes):
                try propose(.leaseGrant, try namingLease(bytes), request, address, deadline)
            case .leaseRevoke(let id):
                try propose(.leaseRevoke, OwnMessage.leaseRevoke(id), request, address, deadline)
            case .lease(let question): try ask(question, request, address, deadline)
            case .hashKV(let bytes): try orderHash(bytes, for: address, until: deadline)
            case .memberList(false), .probe(false), .status, .leases:
                answer(request.body, to: address, until: deadline)
            }
        } catch {
            outbox.refuse(address, error)
        }
    }

    // MARK: Reads

    func enqueue(
        _ request: ClientRequest, _ address: ReplyAddress, _ deadline: Instant
    ) throws(EtcdError) {
        guard reads.count + boundedReads.count < MemberLimits.pendingRequests else { throw .tooManyRequests }
        reads.enqueue(
            .init(address: address, body: request.body, deadline: deadline, identity: request.identity))
    }

    func beginReadRound() {
        let isWanted = boundedReads.needsRound(after: reads.newestRound, at: now)
        guard reads.needsRound(at: now, isWanted: isWanted), node.leader != .none else { return }
        let id = ids.next()
        reads.beginRound(id, at: now)
        node.readIndex(id)
    }

    /// Answers the reads whose index has been applied.
    func serveReads() {
        for read in reads.takeReadable(applied: node.applied) {
            do throws(EtcdError) {
                // Rights may have changed while the read waited.
                try authorize(read.body, read.identity)
                switch read.body {
                case .lease(let question): answer(LeaseWaiter(question, read))
                case .downgrade(let message): try downgrade(message, to: read.address, read.deadline)
                default: answer(read.body, to: read.address, until: read.deadline)
                }
            } catch {
                outbox.refuse(read.address, error)
            }
        }
        serveBoundedReads()
    }

    /// Answers a read from the applied state as it is now.
    /// - Parameter age: what the answer to a bounded read holds to.
    func answer(
        _ body: ClientRequest.Body, to address: ReplyAddress, until deadline: Instant, _ age: StateAge? = nil
    ) {
        switch body {
        case .range(let bytes):
            do throws(EtcdError) {
                answerRange(
                    try decode { () throws(WireError) in try RangeCommand(bytes) }, in: bytes, to: address,
                    until: deadline, age)
            } catch {
                outbox.refuse(address, error)
            }
        case .txn(let bytes, _):
            run(address) { [applier, header] out throws(StoreError) in
                try applier.store.readOnlyTxn(bytes, header: header, into: &out)
            }
            if let age { outbox.bindLast(of: address.sink, to: age) }
        case .status: answerStatus(to: address)
        case .memberList: answerMemberList(to: address)
        case .leases: answerLeases(to: address)
        case .probe: outbox.answer(address, with: [])
        case .put, .deleteRange, .compaction, .leaseGrant, .leaseRevoke, .alarm, .memberAdd, .memberRemove,
            .memberUpdate, .memberPromote,
            .moveLeader:
            preconditionFailure("a change is not answered without a log entry")
        case .defragment: preconditionFailure("answered when it comes")
        case .lease, .downgrade: preconditionFailure("more than a read")
        case .snapshot, .hashKV: preconditionFailure("worked out over more than one turn")
        }
    }

    /// Runs a read against the store. A broken backend ends the member; anything else is the client's answer.
    private func run(_ address: ReplyAddress, _ body: (inout [UInt8]) throws(StoreError) -> Void) {
        outbox.answer(address) { [self] out throws(EtcdError) in
            do throws(StoreError) { try body(&out) } catch { throw clientError(error) }
        }
    }

    /// What a client is told of an error of the store. A broken backend ends the member.
    func clientError(_ error: StoreError) -> EtcdError {
        switch error {
        case .rejected(let error): return error
        case .malformed(let error): return Self.malformed(error)
        case .backend(let error):
            fail(MemberError(.corruption, "the backend cannot be read: \(error)"))
            return .stopped
        }
    }

    private static func malformed(_ error: WireError) -> EtcdError {
        EtcdError(.internal, "grpc: error unmarshalling request: \(error)")
    }

    func decode<Command>(_ body: () throws(WireError) -> Command) throws(EtcdError) -> Command {
        do { return try body() } catch { throw Self.malformed(error) }
    }

    /// The header of an answer of this member; the store fills in the revision.
    var header: ResponseHeader { ResponseHeader(clusterID: clusterID, memberID: localID, term: node.term) }

    // MARK: Changes

    /// Queues a client's change for this turn's proposal.
    /// - Throws: what the client is told when the change may not be proposed.
    private func propose(
        _ kind: ProposalKind, _ message: [UInt8], _ request: ClientRequest, _ address: ReplyAddress, _ deadline: Instant
    ) throws(EtcdError) {
        guard pending.count < MemberLimits.pendingRequests else { throw .tooManyRequests }
        guard node.committed - node.applied <= MemberLimits.unappliedEntries else { throw .tooManyRequests }
        guard !applier.backend.isFull else { throw .tooManyRequests }
        try checkSpace(for: kind, message)
        let id = ids.next()
        // Without authentication there is nobody to name.
        let identity = applier.auth.isEnabled ? request.identity : .nobody
        let entry = kind.entry(message, requestID: id, identity: identity)
        guard entry.count <= configuration.maxRequestBytes else { throw .requestTooLarge }
        queueProposal(entry, id)
        pending.insert(id, .client(address), since: now, deadline: deadline)
    }

    /// Refuses what would take the backend over its quota, and raises the alarm that makes every member refuse it.
    private func checkSpace(for kind: ProposalKind, _ message: [UInt8]) throws(EtcdError) {
        guard let quota = configuration.quotaBytes, let bound = kind.costBound(message) else { return }
        let size = Int64(applier.backend.liveBytes)
        // Most of the time there is room for the worst case, and the cost need not be worked out.
        if size + bound < quota { return }
        let cost: Int64
        do { cost = try kind.cost(message) } catch { throw Self.malformed(error) }
        if size + cost < quota { return }
        raiseNoSpaceAlarm()
        throw .noSpace
    }

    func raiseNoSpaceAlarm() {
        guard !isChangingAlarm, !applier.alarms.contains(.noSpace, of: localID) else { return }
        log(.warn, "raising the NOSPACE alarm", quotaFields)
        proposeNoSpaceAlarm(raised: true)
    }

    /// Takes this member's alarm back once there is clearly room again, so that nobody has to do it by hand.
    func clearNoSpaceAlarm() {
        guard configuration.clearsNoSpaceAlarm, !isChangingAlarm, leader != .none,
            applier.alarms.contains(.noSpace, of: localID)
        else { return }
        if let quota = configuration.quotaBytes,
            Int64(applier.backend.liveBytes) > quota / 100 * MemberLimits.clearedQuotaPercent
        {
            return
        }
        log(.info, "clearing the NOSPACE alarm: there is space again", quotaFields)
        proposeNoSpaceAlarm(raised: false)
    }

    private var quotaFields: KeyValuePairs<String, String> {
        [
            "live-bytes": "\(applier.backend.liveBytes)",
            "quota-bytes": configuration.quotaBytes.map { "\($0)" } ?? "none",
        ]
    }

    private func proposeNoSpaceAlarm(raised: Bool) {
        isChangingAlarm = true
        let request = OwnMessage.noSpaceAlarm(of: localID, raised: raised)
        let id = ids.next()
        // Nobody's name is needed for it: only clients' alarms are checked, before they are proposed.
        queueProposal(ProposalKind.alarm.entry(request, requestID: id), id)
        pending.insert(id, .own(.alarm), since: now, deadline: now + configuration.requestTimeout)
    }

    /// Proposes everything that is queued, in one step. Without a leader it stays queued until its time is over.
    func proposeQueued() {
        guard !proposals.isEmpty else { return }
        do throws(ProposalError) {
            try node.propose(proposals)
            proposals.removeAll(keepingCapacity: true)
            proposalIDs.removeAll(keepingCapacity: true)
        } catch .noLeader, .transferInProgress {
            // The requests wait; their deadlines answer them if no leader comes.
        } catch {
            log(.warn, "dropped proposals", ["reason": "\(error)", "count": "\(proposals.count)"])
            figures.proposalsFailed += UInt64(proposals.count)
            proposals.removeAll(keepingCapacity: true)
            proposalIDs.removeAll(keepingCapacity: true)
        }
    }

    /// Adds an entry to those that are proposed together at the end of the turn.
    func queueProposal(_ entry: [UInt8], _ id: UInt64) {
        proposals.append(entry)
        proposalIDs.append(id)
    }

    /// Without a leader proposals pile up; those that nobody waits for any more are dropped. O(queued).
    func dropAbandonedProposals() {
        guard !proposals.isEmpty else { return }
        let kept = proposals.indices.filter { pending.contains(proposalIDs[$0]) }
        guard kept.count < proposals.count else { return }
        proposals = kept.map { proposals[$0] }
        proposalIDs = kept.map { proposalIDs[$0] }
    }
}

extension ClientRequest.Body {
    /// Whether it is a range or a read-only transaction, for which a client may bound the age of the state.
    public var readsKeys: Bool {
        switch self {
        case .range, .txn(_, .linearizableRead), .txn(_, .serializableRead): true
        default: false
        }
    }

    /// A learner serves only what needs neither a quorum nor the newest state.
    var isAnsweredByLearners: Bool {
        switch self {
        case .status, .snapshot, .probe: true
        case .range(let bytes): (try? RangeCommand(bytes))?.isSerializable ?? true
        default: false
        }
    }
}
