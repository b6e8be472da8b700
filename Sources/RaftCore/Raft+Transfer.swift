internal import Base

extension Raft {
    /// Starts to hand leadership to a member, at the leader.
    mutating func transferLeadership(to target: MemberID) {
        guard let p = tracker.progress.position(target) else {
            return debug("\(id) no progress available for \(target)")
        }
        transferLeader(to: target, p)
    }

    mutating func transferLeader(to target: MemberID, _ p: Int) {
        if tracker.progress[at: p].isLearner {
            return debug("\(id) is learner. Ignored transferring leadership")
        }
        if transferee != .none {
            if transferee == target {
                return info(
                    "\(id) [term \(term)] transfer leadership to \(target) is in progress, ignores request to same node \(target)"
                )
            }
            info("\(id) [term \(term)] abort previous transferring leadership to \(transferee)")
            transferee = .none
        }
        if target == id { return debug("\(id) is already leader. Ignored transferring leadership to self") }
        info("\(id) [term \(term)] starts to transfer leadership to \(target)")
        // The transfer has one election timeout.
        electionElapsed = 0
        transferee = target
        if tracker.progress[at: p].match == log.lastIndex {
            send(Message(type: .timeoutNow, to: target))
            info("\(id) sends MsgTimeoutNow to \(target) immediately as \(target) already has up-to-date log")
        } else {
            sendAppend(p)
        }
    }

    /// Forgets the leader without changing the term or the timer, so that this follower grants pre-votes at once.
    mutating func forgetLeader() {
        guard role == .follower else { return }
        if config.readOnly == .leaseBased { return error("ignoring MsgForgetLeader due to ReadOnlyLeaseBased") }
        if leader != .none {
            info("\(id) forgetting leader \(leader) at term \(term)")
            leader = .none
            trace(.leaderChanged(leader))
        }
    }

    /// Forgets a leader of which is known that it has ended, and does not wait for the election timeout: the voters
    /// campaign after two ticks, four, six, in turn, so that they do not split the vote.
    mutating func leaderHasEnded() {
        guard role == .follower, leader != .none else { return }
        let gone = leader
        forgetLeader()
        guard leader == .none else { return }
        asksAgain = ElectionTurn.retries
        let turn = ElectionTurn(of: id, after: gone, among: tracker.configuration.voters.ids)
        electionElapsed = max(electionElapsed, randomizedElectionTimeout - 2 * (turn.place + 1))
    }
}
