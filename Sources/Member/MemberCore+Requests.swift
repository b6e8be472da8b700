internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Platform
internal import RaftCore

// What clients ask for: reads are answered or queued, changes are proposed.
extension MemberCore {
    func accept(_ request: ClientRequest, from sink: SinkID) {
        let address = ReplyAddress(sink: sink, ticket: request.ticket)
        let deadline = request.deadline.map { min($0, requestLimit) } ?? requestLimit
        guard deadline > now else { return outbox.refuse(address, .deadlineExceeded) }
        if request.requiresLeader && node.leader == .none { return outbox.refuse(address, .noLeader) }
        do throws(EtcdError) {
            switch request.body {
            case .range(let bytes):
                let command = try decode { () throws(WireError) in try RangeCommand(bytes) }
                if command.isSerializable {
                    try answerRange(command, in: bytes, to: address)
                } else {
                    try enqueue(request.body, address, deadline)
                }
            case .txn(_, .serializableRead): answer(request.body, to: address)
            case .txn(_, .linearizableRead), .memberList(true), .probe(true):
                try enqueue(request.body, address, deadline)
            case .put(let bytes): try propose(.put, bytes, for: .client(address), deadline)
            case .deleteRange(let bytes): try propose(.deleteRange, bytes, for: .client(address), deadline)
            case .txn(let bytes, .write): try propose(.txn, bytes, for: .client(address), deadline)
            case .compaction(let bytes): try propose(.compaction, bytes, for: .client(address), deadline)
            case .alarm(let bytes): try propose(.alarm, bytes, for: .client(address), deadline)
            case .memberList(false), .probe(false), .hashKV, .status: answer(request.body, to: address)
            }
        } catch {
            outbox.refuse(address, error)
        }
    }

    // MARK: Reads

    private func enqueue(_ body: ClientRequest.Body, _ address: ReplyAddress, _ deadline: Instant) throws(EtcdError) {
        guard reads.count < MemberLimits.pendingRequests else { throw .tooManyRequests }
        reads.enqueue(.init(address: address, body: body, deadline: deadline))
    }

    func beginReadRound() {
        guard reads.needsRound(at: now), node.leader != .none else { return }
        let id = ids.next()
        reads.beginRound(id, at: now)
        node.readIndex(id)
    }

    /// Answers the reads whose index has been applied.
    func serveReads() {
        for read in reads.takeReadable(applied: node.applied) { answer(read.body, to: read.address) }
    }

    /// Answers a read from the applied state as it is now.
    private func answer(_ body: ClientRequest.Body, to address: ReplyAddress) {
        switch body {
        case .range(let bytes):
            do throws(EtcdError) {
                try answerRange(try decode { () throws(WireError) in try RangeCommand(bytes) }, in: bytes, to: address)
            } catch {
                outbox.refuse(address, error)
            }
        case .txn(let bytes, _):
            run(address) { [applier, header] out throws(StoreError) in
                try applier.store.readOnlyTxn(bytes, header: header, into: &out)
            }
        case .hashKV(let bytes):
            run(address) { [applier, header] out throws(StoreError) in
                try applier.store.hashKV(bytes, header: header, into: &out)
            }
        case .status: answerStatus(to: address)
        case .memberList: answerMemberList(to: address)
        case .probe: outbox.answer(address, with: [])
        case .put, .deleteRange, .compaction, .alarm:
            preconditionFailure("a change is not answered without a log entry")
        }
    }

    private func answerRange(_ command: RangeCommand, in bytes: [UInt8], to address: ReplyAddress) throws(EtcdError) {
        run(address) { [applier, header] out throws(StoreError) in
            try applier.store.range(command, in: bytes, header: header, into: &out)
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

    private func decode<Command>(_ body: () throws(WireError) -> Command) throws(EtcdError) -> Command {
        do { return try body() } catch { throw Self.malformed(error) }
    }

    /// The header of an answer of this member; the store fills in the revision.
    var header: ResponseHeader { ResponseHeader(clusterID: clusterID, memberID: localID, term: node.term) }

    // MARK: Changes

    /// Queues a change for this turn's proposal.
    /// - Throws: what the client is told when the change may not be proposed.
    func propose(
        _ kind: ProposalKind, _ message: [UInt8], for waiter: PendingRequests.Waiter, _ deadline: Instant
    ) throws(EtcdError) {
        guard pending.count < MemberLimits.pendingRequests else { throw .tooManyRequests }
        guard node.committed - node.applied <= MemberLimits.unappliedEntries else { throw .tooManyRequests }
        guard !applier.backend.isFull else { throw .tooManyRequests }
        try checkSpace(for: kind, message)
        let id = ids.next()
        let entry = kind.entry(message, requestID: id)
        guard entry.count <= configuration.maxRequestBytes else { throw .requestTooLarge }
        proposals.append(entry)
        pending.insert(id, waiter, deadline: deadline)
    }

    /// Refuses what would take the backend over its quota, and raises the alarm that makes every member refuse it.
    private func checkSpace(for kind: ProposalKind, _ message: [UInt8]) throws(EtcdError) {
        guard let quota = configuration.quotaBytes, let bound = kind.costBound(message) else { return }
        let size = Int64(applier.backend.size)
        // Most of the time there is room for the worst case, and the cost need not be worked out.
        if size + bound < quota { return }
        let cost: Int64
        do { cost = try kind.cost(message) } catch { throw Self.malformed(error) }
        if size + cost < quota { return }
        raiseNoSpaceAlarm()
        throw .noSpace
    }

    func raiseNoSpaceAlarm() {
        guard !isRaisingAlarm, !applier.alarms.contains(.noSpace, of: localID) else { return }
        isRaisingAlarm = true
        let request = OwnMessage.noSpaceAlarm(of: localID)
        let id = ids.next()
        proposals.append(ProposalKind.alarm.entry(request, requestID: id))
        pending.insert(id, .own(.alarm), deadline: now + configuration.requestTimeout)
    }

    /// Proposes everything that is queued, in one step. Without a leader it stays queued until its time is over.
    func proposeQueued() {
        guard !proposals.isEmpty else { return }
        do throws(ProposalError) {
            try node.propose(proposals)
            proposals.removeAll(keepingCapacity: true)
        } catch .noLeader, .transferInProgress {
            // The requests wait; their deadlines answer them if no leader comes.
        } catch {
            log(.warn, "dropped proposals", ["reason": "\(error)", "count": "\(proposals.count)"])
            figures.proposalsFailed += UInt64(proposals.count)
            proposals.removeAll(keepingCapacity: true)
        }
    }
}
