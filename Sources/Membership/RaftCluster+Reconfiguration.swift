public import Base

/// What the strict check of a reconfiguration asks: whether enough members have started that the cluster keeps a quorum
/// afterwards.
extension RaftCluster {
    public var voters: [ClusterMember] { members.filter { !$0.isLearner } }

    /// Whether a quorum of the voters with one more, which has not started, has started.
    public var isReadyToAddVoter: Bool {
        let started = voters.count(where: \.isStarted)
        // The second member of a cluster of one can only start after it was added.
        if voters.count == 1 && started == 1 { return true }
        return started >= Self.quorum(of: voters.count + 1)
    }

    /// Whether a quorum of the voters without one of them has started.
    public func isReadyToRemoveVoter(_ id: MemberID) -> Bool {
        let remaining = voters.filter { $0.id != id }
        guard !remaining.isEmpty else { return false }
        return remaining.count(where: \.isStarted) >= Self.quorum(of: remaining.count)
    }

    /// Whether a quorum of the voters with a learner that has started among them has started.
    public func isReadyToPromote(_ id: MemberID) -> Bool {
        let started = voters.count(where: \.isStarted) + 1
        return started >= Self.quorum(of: voters.count + 1)
    }

    /// The smallest majority.
    public static func quorum(of count: Int) -> Int { count / 2 + 1 }
}
