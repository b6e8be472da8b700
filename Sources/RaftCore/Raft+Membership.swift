public import Base

extension Raft {
    /// Why a configuration change may not be proposed now; nil if it may.
    func refusal(of change: ConfChangeV2) -> String? {
        if pendingConfIndex > log.applied && !has(.manyPendingConfChanges) {
            return "possible unapplied conf change at index \(pendingConfIndex) (applied to \(log.applied))"
        }
        let joint = tracker.configuration.voters.isJoint
        let leaving = change.changes.isEmpty
        if joint && !leaving { return "must transition out of joint config first" }
        if !joint && leaving { return "not in joint state; refusing empty conf change" }
        return nil
    }

    /// Puts a committed configuration change into force.
    mutating func apply(_ change: ConfChangeV2) throws(ConfChangeError) -> ConfState {
        var changer = Changer(tracker: tracker, lastIndex: log.lastIndex)
        if has(.changeManyVotersAtOnce) { changer.allowsManyVoters = true }
        return switchConfiguration(try changer.apply(change))
    }

    mutating func switchConfiguration(_ new: Changer.Outcome) -> ConfState {
        tracker.configuration = new.configuration
        tracker.progress = new.progress
        let state = tracker.configuration.confState
        info("\(id) switched to configuration \(tracker.configuration)")
        trace(.configurationChanged(state))
        if role != .leader { return state }
        if !tracker.progress.contains(id) || isLearner {
            // It goes on leading until it has committed its own removal everywhere, unless told otherwise.
            if config.stepDownOnRemoval { becomeFollower(term, leader: .none) }
            return state
        }
        if maybeCommit() {
            // A smaller quorum may have committed more.
            releasePendingReads()
            broadcastAppend()
        } else {
            // Newcomers are probed at once, not at the next heartbeat.
            for p in 0..<tracker.progress.count where tracker.progress.ids[p] != id {
                var shared = SharedEntries()
                sendAppend(p, &shared, sendIfEmpty: false)
            }
        }
        if transferee != .none && !tracker.configuration.voters.contains(transferee) { transferee = .none }
        return state
    }

    /// Proposes to leave a joint configuration that is to be left by itself, once it is applied here.
    mutating func leaveJointIfDue() {
        guard tracker.configuration.autoLeave, role == .leader, log.applied >= pendingConfIndex else { return }
        // Without data it has no size, so the limit on proposals cannot refuse it; a transfer can, and then the next
        // applied entry brings us here again.
        var entries = [Entry(type: .confChangeV2, term: .zero, index: .zero)]
        do {
            try propose(&entries)
            info("initiating automatic transition out of joint configuration \(tracker.configuration)")
        } catch {
            debug(
                "not initiating automatic transition out of joint configuration \(tracker.configuration): raft proposal dropped"
            )
        }
    }

    /// Starts the log of a new cluster with the additions of its first members, as if they had been committed.
    mutating func bootstrap(_ peers: [Peer]) throws(ConfigError) {
        guard log.storage.lastIndex == .zero else { throw .notEmpty(lastIndex: log.storage.lastIndex) }
        becomeFollower(Term(1), leader: .none)
        for (i, peer) in peers.enumerated() {
            var entry = ConfChange(type: .addNode, nodeID: peer.id, context: peer.context).entry
            entry.term = Term(1)
            entry.index = LogIndex.zero + i + 1
            _ = log.prepare(from: entry.index)
            log.append(entry)
        }
        log.commit(to: LogIndex.zero + peers.count)
        trace(.appended(previous: .zero, last: log.lastIndex, term: term))
        trace(.committed(log.committed))
        // In force at once, so that the node can campaign; that the application applies them again changes nothing.
        for peer in peers {
            do { _ = try apply(ConfChangeV2(ConfChange(type: .addNode, nodeID: peer.id))) } catch {
                throw .confState(error)
            }
        }
    }
}

/// A first member of a new cluster.
public struct Peer: Sendable, Hashable {
    /// Who it is.
    public var id: MemberID
    /// What the application knows about it; it becomes the context of the change that adds it.
    public var context: [UInt8]

    /// A member and what is known about it.
    @inlinable public init(id: MemberID, context: [UInt8] = []) {
        self.id = id
        self.context = context
    }
}
