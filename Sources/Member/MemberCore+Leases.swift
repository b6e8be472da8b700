internal import Apply
internal import Auth
internal import Base
internal import EtcdProto
internal import Leasing
internal import MVCC
internal import Platform
internal import RaftCore

// The time of the leases: kept while this member leads, and asked of the leader while it does not.
extension MemberCore {
    // MARK: Leadership

    /// Takes up the clock of the leases with leadership, and puts it down.
    func moveLeaseClock() {
        guard node.isLeader != lessor.isPrimary else { return }
        if node.isLeader {
            lessor.promote(applier.store.leaseRecords, at: now)
        } else {
            lessor.demote()
            for waiter in renewalsOfEnded.removeAll() { askLeader(waiter) }
        }
    }

    // MARK: What the log says

    func leasesChanged(_ change: LeaseChange) {
        switch change {
        case .none: break
        case .granted(let lease):
            figures.leases.granted += 1
            figures.leases.grantedTTL.observe(Double(lease.timeToLive))
            lessor.granted(lease, at: now)
        case .revoked(let id):
            figures.leases.revoked += 1
            lessor.revoked(id)
            for waiter in renewalsOfEnded.remove(id) { answer(waiter, .notFound) }
        case .checkpointed(let checkpoints):
            for checkpoint in checkpoints { lessor.checkpointed(checkpoint, at: now) }
        }
    }

    // MARK: What is due

    /// Proposes to revoke the leases that have ended, and tells the others how much is left of long ones.
    ///
    /// They are handed to raft in this turn or not at all: a follower would pass them on to a leader under which the
    /// lease may have been renewed. What is lost here comes again.
    func keepLeases() {
        let due = lessor.takeDue(at: now)
        if due.isEmpty { return }
        figures.leases.expired += UInt64(due.ended.count)
        propose(
            leases: due.ended.map { (.leaseRevoke, OwnMessage.leaseRevoke($0)) }
                + due.checkpoints.map { (.leaseCheckpoint, OwnMessage.leaseCheckpoint($0)) })
    }

    /// - Returns: the request IDs; nil when raft does not take them now.
    @discardableResult
    private func propose(leases messages: [(kind: ProposalKind, message: [UInt8])]) -> [UInt64]? {
        guard node.isLeader else { return nil }
        let auth = applier.auth
        // A lease may hold keys of anybody.
        let identity =
            auth.isEnabled ? ClientIdentity(user: AuthStore.rootUser, revision: auth.revision) : .nobody
        let numbers = messages.map { _ in ids.next() }
        do throws(ProposalError) {
            try node.propose(
                zip(messages, numbers).map { $0.kind.entry($0.message, requestID: $1, identity: identity) })
            return numbers
        } catch {
            log(.debug, "put off proposals for leases", ["reason": "\(error)", "count": "\(messages.count)"])
            return nil
        }
    }

    // MARK: Grants

    /// A `LeaseGrantRequest` with an ID: one that asks for none gets a positive one that nobody has.
    func namingLease(_ request: [UInt8]) throws(EtcdError) -> [UInt8] {
        let (wanted, timeToLive) = try decode { () throws(WireError) -> (LeaseID, Int64) in
            var id = LeaseID.none
            var timeToLive: Int64 = 0
            var cursor = WireCursor(request.indices)
            while let (field, value) = try cursor.next(in: request.span) {
                if field == 1 { timeToLive = try value.signed(field) }
                if field == 2 { id = LeaseID(try value.signed(field)) }
            }
            return (id, timeToLive)
        }
        var id = wanted
        while id == .none { id = LeaseID(Int64(ids.next() & UInt64(Int64.max))) }
        return OwnMessage.leaseGrant(id, timeToLive: timeToLive)
    }

    /// `LeaseLeasesResponse`: those that end first in front, as far as this member knows.
    func answerLeases(to address: ReplyAddress) {
        var message: [UInt8] = header(revision: applier.store.currentRevision)
        for id in lessor.ordered(applier.store.leaseRecords.map(\.id), at: now) {
            var status: [UInt8] = []
            Wire.appendVarintField(1, UInt64(bitPattern: id.rawValue), to: &status)
            Wire.appendBytesField(2, status, to: &message)
        }
        outbox.answer(address, with: message[...])
    }

    // MARK: Questions

    /// A client, or another member for one of its clients, asks about a lease. The leader answers when it knows that it
    /// still leads and has applied what was committed before.
    func ask(_ question: LeaseQuestion, _ request: ClientRequest, _ address: ReplyAddress, _ deadline: Instant)
        throws(EtcdError)
    {
        if node.isLeader { return try enqueue(request, address, deadline) }
        guard !question.isForwarded else { throw .notPrimaryLessor }
        guard forwardedQuestions.count < MemberLimits.pendingRequests else { throw .tooManyRequests }
        askLeader(
            LeaseWaiter(question: question, address: address, deadline: deadline, identity: request.identity))
    }

