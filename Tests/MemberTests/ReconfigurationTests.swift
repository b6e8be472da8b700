import Apply
import Base
import EtcdProto
import Member
import Membership
import Platform
import PlatformSim
import RaftCore
import Testing

/// Changes of the membership that would endanger the cluster, or that its state forbids: each is refused with etcd's
/// error before it reaches the log, or when it is its turn there.
@Suite struct ReconfigurationTests {
    private func started(_ count: Int = 3, isStrict: Bool = true) throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(count) { $0.strictReconfigurationCheck = isStrict }
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        return cluster
    }

    /// Members count as healthy after five seconds.
    private func settled(_ count: Int = 3, isStrict: Bool = true) throws -> (SimulatedCluster, leader: Int) {
        let cluster = try started(count, isStrict: isStrict)
        #expect(try cluster.run(upTo: .seconds(6)) { _ in false } == false)
        return (cluster, try #require(cluster.leader))
    }

    private func error(_ body: ClientRequest.Body, at i: Int, _ cluster: SimulatedCluster) throws -> EtcdError? {
        switch try ask(body, at: i, cluster) {
        case .success: nil
        case .failure(let error): error
        }
    }

    private func voter(_ n: Int) -> ClientRequest.Body {
        .memberAdd(peerURLs: ["http://x\(n):2380"], isLearner: false)
    }

    private func learner(_ n: Int) -> ClientRequest.Body {
        .memberAdd(peerURLs: ["http://x\(n):2380"], isLearner: true)
    }

    private func kill(_ i: Int, _ cluster: SimulatedCluster, noticedBy leader: Int) {
        cluster.crash(i, .loseUnsynced)
        cluster[leader].receive(.activity(of: cluster.id(i), since: nil))
    }

    @Test("Before the members have been connected for five seconds nothing is added or removed")
    func youngConnections() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let other = (leader + 1) % 3
        #expect(try error(voter(1), at: leader, cluster) == .unhealthy)
        #expect(try error(learner(1), at: leader, cluster) == .unhealthy)
        #expect(try error(.memberRemove(cluster.id(other)), at: leader, cluster) == .unhealthy)
        #expect(try cluster.run(upTo: .seconds(6)) { _ in false } == false)
        #expect(try error(.memberRemove(cluster.id(other)), at: leader, cluster) == nil)
    }

    @Test("With one of three down only that one can be removed")
    func oneIsDown() throws {
        let (cluster, leader) = try settled()
        let (dead, alive) = ((leader + 1) % 3, (leader + 2) % 3)
        kill(dead, cluster, noticedBy: leader)
        #expect(try error(voter(1), at: leader, cluster) == .unhealthy)
        #expect(try error(learner(1), at: leader, cluster) == .unhealthy)
        #expect(try error(.memberRemove(cluster.id(alive)), at: leader, cluster) == .unhealthy)
        #expect(try error(.memberRemove(cluster.id(leader)), at: leader, cluster) == .unhealthy)
        #expect(cluster[leader].core.memberCount == 3)
        #expect(try error(.memberRemove(cluster.id(dead)), at: leader, cluster) == nil)
        #expect(cluster[leader].core.memberCount == 2)
    }

    @Test("Voters that have never started do not count, and nothing is done that leaves too few that have")
    func neverStarted() throws {
        let (cluster, leader) = try settled()
        #expect(try error(voter(1), at: leader, cluster) == nil)
        #expect(try error(voter(2), at: leader, cluster) == nil)
        #expect(try error(voter(3), at: leader, cluster) == .notEnoughStartedMembers, "three of six")
        #expect(
            try error(.memberRemove(cluster.id((leader + 1) % 3)), at: leader, cluster) == .notEnoughStartedMembers,
            "two of four")
        #expect(cluster[leader].core.memberCount == 5)
    }

    @Test("The second voter of a cluster of one may not have started, the third must wait for it")
    func oneBecomesThree() throws {
        let (cluster, leader) = try settled(1)
        #expect(try error(voter(1), at: leader, cluster) == nil)
        #expect(try error(voter(2), at: leader, cluster) == .notEnoughStartedMembers)
    }

    @Test("Without the strict check the operator is believed")
    func withoutTheCheck() throws {
        let (cluster, leader) = try settled(isStrict: false)
        let (dead, alive) = ((leader + 1) % 3, (leader + 2) % 3)
        kill(dead, cluster, noticedBy: leader)
        #expect(try error(learner(1), at: leader, cluster) == nil)
        #expect(try error(.memberRemove(cluster.id(alive)), at: leader, cluster) == nil)
    }

    @Test("A learner is promoted when it has caught up, and leads only then")
    func unreadyLearner() throws {
        let (cluster, leader) = try settled()
        let follower = (leader + 1) % 3
        for n in 0..<30 { try put("k\(n)", "v", at: leader, cluster) }
        #expect(try error(learner(1), at: leader, cluster) == nil)
        let learners = cluster[leader].core.applier.cluster.members.filter(\.isLearner)
        let id = try #require(learners.first).id
        #expect(try cluster.run { $0[follower].core.memberCount == 4 })
        #expect(try error(.memberPromote(id, forwarded: false), at: leader, cluster) == .learnerNotReady)
        #expect(try error(.memberPromote(id, forwarded: true), at: follower, cluster) == .notLeader)
        #expect(try error(.moveLeader(to: id), at: leader, cluster) == .badLeaderTransferee)
        #expect(try error(.moveLeader(to: cluster.id(leader)), at: follower, cluster) == .notLeader)
        #expect(
            try error(.memberPromote(cluster.id(follower), forwarded: false), at: leader, cluster) == .memberNotLearner)

        // The same URLs within the same second make the same ID; later they are taken.
        #expect(try error(learner(2), at: leader, cluster) == .tooManyLearners)
        #expect(try error(voter(1), at: leader, cluster) == .memberExists)
        #expect(try cluster.run(upTo: .seconds(1)) { _ in false } == false)
        #expect(try error(voter(1), at: leader, cluster) == .peerURLExists)
        #expect(
            try error(.memberUpdate(id, peerURLs: ["http://m1:2380"]), at: leader, cluster) == .peerURLExists)

        // An ID that was removed never comes back.
        #expect(try error(.memberRemove(id), at: leader, cluster) == nil)
        #expect(try error(.memberRemove(id), at: leader, cluster) == .memberNotFound)
        #expect(try error(.memberPromote(id, forwarded: false), at: leader, cluster) == .memberNotFound)
        #expect(try error(.memberUpdate(id, peerURLs: ["http://x7:1"]), at: leader, cluster) == .memberNotFound)
        #expect(try error(.moveLeader(to: id), at: leader, cluster) == .badLeaderTransferee)
    }

    @Test("What a removed member sends is not taken, and nothing is sent to it")
    func removedMembersAreDeaf() throws {
        let (cluster, leader) = try settled()
        let gone = cluster.id((leader + 1) % 3)
        #expect(try error(.memberRemove(gone), at: leader, cluster) == nil)
        #expect(try cluster.run { $0[(leader + 1) % 3].isRemoved }, "it does not learn of its removal")
        let member = cluster[leader]
        let term = member.core.term
        func receive(from sender: MemberID, to receiver: MemberID) {
            member.receive(
                .messages([
                    Message(
                        type: .vote, to: receiver, from: sender, term: Term(term.rawValue + 9), index: LogIndex(9999))
                ]))
        }
        receive(from: gone, to: cluster.id(leader))
        receive(from: cluster.id((leader + 2) % 3), to: MemberID(77))
        member.outgoing = []
        for _ in 0..<50 {
            member.turn()
            member.writeLog()
            cluster.clock.advance(.milliseconds(10))
        }
        #expect(member.core.term == term && member.core.isLeader)
        #expect(member.lines.contains { $0.message == "rejected Raft message from removed member" })
        #expect(member.lines.contains { $0.message == "rejected Raft message to mismatch member" })
        let sent = member.outgoing.flatMap(\.messages)
        #expect(!sent.isEmpty)
        #expect(!sent.contains { $0.to == gone }, "\(sent)")
    }

    /// The detector of a leader that is overloaded, or whose disk is slow: heartbeats more than two intervals apart.
    @Test("A leader that is late with its heartbeats says so and counts it, once for each peer")
    func lateHeartbeats() throws {
        let (cluster, leader) = try settled()
        let member = cluster[leader]
        func complaints() -> [LogLine] {
            member.lines.filter { $0.message.hasPrefix("leader failed to send out heartbeat on time") }
        }
        #expect(complaints().isEmpty && member.figures()?.heartbeatsFailed == 0)
        // Within twice the interval of 100 ms nothing is said.
        cluster.clock.advance(.milliseconds(90))
        #expect(try cluster.run(upTo: .milliseconds(300)) { _ in false } == false)
        #expect(complaints().isEmpty)
        cluster.clock.advance(.milliseconds(400))
        #expect(try cluster.run(upTo: .milliseconds(300)) { _ in false } == false)
        #expect(complaints().count == 2)
        #expect(member.figures()?.heartbeatsFailed == 2)
        for peer in [1, 2] {
            let id = cluster.id((leader + peer) % 3)
            #expect(complaints().contains { "\($0)".contains("\(id)") }, "\(complaints())")
        }
    }

    /// The time in which another led is no delay.
    @Test("A change of the leader begins the record anew")
    func recordsAfterALeadershipMove() throws {
        let (cluster, leader) = try settled()
        let other = (leader + 1) % 3
        #expect(try error(.moveLeader(to: cluster.id(other)), at: leader, cluster) == nil)
        #expect(try cluster.run(upTo: .seconds(3)) { _ in false } == false)
        #expect(try error(.moveLeader(to: cluster.id(leader)), at: other, cluster) == nil)
        #expect(try cluster.run(upTo: .seconds(1)) { _ in false } == false)
        #expect(cluster[leader].core.isLeader)
        for i in 0..<3 {
            #expect(!cluster[i].lines.contains { $0.message.hasPrefix("leader failed to send out heartbeat") })
        }
    }
}
