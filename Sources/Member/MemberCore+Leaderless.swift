internal import Base
internal import EtcdProto
internal import Platform
internal import RaftCore

// Changes of the membership while there is nobody to propose them to: as proposals of data do, they wait for a leader
// as long as their clients do. See docs/decisions/149-waiting-for-a-leader.md.

/// What waits until a leader is known, or until leadership has arrived or stays.
struct LeaderlessRequests {
    /// Changes of the membership, in the order in which they came; their IDs are pending.
    var changes: [ConfChange] = []
    /// The one that was taken from them last. Raft drops a change that is proposed while another is not applied.
    var proposed: UInt64?
    /// Promotions that the leader is to be asked for; their numbers are those of `forwardedPromotions`.
    var promotions: [(number: UInt64, learner: MemberID)] = []
}

extension MemberCore {
    /// Proposes a change of the membership, or keeps it until there is somebody to propose it to.
    /// - Throws: what the client is told of a change that can never be proposed.
    func proposeOrKeep(_ change: ConfChange) throws(EtcdError) {
        if try !isProposed(change) { leaderless.changes.append(change) }
    }

    private func isProposed(_ change: ConfChange) throws(EtcdError) -> Bool {
        do throws(ProposalError) {
            try node.propose(change)
            return true
        } catch {
            switch error {
            case .noLeader, .transferInProgress: return false
            default: throw EtcdError(.unavailable, "etcdserver: \(error)")
            }
        }
    }

    func forwardPromotion(of learner: MemberID, _ address: ReplyAddress, _ deadline: Instant) {
        let number = ids.next()
        forwardedPromotions[number] = (address, deadline)
        leaderless.promotions.append((number, learner))
    }

    /// Takes up what has waited, once in each turn.
    func serveLeaderless() {
        guard node.leader != .none else { return }
        servePromotions()
        serveChanges()
    }

    private func servePromotions() {
        let promotions = leaderless.promotions
        leaderless.promotions = []
        for (number, learner) in promotions {
            guard let (address, deadline) = forwardedPromotions[number] else { continue }
            guard node.isLeader else {
                outgoing.promotions.append(
                    ForwardedPromotion(number: number, learner: learner, leader: node.leader))
                continue
            }
            forwardedPromotions[number] = nil
            do throws(EtcdError) { try promote(learner, forwarded: false, address, deadline) } catch {
                countRefusedPromotion(error)
                outbox.refuse(address, error)
            }
        }
    }

    private func serveChanges() {
        if let id = leaderless.proposed, pending.contains(id) { return }
        leaderless.proposed = nil
        while let change = leaderless.changes.first {
            guard pending.contains(change.id) else {
                leaderless.changes.removeFirst()
                continue
            }
            do throws(EtcdError) {
                guard try isProposed(change) else { return }
                leaderless.changes.removeFirst()
                leaderless.proposed = change.id
                return
            } catch {
                leaderless.changes.removeFirst()
                if case .membership(let address, _)? = pending.remove(change.id) { outbox.refuse(address, error) }
            }
        }
    }

    /// The IDs of what is pending and has not been proposed yet. O(queued).
    var unproposedIDs: Set<UInt64> { Set(proposalIDs).union(leaderless.changes.map(\.id)) }

    /// Drops what nobody waits for any more. O(waiting).
    func expireLeaderless() {
        leaderless.changes.removeAll { !pending.contains($0.id) }
        guard forwardedPromotions.values.contains(where: { $0.deadline <= now }) else { return }
        let unasked = Set(leaderless.promotions.map(\.number))
        for number in forwardedPromotions.keys.sorted() {
            guard let (address, deadline) = forwardedPromotions[number], deadline <= now else { continue }
            forwardedPromotions[number] = nil
            outbox.refuse(address, unasked.contains(number) ? .noLeader : .timeout)
        }
        leaderless.promotions.removeAll { forwardedPromotions[$0.number] == nil }
    }
}

extension ClientRequest.Body {
    /// Whether it waits as long as its client's deadline says, beyond the member's own limit for a request.
    var isTimedByItsClient: Bool {
        switch self {
        case .memberAdd, .memberRemove, .memberUpdate, .moveLeader: true
        default: false
        }
    }
}
