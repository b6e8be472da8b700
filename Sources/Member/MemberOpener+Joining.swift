internal import Base
internal import Membership
internal import RaftCore

// A member that joins a running cluster.
extension MemberOpener {
    /// The cluster to join, without members: the log or a snapshot brings them.
    func joinedCluster(_ joining: JoinedCluster) throws(MemberError) -> RaftCluster {
        let configured = try foundingMembers()
        guard configured.count == joining.members.count else {
            throw MemberError(
                .configuration, "error validating peerURLs \(describe(joining)): member count is unequal")
        }
        for member in joining.members {
            let urls = member.peerURLs.sorted()
            guard configured.contains(where: { $0.peerURLs.sorted() == urls }) else {
                throw MemberError(
                    .configuration,
                    "error validating peerURLs \(describe(joining)): unmatched member while checking PeerURLs "
                        + "(\(list(urls)))")
            }
        }
        let own = configuration.peerURLs.sorted()
        guard let local = joining.members.first(where: { $0.peerURLs.sorted() == own }) else {
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
