import Apply
import Base
import EtcdProto
import Member
import Membership
import Platform
import PlatformSim
import RaftCore
import Testing

/// What clients are told, and when, while nobody leads, or while leadership is on its way to somebody who does not take
/// it. Beside a real etcd: `Conformance/NoLeaderTests`.
@Suite struct LeaderlessTests {
    private func started(isStrict: Bool = true) throws -> (SimulatedCluster, leader: Int) {
        let cluster = try SimulatedCluster(3) { $0.strictReconfigurationCheck = isStrict }
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        return (cluster, try #require(cluster.leader))
    }

    /// A member that is alone and knows that nobody leads.
    private func alone() throws -> (SimulatedCluster, survivor: Int) {
        let (cluster, leader) = try started(isStrict: false)
        try put("k", "v", at: leader, cluster)
        let survivor = (leader + 1) % 3
        for i in 0..<3 where i != survivor { cluster.crash(i, .loseUnsynced) }
        #expect(try cluster.run { !$0[survivor].core.hasLeader })
        return (cluster, survivor)
    }

    private struct Outcome {
        var result: Result<[UInt8], EtcdError>
        var after: Duration

        var error: EtcdError? {
            if case .failure(let error) = result { error } else { nil }
        }
    }

    private func outcome(
        of body: ClientRequest.Body, deadline: Duration? = nil, requiresLeader: Bool = false, at i: Int,
        _ cluster: SimulatedCluster
    ) throws -> Outcome {
        let start = cluster.clock.now()
        var request = ClientRequest(ticket: 7, body: body, deadline: deadline.map { start + $0 })
        request.requiresLeader = requiresLeader
        cluster[i].post([request])
        #expect(try cluster.run(upTo: .seconds(90)) { $0[i].responses[7] != nil })
        return Outcome(result: try #require(cluster[i].takeResponse(7)), after: cluster.clock.now() - start)
    }

    /// Expired requests are looked for at each heartbeat.
    private func expect(
        _ outcome: Outcome, _ error: EtcdError, after expected: Duration, _ name: String,
        sourceLocation: SourceLocation = #_sourceLocation
    ) {
        #expect(outcome.error == error, "\(name)", sourceLocation: sourceLocation)
        #expect(
            outcome.after >= expected && outcome.after <= expected + .milliseconds(200),
            "\(name): after \(outcome.after)", sourceLocation: sourceLocation)
    }

    // MARK: Leadership that nobody takes

    struct Patience: Sendable, CustomTestStringConvertible {
        var deadline: Duration?
        var waits: Duration
        var testDescription: String { deadline.map { "deadline \($0)" } ?? "no deadline" }
    }

    @Test(
        "A target that does not take over: the client hears so when its time is over, and writes go on",
        arguments: [
            Patience(deadline: nil, waits: .seconds(7)), Patience(deadline: .seconds(3), waits: .seconds(3)),
            Patience(deadline: .seconds(20), waits: .seconds(20)),
            Patience(deadline: .seconds(1000), waits: MemberLimits.membershipWait),
        ]) func moveLeaderTimesOut(_ patience: Patience) throws
    {
        let (cluster, leader) = try started()
        let target = (leader + 1) % 3
        let term = cluster[leader].core.term
        cluster.cutOff = [target]
        let start = cluster.clock.now()
        cluster[leader].post([
            ClientRequest(
                ticket: 1, body: .moveLeader(to: cluster.id(target)), deadline: patience.deadline.map { start + $0 })
        ])
        try cluster.step()
        // Until raft gives up the transfer, after an election timeout, a proposal waits.
        try put("k", "v", at: leader, cluster)
        let held = cluster.clock.now() - start
        #expect(held >= .milliseconds(900) && held < .milliseconds(1300), "held for \(held)")
        try put("k", "w", at: leader, cluster)
        #expect(cluster.clock.now() - start - held < .milliseconds(200))

        #expect(try cluster.run(upTo: .seconds(90)) { $0[leader].responses[1] != nil })
        let outcome = Outcome(
            result: try #require(cluster[leader].takeResponse(1)), after: cluster.clock.now() - start)
        expect(outcome, .leaderTransferTimeout, after: patience.waits, patience.testDescription)
        #expect(outcome.error?.code == .unknown)
        #expect(outcome.error?.message == "etcdserver: request timed out, leader transfer took too long")
        #expect(cluster[leader].core.isLeader && cluster[leader].core.term == term)

        // It was the target's fault, and only this once.
        cluster.cutOff = []
        let current = try #require(cluster.leader)
        let next = (current + 1) % 3
        #expect(try cluster.run { $0[next].core.revision == $0[current].core.revision })
        _ = try ask(.moveLeader(to: cluster.id(next)), at: current, cluster).get()
        #expect(cluster[next].core.isLeader)
    }

    @Test("A change of the membership waits for a transfer to end")
    func changeDuringTransfer() throws {
        let (cluster, leader) = try started(isStrict: false)
        let target = (leader + 1) % 3
        cluster.cutOff = [target]
        cluster[leader].post([
            ClientRequest(ticket: 1, body: .moveLeader(to: cluster.id(target))),
            ClientRequest(ticket: 2, body: .memberAdd(peerURLs: ["http://x:1"], isLearner: true)),
            ClientRequest(ticket: 3, body: .memberAdd(peerURLs: ["http://y:1"], isLearner: false)),
        ])
        #expect(try cluster.run(upTo: .seconds(3)) { $0[leader].responses[3] != nil })
        _ = try cluster[leader].takeResponse(2)?.get()
        _ = try cluster[leader].takeResponse(3)?.get()
        #expect(cluster[leader].core.memberCount == 5)
    }

    // MARK: Nobody leads

    /// A text of its own for what was never proposed, as in etcd: it certainly was not done.
    @Test("Without a leader changes wait for the member's limit, or as long as the client says if that is shorter")
    func changesWithoutLeader() throws {
        let (cluster, i) = try alone()
        let changes: [(String, ClientRequest.Body)] = [
            ("put", try KV.put("k", "w")), ("alarms", .alarm([])),
            ("removal", .memberRemove(cluster.id((i + 1) % 3))),
            ("update", .memberUpdate(cluster.id(i), peerURLs: ["http://z:1"])),
            ("addition", .memberAdd(peerURLs: ["http://x:1"], isLearner: true)),
        ]
        for (name, body) in changes {
            expect(try outcome(of: body, at: i, cluster), .deadlineExceeded, after: .seconds(7), name)
            expect(
                try outcome(of: body, deadline: .seconds(2), at: i, cluster), .deadlineExceeded, after: .seconds(2),
                "\(name), impatient")
            let patient = try outcome(of: body, deadline: .seconds(20), at: i, cluster)
            let limit: Duration = name == "put" || name == "alarms" ? .seconds(7) : .seconds(20)
            expect(patient, .deadlineExceeded, after: limit, "\(name), patient")
            expect(
                try outcome(of: body, requiresLeader: true, at: i, cluster), .noLeader, after: .zero,
                "\(name), with a leader or not at all")
        }
        let read = try outcome(of: .memberList(linearizable: true), at: i, cluster)
        expect(read, .timeout, after: .seconds(7), "linearizable list")
        #expect(try outcome(of: .memberList(linearizable: false), at: i, cluster).error == nil)
        #expect(try outcome(of: .status, at: i, cluster).error == nil)
        let promotion = ClientRequest.Body.memberPromote(cluster.id((i + 1) % 3), forwarded: false)
        expect(
            try outcome(of: promotion, deadline: .seconds(20), at: i, cluster), .noLeader, after: .seconds(7),
            "promotion")
    }

    @Test("What was proposed and is not applied in time has another text than what was not proposed")
    func proposedInVain() throws {
        let (cluster, leader) = try started()
        let follower = (leader + 1) % 3
        // The follower hands it to a leader from which it hears, and which never commits.
        cluster.stalled = [0, 1, 2]
        let outcome = try outcome(of: try KV.put("k", "v"), deadline: .milliseconds(300), at: follower, cluster)
        expect(outcome, .timeout, after: .milliseconds(300), "put")
    }

    @Test("Changes that wait for a leader are made one after the other when there is one again")
    func changesAreMadeLater() throws {
        let (cluster, i) = try alone()
        let (other, third) = ((i + 1) % 3, (i + 2) % 3)
        cluster[i].post([
            ClientRequest(ticket: 1, body: .memberAdd(peerURLs: ["http://x:1"], isLearner: true)),
            ClientRequest(ticket: 2, body: .memberAdd(peerURLs: ["http://y:1"], isLearner: true)),
            ClientRequest(ticket: 3, body: .memberUpdate(cluster.id(third), peerURLs: ["http://z:1"])),
            ClientRequest(ticket: 4, body: .memberAdd(peerURLs: ["http://z:1"], isLearner: false)),
            ClientRequest(
                ticket: 5, body: .memberRemove(cluster.id(third)), deadline: cluster.clock.now() + .seconds(2)),
        ])
        #expect(try cluster.run(upTo: .seconds(3)) { _ in false } == false)
        #expect(throws: EtcdError.deadlineExceeded) { try cluster[i].takeResponse(5)?.get() }
        #expect(cluster[i].responses.isEmpty)
        try cluster.restart(other)
        #expect(try cluster.run(upTo: .seconds(4)) { $0[i].responses.count == 4 })
        for ticket in [1, 3] as [UInt64] { _ = try cluster[i].takeResponse(ticket)?.get() }
        // What is not allowed is refused when it is its turn.
        #expect(throws: EtcdError.tooManyLearners) { try cluster[i].takeResponse(2)?.get() }
        #expect(throws: EtcdError.peerURLExists) { try cluster[i].takeResponse(4)?.get() }
        let members = cluster[i].core.applier.cluster.members
        #expect(members.count == 4 && members.contains { $0.peerURLs == ["http://z:1"] && $0.id == cluster.id(third) })
    }

    @Test("The leader judges a promotion, also of a learner that this member has not heard of")
    func promotionsGoToTheLeader() throws {
        let (cluster, i) = try alone()
        let learner = MemberID(77)
        cluster[i].post([ClientRequest(ticket: 1, body: .memberPromote(learner, forwarded: false))])
        #expect(try cluster.run(upTo: .seconds(2)) { _ in false } == false)
        #expect(cluster.promotionsForwarded.isEmpty && cluster[i].responses.isEmpty)
        // The other one cannot win: it has less of the log. Whoever leads is asked.
        let other = (i + 1) % 3
        try cluster.restart(other)
        #expect(try cluster.run(upTo: .seconds(4)) { !$0.promotionsForwarded.isEmpty || $0[i].responses[1] != nil })
        if let promotion = cluster.promotionsForwarded.first {
            #expect(promotion.learner == learner && promotion.leader == cluster.id(other))
            cluster[i].receive(.promoted(number: promotion.number, .memberNotFound))
            try cluster.step()
        }
        #expect(cluster.promotionsForwarded.count == (cluster[i].core.isLeader ? 0 : 1))
        #expect(throws: EtcdError.memberNotFound) { try cluster[i].takeResponse(1)?.get() }
    }

    @Test("Promotions that wait are counted among the requests")
    func promotionsAreLimited() throws {
        let (cluster, i) = try alone()
        let limit = MemberLimits.pendingRequests
        let promotion = ClientRequest.Body.memberPromote(MemberID(77), forwarded: false)
        cluster[i].post((0...limit).map { ClientRequest(ticket: UInt64($0), body: promotion) })
        try cluster.step()
        #expect(cluster[i].responses.count == 1)
        #expect(throws: EtcdError.tooManyRequests) { try cluster[i].takeResponse(UInt64(limit))?.get() }
    }
}
