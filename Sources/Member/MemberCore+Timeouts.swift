internal import Apply
internal import Base
internal import EtcdProto
internal import Membership
internal import Platform
internal import RaftCore

extension MemberCore {
    /// What is told of a proposal that may still be carried out when its time is over: why, as far as this member can
    /// know. By etcd's rules; decision 149.
    /// - Parameter start: when the request was taken in.
    func timeout(since start: Instant) -> EtcdError {
        // It may have gone to the leader before.
        if let known = leaderKnownSince, start < known, known - start < configuration.electionTimeout * 2 {
            return .timeoutDueToLeaderFailure
        }
        let isConnected: Bool
        switch node.leader {
        // Nobody leads: that says enough.
        case .none: isConnected = true
        case localID:
            let voters = applier.cluster.voters
            isConnected =
                voters.count { wasConnected($0.id, at: start) } >= RaftCluster.quorum(of: voters.count)
        case let leader: isConnected = wasConnected(leader, at: start)
        }
        return isConnected ? .timeout : .timeoutDueToConnectionLost
    }

    /// Whether a member has been reached all the time since `start`.
    private func wasConnected(_ id: MemberID, at start: Instant) -> Bool {
        id == localID || peers.activity(of: id).map { $0 < start } ?? false
    }
}
