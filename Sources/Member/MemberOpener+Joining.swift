internal import Base
internal import Membership
internal import RaftCore

// A member that joins a running cluster.
extension MemberOpener {
    /// The cluster to join, without members: the log or a snapshot brings them.
    func joinedCluster(_ joining: JoinedCluster) throws(MemberError) -> RaftCluster {
        let learners = joining.members.count(where: \.isLearner)
        guard learners <= configuration.learnerLimit else {
            throw MemberError(
                .configuration,
                "\(MembershipError.tooManyLearners): \(learners), and --max-learners is \(configuration.learnerLimit); "
                    + "it must be the same on every member")
        }
        try configuration.validateInitialCluster(joins: true)
        let configured = configuration.foundingMembers()
        guard configured.count == joining.members.count else {
            throw MemberError(
                .configuration, "error validating peerURLs \(describe(joining)): member count is unequal")
        }
        for member in joining.members
        where !configured.contains(where: { configuration.isSame($0.peerURLs, member.peerURLs) }) {
            throw MemberError(
                .configuration,
                "error validating peerURLs \(describe(joining)): unmatched member while checking PeerURLs "
                    + "(\(list(member.peerURLs.sorted())))")
        }
        // Which one this is, the name says: what it advertises only counts once it publishes that.
        let own = try configuration.localURLs()
        guard let local = joining.members.first(where: { configuration.isSame($0.peerURLs, own) }) else {
            throw MemberError(
                .configuration, "couldn't find local peer URLs \(list(own)) in the cluster \(describe(joining))")
        }
        return RaftCluster(id: joining.id, localID: local.id)
    }

    private func describe(_ cluster: JoinedCluster) -> String {
        "{ClusterID:\(cluster.id) Members:["
            + cluster.members.map { "\($0.id)=\(list($0.peerURLs))" }.joined(separator: " ")
            + "]}"
    }

    /// A raft node without a log: a leader brings it up.
    func blankNode(_ cluster: RaftCluster) throws(MemberError) -> RawNode<MemoryStorage> {
        do { return try RawNode(raftConfiguration(cluster.localID), storage: MemoryStorage()) } catch {
            throw MemberError(.configuration, "cannot start raft: \(error)")
        }
    }
}
