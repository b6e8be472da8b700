internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership
internal import Platform
internal import RaftCore

// The other members: what comes from them, and what goes to them.
extension MemberCore {
    /// Whom there is to talk to from the start.
    func meetPeers() {
        for member in applier.cluster.members where member.id != localID {
            outgoing.changes.append(.add(member.id, peerURLs: member.peerURLs))
        }
        for id in applier.cluster.removed { outgoing.changes.append(.remove(id)) }
        guard applier.cluster.members.isEmpty else { return }
        for member in configuration.joining?.members ?? [] where member.id != localID {
            outgoing.changes.append(.introduce(member.id, peerURLs: member.peerURLs))
        }
    }

    func handle(_ report: PeerReport) {
        switch report {
        case .messages(let messages): for message in messages { step(message) }
        case .unreachable(let id): node.reportUnreachable(id)
        case .snapshotSent(let id, let failed): snapshotSent(to: id, failed: failed)
        case .activity(let id, let since): peers.setActivity(of: id, since: since)
        case .ended(let id): peerHasEnded(id)
        case .versions(let answers):
            peers.isAskingVersions = false
            peers.take(answers)
        case .effects(let id, let account): effectsHeard(account, of: id)
        case .corruption(let report): handle(report)
        case .promoted(let number, let error): promotionAnswered(number, error)
        case .leaseAnswered(let number, let answer): leaseQuestionAnswered(number, answer)
        case .removedFromCluster: removedFromCluster()
        }
    }

    private func peerHasEnded(_ id: MemberID) {
        guard id == node.leader, !node.isLeader else { return }
        log(
            .warn, "the leader's process has ended; not waiting for the election timeout",
            ["local-member-id": "\(localID)", "leader-id": "\(id)", "term": "\(node.term)"])
        node.leaderHasEnded()
    }

    private func step(_ message: Message) {
        if applier.cluster.isRemoved(message.from) {
            return log(
                .warn, "rejected Raft message from removed member",
                ["local-member-id": "\(localID)", "removed-member-id": "\(message.from)"])
        }
        guard message.to == localID else {
            return log(
                .warn, "rejected Raft message to mismatch member",
                ["local-member-id": "\(localID)", "mismatch-member-id": "\(message.to)"])
        }
        if message.type == .propose || message.type == .readIndex { heldCommits.asked(message.from, at: now) }
        do throws(StepError) { try node.step(message) } catch {
            switch error {
            // The follower's client tries again, or gives up in its own time.
            case .proposal: log(.debug, "dropped a forwarded proposal", ["error": "\(error)"])
            // A member that was removed, or is not yet added, still answers.
            case .peerNotFound: break
            default:
                log(.warn, "refused a Raft message", ["from": "\(message.from)", "error": "\(error)"])
            }
        }
    }

    /// Raft has messages for peers. Those for removed members are dropped, snapshots wait for their database.
    func send(_ messages: [Message]) {
        for message in messages {
            if applier.cluster.isRemoved(message.to) { continue }
            switch message.type {
            case .snapshot: prepareSnapshot(message)
            case .heartbeat:
                watchHeartbeat(to: message.to)
                outgoing.messages.append(message)
            default: outgoing.messages.append(message)
            }
        }
    }

    /// What the turn has for the peers: of several append responses to one of them only the last tells something.
    func giveOutgoing(_ work: inout PeerWork) {
        swap(&work, &outgoing)
        heldCommits.filter(&work.messages, at: now)
        guard work.messages.count(where: { $0.type == .appendResponse }) > 1 else { return }
        var answered: [MemberID] = []
        var kept: [Message] = []
        kept.reserveCapacity(work.messages.count)
        for message in work.messages.reversed() {
            if message.type == .appendResponse {
                if answered.contains(message.to) { continue }
                answered.append(message.to)
            }
            kept.append(message)
        }
        kept.reverse()
        work.messages = kept
    }

