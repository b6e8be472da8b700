internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership
internal import Platform
internal import RaftCore
internal import SwiftProtobuf

// Changes of the membership, as clients ask for them, and moves of leadership.
extension MemberCore {
    /// How long members must have been connected to count as healthy.
    static let healthInterval: Duration = .seconds(5)
    /// A learner is ready when it has this part of the leader's log.
    private static let readyFraction = 0.9

    /// - Throws: what the client is told at once.
    func changeMembership(
        _ body: ClientRequest.Body, _ address: ReplyAddress, _ deadline: Instant
    ) throws(EtcdError) {
        switch body {
        case .memberAdd(let urls, let isLearner):
            try add(urls, isLearner: isLearner, address, deadline)
        case .memberRemove(let id):
            try checkRemoval(of: id)
            try propose(ConfChange(type: .removeNode, nodeID: id), .changed, address, deadline)
        case .memberUpdate(let id, let urls):
            let context = ClusterMember(id: id, peerURLs: urls).json.text
            try propose(
                ConfChange(type: .updateNode, nodeID: id, context: Array(context.utf8)), .changed, address, deadline)
        case .memberPromote(let id, let forwarded):
            do throws(EtcdError) { try promote(id, forwarded: forwarded, address, deadline) } catch {
                if node.isLeader { countRefusedPromotion(error) }
                throw error
            }
        case .moveLeader(let target): try moveLeader(to: target, address, deadline)
        default: preconditionFailure("\(body) changes no membership")
        }
    }

    private func add(
        _ urls: [String], isLearner: Bool, _ address: ReplyAddress, _ deadline: Instant
    ) throws(EtcdError) {
        try checkAddition(isLearner: isLearner)
        let id = MemberID(peerURLs: urls, token: "", unixSeconds: unixMilliseconds / 1000)
        let member = ClusterMember(id: id, peerURLs: urls, isLearner: isLearner)
        let change = ConfChange(
            type: isLearner ? .addLearnerNode : .addNode, nodeID: id, context: Array(member.json.text.utf8))
        try propose(change, .added(id), address, deadline)
    }

    func promote(
        _ id: MemberID, forwarded: Bool, _ address: ReplyAddress, _ deadline: Instant
    ) throws(EtcdError) {
        guard node.isLeader else {
            guard !forwarded else { throw .notLeader }
            // The leader judges: this member may not have heard of the learner yet.
            return forwardPromotion(of: id, address, deadline)
        }
        guard let member = applier.cluster[id] else { throw .memberNotFound }
        guard member.isLearner else { throw .memberNotLearner }
        let progress = node.status.progress
        guard let learner = progress[id], let own = progress[localID],
            Double(learner.match.rawValue) >= Double(own.match.rawValue) * Self.readyFraction
        else { throw .learnerNotReady }
        if configuration.strictReconfigurationCheck, !applier.cluster.isReadyToPromote(id) {
            log(
                .warn, "rejecting member promote request; not enough healthy members",
                ["local-member-id": "\(localID)", "requested-member-promote-id": "\(id)"])
            throw .notEnoughStartedMembers
        }
        let context = JSON.object([
            .init("id", .number(String(id.rawValue))), .init("peerURLs", .null), .init("isPromote", .bool(true)),
        ])
        try propose(
            ConfChange(type: .addNode, nodeID: id, context: Array(context.text.utf8)), .promoted, address, deadline)
    }

    func countRefusedPromotion(_ error: EtcdError) {
        if let i = figures.refusedPromotions.firstIndex(where: { $0.reason == error.message }) {
            figures.refusedPromotions[i].count += 1
        } else {
            figures.refusedPromotions.append((error.message, 1))
        }
    }

    func promotionAnswered(_ number: UInt64, _ error: EtcdError?) {
        guard let (address, _) = forwardedPromotions.removeValue(forKey: number) else { return }
        if let error { return outbox.refuse(address, error) }
        answerMembership(.changed, to: address)
    }

    // MARK: The strict check

    private func checkAddition(isLearner: Bool) throws(EtcdError) {
        guard configuration.strictReconfigurationCheck else { return }
        let voters = applier.cluster.voters
        if !isLearner, !applier.cluster.isReadyToAddVoter {
            log(
                .warn, "rejecting member add request; not enough healthy members",
                ["local-member-id": "\(localID)"])
            throw .notEnoughStartedMembers
        }
        guard voters.count > 1, connectedLong(voters) < RaftCluster.quorum(of: voters.count + 1) else { return }
        log(
            .warn,
            "rejecting member add request; local member has not been connected to all peers, reconfigure breaks active "
                + "quorum", ["local-member-id": "\(localID)"])
        throw .unhealthy
    }

