internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership
internal import Platform
internal import RaftCore

// The way from raft's `Ready` to applied entries and answered clients.
extension MemberCore {
    /// Takes what raft wants done until it wants nothing more this turn.
    func runRaft(_ effects: inout MemberEffects) {
        while failure == nil, let output = node.next() {
            if let softState = output.softState { leadershipChanged(softState) }
            for state in output.readStates {
                reads.confirm(RaftNode.readID(state), at: state.index)
                leadershipConfirmed(RaftNode.readID(state), at: state.index)
            }
            send(output.messages)
            if let work = output.log { effects.log.append(work) }
            if let work = output.committed { apply(work) }
        }
    }

    private func leadershipChanged(_ state: SoftState) {
        let former = leader
        leader = state.leader
        guard former != leader else { return }
        if former == .none {
            log(.info, "raft.node: \(localID) elected leader \(leader) at term \(node.term)")
        } else if leader == .none {
            log(.info, "raft.node: \(localID) lost leader \(former) at term \(node.term)")
        } else {
            log(.info, "raft.node: \(localID) changed leader from \(former) to \(leader) at term \(node.term)")
        }
        leadershipMoved()
        moveLeaseClock()
        if leader != .none {
            figures.leaderChanges += 1
            leaderKnownSince = now
        }
        if former == localID && leader == .none && node.term == leaderTerm { refuseUncommitted() }
        leaderTerm = node.term
        // A read index that the former leader promised is void.
        if former != .none {
            for read in reads.takeUnconfirmed() { refuse(read) }
        }
    }

    /// This member has given up leadership within its term: no quorum answers it, or its disk hangs. What it has
    /// proposed may be committed by another or never, and it may not hear which; its clients ask elsewhere instead of
    /// waiting for their deadlines. See docs/decisions/142-campaigns-in-turn.md.
    private func refuseUncommitted() {
        for address in pending.removeClients() {
            figures.proposalsFailed += 1
            outbox.refuse(address, .timeoutDueToConnectionLost)
        }
    }

    /// The log's thread has made work durable.
    func logged(_ completion: LogCompletion) {
        logWatch.finished(through: completion.sequence, at: now)
        if !completion.file.isEmpty { logFile = completion.file }
        if let seconds = completion.syncSeconds, seconds >= LogWatch.slow.inSeconds {
            log(
                .warn, "slow fdatasync",
                ["path": logFile, "took": "\(seconds)s", "expected-duration": "1s"])
        }
        figures.walBytes += UInt64(completion.bytes)
        figures.walWrite.observe(completion.writeSeconds)
        if let seconds = completion.syncSeconds { figures.walFsync.observe(seconds) }
        send(node.appended(through: completion.sequence))
        if let snapshot = completion.snapshot { snapshotSaved(snapshot) }
        if let snapshot = completion.received { installing = snapshot }
    }

    // MARK: Apply

    private func apply(_ work: ApplyWork) {
        for entry in work.entries {
            do throws(MemberError) { try apply(entry) } catch { return fail(error) }
        }
        node.applied(work)
    }

    private func apply(_ entry: Entry) throws(MemberError) {
        switch entry.type {
        case .normal: try applyCommand(entry)
        case .confChange: try applyConfChange(entry)
        case .confChangeV2:
            throw MemberError(
                .unsupported,
                "entry \(entry.index) is a configuration change of the second form, which etcd never writes")
        }
    }

    private func applyCommand(_ entry: Entry) throws(MemberError) {
        scratch.removeAll(keepingCapacity: true)
        let applied: AppliedEntry
        do { applied = try applier.apply(entry, header: header, into: &scratch) } catch {
            throw MemberError(.corruption, "entry \(entry.index) cannot be applied: \(error)")
        }
        if applied.exceedsQuota { raiseNoSpaceAlarm() }
        leasesChanged(applied.leases)
        if let former = applied.loweredClusterVersion { clusterVersionLowered(from: former, at: entry.index) }
        guard applied.requestID != 0, let waiter = pending.remove(applied.requestID) else { return }
        switch waiter {
        case .client(let address):
            switch applied.outcome {
            case .response(let range): answer(applied, address, scratch[range])
            case .failure(let error): outbox.refuse(address, error)
            case .none: outbox.answer(address, with: [])
            }
        case .membership: preconditionFailure("request \(applied.requestID) was a change of the membership")
        case .renewal(let waiter): answer(waiter)
        case .downgrade(let address):
            if case .failure(let error) = applied.outcome { return outbox.refuse(address, error) }
            answerDowngrade(to: address)
        case .own(let proposal): ownProposalApplied(proposal)
        }
    }

    /// Answers a change; a physical compaction waits until the history is gone from the backend file.
    private func answer(_ applied: AppliedEntry, _ address: ReplyAddress, _ message: ArraySlice<UInt8>) {
        guard applied.waitsForCompaction else { return outbox.answer(address, with: message) }
        compactions.append(.init(address: address, message: Array(message)))
        if !applier.store.isCompacting { compactions.historyRemoved(before: applier.backend.nextCommit) }
    }

    /// A configuration change: the membership first, then raft. An invalid one goes to raft as a change of nobody. One
    /// that the backend holds already is part of the configuration that raft was started with.
    private func applyConfChange(_ entry: Entry) throws(MemberError) {
        guard entry.index > applier.backend.consistentIndex else { return }
        var change: ConfChange
        do { change = try ConfChange(decoding: entry.data) } catch {
            throw MemberError(.corruption, "entry \(entry.index) holds no configuration change: \(error)")
        }
        var refusal: MembershipError?
        do throws(MembershipError) {
            let wanted = try MembershipChange(change)
            try applier.cluster.validate(wanted, learnerLimit: configuration.learnerLimit)
            applier.cluster.apply(wanted, storingIn: applier.backend)
            announce(wanted)
            membershipChanged(wanted)
        } catch {
            log(.warn, "refused a configuration change", ["index": "\(entry.index)", "error": "\(error)"])
            refusal = error
            change.nodeID = .none
        }
        let state: ConfState
        do { state = try node.applyConfChange(change) } catch {
            throw MemberError(
                .corruption, "entry \(entry.index) changes the configuration in an impossible way: \(error)")
        }
        confState = state
        applier.backend.setConfState(state)
        applier.backend.setConsistentIndex(entry.index, term: entry.term)
        answerMembershipChange(change.id, refusal)
    }

    private func announce(_ change: MembershipChange) {
        let ids: KeyValuePairs = ["cluster-id": "\(clusterID)", "local-member-id": "\(localID)"]
        switch change {
        case .add(let member):
            log(
                .info, "added member",
                [
                    "cluster-id": ids[0].value, "local-member-id": ids[1].value, "added-peer-id": "\(member.id)",
                    "added-peer-peer-urls": "\(member.peerURLs)",
                ])
        case .promote(let id):
            log(.info, "promote member", ["cluster-id": ids[0].value, "promoted-member-id": "\(id)"])
        case .remove(let id):
            log(.info, "removed member", ["cluster-id": ids[0].value, "removed-remote-peer-id": "\(id)"])
        case .updatePeerURLs(let id, let urls):
            log(
                .info, "updated member",
                ["cluster-id": ids[0].value, "updated-remote-peer-id": "\(id)", "updated-remote-peer-urls": "\(urls)"])
        }
    }
}