    private func watchHeartbeat(to peer: MemberID) {
        guard let exceeded = contention.observe(peer, at: now) else { return }
        figures.heartbeatsFailed += 1
        log(
            .warn,
            "leader failed to send out heartbeat on time; took too long, leader is overloaded likely from slow disk",
            [
                "to": "\(peer)", "heartbeat-interval": "\(configuration.heartbeatInterval)",
                "expected-duration": "\(contention.limit)", "exceeded-duration": "\(exceeded)",
            ])
    }

    // MARK: Membership

    /// A change of the membership has been made: the network follows.
    func membershipChanged(_ change: MembershipChange) {
        switch change {
        case .add(let member):
            if member.id != localID { outgoing.changes.append(.add(member.id, peerURLs: member.peerURLs)) }
        case .updatePeerURLs(let id, let urls):
            if id != localID { outgoing.changes.append(.add(id, peerURLs: urls)) }
        case .promote: break
        case .remove(let id):
            guard id != localID else { return removedFromCluster() }
            // By the commit index of this change it learns that it is none any more.
            heldCommits.asked(id, at: now)
            peers.forget(id)
            settleDivergence(with: id)
            sendingSnapshots.forget(id)
            outgoing.changes.append(.remove(id))
        }
    }

    /// The membership was replaced as a whole.
    func membershipReplaced(_ former: RaftCluster) {
        for member in former.members where applier.cluster[member.id] == nil {
            peers.forget(member.id)
            settleDivergence(with: member.id)
            sendingSnapshots.forget(member.id)
            outgoing.changes.append(.remove(member.id))
        }
        for id in applier.cluster.removed where !former.isRemoved(id) { outgoing.changes.append(.remove(id)) }
        for member in applier.cluster.members where member.id != localID {
            outgoing.changes.append(.add(member.id, peerURLs: member.peerURLs))
        }
        if applier.cluster.isRemoved(localID) { removedFromCluster() }
    }

    private func removedFromCluster() {
        guard !isRemoved else { return }
        isRemoved = true
        log(
            .error, "the member has been permanently removed from the cluster",
            ["local-member-id": "\(localID)", "cluster-id": "\(clusterID)"])
        log(.error, "data-dir used by this member must be removed", ["data-dir": configuration.dataDirectory])
    }

    // MARK: Leadership

    func leadershipMoved() {
        contention.reset()
        heldCommits.reset()
    }

    /// The process is about to stop the member: a leader hands over first, so that the others need not wait for an
    /// election timeout.
    func leave() {
        guard node.isLeader, let target = longestActiveVoter else {
            hasLeft = true
            return
        }
        log(
            .info, "leadership transfer starting",
            ["local-member-id": "\(localID)", "transferee-member-id": "\(target)"])
        leavingUntil = now + configuration.requestTimeout
        node.transferLeadership(to: target)
    }

    var longestActiveVoter: MemberID? {
        var best: (id: MemberID, since: Instant)?
        for id in node.configuration.voters.ids where id != localID {
            guard let since = peers.activity(of: id) else { continue }
            if best.map({ since < $0.since }) ?? true { best = (id, since) }
        }
        return best?.id
    }

    func finishLeadershipMoves() {
        if let deadline = leavingUntil, !node.isLeader || now >= deadline {
            leavingUntil = nil
            hasLeft = true
            log(.info, node.isLeader ? "leadership transfer failed" : "leadership transfer finished")
        }
        guard !leadershipMoves.isEmpty else { return }
        var waiting: [LeadershipMove] = []
        for move in leadershipMoves {
            if node.leader == move.target {
                answerMoveLeader(to: move.address)
            } else if now >= move.deadline {
                outbox.refuse(move.address, .leaderTransferTimeout)
            } else {
                waiting.append(move)
            }
        }
        leadershipMoves = waiting
    }
}

/// A client that waits for leadership to move.
struct LeadershipMove {
    var target: MemberID
    var address: ReplyAddress
    var deadline: Instant
}