    /// The read index that a question waited for will not come, because the leader has changed.
    func refuse(_ read: LinearizableReads.Read) {
        guard case .lease(let question) = read.body else { return outbox.refuse(read.address, .leaderChanged) }
        askLeader(LeaseWaiter(question, read))
    }

    /// The read index that a question waited for has been applied.
    func answer(_ waiter: LeaseWaiter) {
        guard node.isLeader else { return askLeader(waiter) }
        switch waiter.question.kind {
        case .keepAlive: renew(waiter)
        case .timeToLive: answerTimeToLive(waiter)
        }
    }

    private func renew(_ waiter: LeaseWaiter) {
        let id = waiter.question.lease
        switch lessor.renew(id, at: now) {
        case .notPrimary: askLeader(waiter)
        case .notFound: answer(waiter, .notFound)
        case .ended: renewalsOfEnded.append(waiter)
        case .checkpointed:
            let message = OwnMessage.leaseCheckpoint([LeaseCheckpoint(id: id, remaining: 0)])
            guard let number = propose(leases: [(.leaseCheckpoint, message)])?.first else {
                return outbox.refuse(waiter.address, .timeout)
            }
            pending.insert(number, .renewal(waiter), since: now, deadline: waiter.deadline)
        case .renewed(let seconds):
            figures.leases.renewed += 1
            answer(waiter, .alive(seconds))
        }
    }

    private func answerTimeToLive(_ waiter: LeaseWaiter) {
        let id = waiter.question.lease
        guard let (granted, left) = lessor.timeToLive(of: id, at: now) else { return answer(waiter, .notFound) }
        let keys = waiter.question.wantsKeys ? applier.store.keys(ofLease: id) : []
        answer(waiter, .timeToLive(seconds: left.components.seconds, granted: granted, keys: keys))
    }

    private func answer(_ waiter: LeaseWaiter, _ answer: LeaseAnswer) {
        do throws(EtcdError) {
            outbox.answer(
                waiter.address, with: try answer.message(for: waiter.question, header: header(of: waiter))[...])
        } catch {
            outbox.refuse(waiter.address, error)
        }
    }

    private func header(of waiter: LeaseWaiter) -> [UInt8]? {
        waiter.question.isForwarded ? nil : header(revision: applier.store.currentRevision)
    }

    private func header(revision: Int64) -> [UInt8] {
        var header = header
        header.revision = revision
        var bytes: [UInt8] = []
        header.append(to: &bytes)
        return bytes
    }

    // MARK: Asking the leader

    /// A question that this member cannot answer by itself any more, or never could.
    func askLeader(_ waiter: LeaseWaiter) {
        if waiter.question.isForwarded { return outbox.refuse(waiter.address, .notPrimaryLessor) }
        let number = ids.next()
        forwardedQuestions.insert(number, waiter)
        send(waiter.question, number)
    }

    private func send(_ question: LeaseQuestion, _ number: UInt64) {
        guard node.leader != .none, !node.isLeader else { return }
        forwardedQuestions.markSent(number)
        outgoing.leaseQuestions.append(
            ForwardedLeaseQuestion(number: number, question: question, leader: node.leader))
    }

    /// The leader has answered, or could not be asked; then the question is put again with the next tick.
    func leaseQuestionAnswered(_ number: UInt64, _ answer: LeaseAnswer?) {
        guard let answer else { return forwardedQuestions.markFailed(number) }
        guard let waiter = forwardedQuestions.remove(number) else { return }
        self.answer(waiter, answer)
    }

    /// Puts the questions again that have not reached a leader, and gives those up whose time is over.
    func expireLeaseQuestions() {
        for waiter in renewalsOfEnded.removeExpired(at: now) + forwardedQuestions.removeExpired(at: now) {
            outbox.refuse(waiter.address, .timeout)
        }
        for (number, waiter) in forwardedQuestions.waiting {
            if node.isLeader {
                forwardedQuestions.remove(number)
                // The round that confirms it is one for all.
                reads.enqueue(
                    .init(
                        address: waiter.address, body: .lease(waiter.question), deadline: waiter.deadline,
                        identity: waiter.identity))
            } else {
                send(waiter.question, number)
            }
        }
    }

    /// All who wait for a lease, when the member stops.
    func takeLeaseWaiters() -> [LeaseWaiter] { renewalsOfEnded.removeAll() + forwardedQuestions.removeAll() }
}

extension LeaseWaiter {
    init(_ question: LeaseQuestion, _ read: LinearizableReads.Read) {
        self.init(question: question, address: read.address, deadline: read.deadline, identity: read.identity)
    }
}