    private func checkRemoval(of id: MemberID) throws(EtcdError) {
        guard configuration.strictReconfigurationCheck, applier.cluster[id]?.isLearner == false else { return }
        if !applier.cluster.isReadyToRemoveVoter(id) {
            log(
                .warn, "rejecting member remove request; not enough healthy members",
                ["local-member-id": "\(localID)", "requested-member-remove-id": "\(id)"])
            throw .notEnoughStartedMembers
        }
        // One that is down is no part of the active quorum.
        if id != localID, peers.activity(of: id) == nil { return }
        let voters = applier.cluster.voters
        guard connectedLong(voters) - 1 < RaftCluster.quorum(of: voters.count - 1) else { return }
        log(
            .warn,
            "rejecting member remove request; local member has not been connected to all peers, reconfigure breaks "
                + "active quorum", ["local-member-id": "\(localID)", "requested-member-remove": "\(id)"])
        throw .unhealthy
    }

    /// How many of these have been connected for the health interval; this member counts as connected.
    private func connectedLong(_ members: [ClusterMember]) -> Int {
        members.count { member in
            member.id == localID || peers.activity(of: member.id).map { now - $0 >= Self.healthInterval } ?? false
        }
    }

    // MARK: Proposing and answering

    private func propose(
        _ change: ConfChange, _ answer: PendingRequests.MembershipAnswer, _ address: ReplyAddress, _ deadline: Instant
    ) throws(EtcdError) {
        var change = change
        change.id = ids.next()
        try proposeOrKeep(change)
        pending.insert(change.id, .membership(address, answer), since: now, deadline: deadline)
    }

    /// The change with this ID has been applied, or refused when it was its turn.
    func answerMembershipChange(_ id: UInt64, _ refusal: MembershipError?) {
        guard id != 0, case .membership(let address, let answer)? = pending.remove(id) else { return }
        if let refusal {
            if answer == .promoted { countRefusedPromotion(refusal.clientError) }
            return outbox.refuse(address, refusal.clientError)
        }
        if answer == .promoted { figures.learnerPromotions += 1 }
        answerMembership(answer, to: address)
    }

    private func answerMembership(_ answer: PendingRequests.MembershipAnswer, to address: ReplyAddress) {
        let members = applier.cluster.members.map(\.message)
        switch answer {
        case .added(let id):
            var response = Etcdserverpb_MemberAddResponse()
            response.header = clusterHeader
            if let member = applier.cluster[id] { response.member = member.message }
            response.members = members
            self.answer(response, to: address)
        case .changed, .promoted:
            // Remove, update and promote answer alike: a header, and the members.
            var response = Etcdserverpb_MemberRemoveResponse()
            response.header = clusterHeader
            response.members = members
            self.answer(response, to: address)
        }
    }

    // MARK: Leadership

    private func moveLeader(
        to target: MemberID, _ address: ReplyAddress, _ deadline: Instant
    ) throws(EtcdError) {
        guard node.isLeader else { throw .notLeader }
        guard let member = applier.cluster[target], !member.isLearner else { throw .badLeaderTransferee }
        log(
            .info, "leadership transfer starting",
            [
                "local-member-id": "\(localID)", "current-leader-member-id": "\(node.leader)",
                "transferee-member-id": "\(target)",
            ])
        leadershipMoves.append(LeadershipMove(target: target, address: address, deadline: deadline))
        node.transferLeadership(to: target)
    }

    func answerMoveLeader(to address: ReplyAddress) {
        var response = Etcdserverpb_MoveLeaderResponse()
        response.header = clusterHeader
        answer(response, to: address)
    }
}

extension ClusterMember {
    var message: Etcdserverpb_Member {
        var member = Etcdserverpb_Member()
        member.id = id.rawValue
        member.name = name
        member.peerUrls = peerURLs
        member.clientUrls = clientURLs
        member.isLearner = isLearner
        return member
    }
}

extension MembershipError {
    /// What a client is told.
    var clientError: EtcdError {
        switch self {
        case .idRemoved, .idNotFound: .memberNotFound
        case .idExists: .memberExists
        case .peerURLExists: .peerURLExists
        case .memberNotLearner: .memberNotLearner
        case .tooManyLearners: .tooManyLearners
        case .malformedRecord, .malformedVersion: EtcdError(.unknown, description)
        }
    }
}
