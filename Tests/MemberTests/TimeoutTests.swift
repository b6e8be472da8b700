import Base
import EtcdProto
import Member
import Platform
import PlatformSim
import RaftCore
import Testing

/// What a client is told of a change that was proposed and of which nothing was heard: one of etcd's three texts.
@Suite struct TimeoutTests {
    private func started() throws -> (SimulatedCluster, leader: Int, follower: Int) {
        let cluster = try SimulatedCluster(3)
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        let leader = try #require(cluster.leader)
        return (cluster, leader, (leader + 1) % 3)
    }

    /// The answer to a put at a member, after `meanwhile`.
    private func answer(
        at i: Int, of cluster: SimulatedCluster, meanwhile: () throws -> Void
    ) throws -> EtcdError? {
        cluster[i].post([ClientRequest(ticket: 7, body: try KV.put("key", "value"), deadline: nil)])
        try meanwhile()
        #expect(try cluster.run(upTo: .seconds(8)) { $0[i].responses[7] != nil })
        guard case .failure(let error)? = cluster[i].takeResponse(7) else { return nil }
        return error
    }

    /// The proposal is lost on its way to the leader, which goes on to lead.
    private func loseProposal(to leader: Int, _ cluster: SimulatedCluster) throws {
        cluster.deaf = [leader]
        for _ in 0..<3 { try cluster.step() }
        cluster.deaf = []
    }

    @Test func theLeaderHasFailed() throws {
        let (cluster, leader, follower) = try started()
        let error = try answer(at: follower, of: cluster) {
            try loseProposal(to: leader, cluster)
            cluster.crash(leader, .loseUnsynced)
        }
        #expect(error == .timeoutDueToLeaderFailure)
    }

    @Test("The connection to the leader was lost meanwhile, or was not", arguments: [true, false])
    func theConnectionWasLost(_ isLost: Bool) throws {
        let (cluster, leader, follower) = try started()
        // The cluster was there for a while.
        _ = try cluster.run(upTo: .seconds(5)) { _ in false }
        let error = try answer(at: follower, of: cluster) {
            try loseProposal(to: leader, cluster)
            if isLost { cluster[follower].receive(.activity(of: cluster.id(leader), since: cluster.clock.now())) }
        }
        #expect(error == (isLost ? .timeoutDueToConnectionLost : .timeout))
        #expect(cluster.leader == leader)
    }

    @Test("A leader that reaches too few, or whose followers' disks hang", arguments: [2, 1, 0])
    func theFollowersDoNotStore(lost: Int) throws {
        let (cluster, leader, follower) = try started()
        _ = try cluster.run(upTo: .seconds(5)) { _ in false }
        let others = [follower, (leader + 2) % 3]
        cluster.stalled = Set(others)
        let error = try answer(at: leader, of: cluster) {
            try cluster.step()
            for other in others.prefix(lost) {
                cluster[leader].receive(.activity(of: cluster.id(other), since: cluster.clock.now()))
            }
        }
        #expect(error == (lost == 2 ? .timeoutDueToConnectionLost : .timeout))
        #expect(cluster[leader].core.isLeader)
    }
}
