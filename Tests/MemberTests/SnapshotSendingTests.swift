import Base
import EtcdProto
import Member
import Membership
import Platform
import PlatformSim
import RaftCore
import Testing

/// Which peers get a database snapshot, and when one that did not arrive is sent again.
@Suite struct SnapshotSendingTests {
    private func at(_ milliseconds: Int) -> Instant { Instant(nanoseconds: UInt64(milliseconds) * 1_000_000) }

    private func wanted(by peer: UInt64) -> Message { Message(type: .snapshot, to: MemberID(peer)) }

    private func asks(_ peer: UInt64, _ sending: inout SnapshotSending, at now: Instant) -> Bool {
        sending.request(wanted(by: peer), at: now)
    }

    private let state = Snapshot(data: [], metadata: SnapshotMetadata(index: LogIndex(7), term: Term(1)))

    /// Takes a request all the way to the network.
    private func send(to peer: UInt64, _ sending: inout SnapshotSending, at now: Instant) -> Bool {
        guard sending.request(wanted(by: peer), at: now) else { return false }
        sending.fix(state)
        return sending.copied()?.messages.contains { $0.to == MemberID(peer) } == true
    }

    @Test("Peers that ask together share a state; no more than the limit are on their way, one to each peer")
    func bounds() {
        var sending = SnapshotSending()
        for peer in UInt64(1)...16 { #expect(asks(peer, &sending, at: at(0))) }
        #expect(!asks(17, &sending, at: at(0)), "too many")
        sending.fix(state)
        #expect(!sending.isWaiting)
        #expect(!asks(1, &sending, at: at(0)), "it gets one already")
        let copied = sending.copied()
        #expect(copied?.messages.count == 16)
        #expect(!asks(1, &sending, at: at(0)), "it is on its way")
        #expect(sending.ended(MemberID(1), failed: false, at: at(0)) == nil)
        #expect(asks(17, &sending, at: at(0)))
        #expect(sending.keepsLog(at: at(0)))
    }

    @Test("After a failure there is a pause that doubles up to its longest, and a success ends the row")
    func pauses() {
        var sending = SnapshotSending()
        var now = 0
        var pauses: [Duration] = []
        for _ in 0..<9 {
            #expect(send(to: 1, &sending, at: at(now)))
            guard let pause = sending.ended(MemberID(1), failed: true, at: at(now)) else {
                Issue.record("no pause after a failure")
                return
            }
            pauses.append(pause)
            now += Int(pause.inNanoseconds / 1_000_000)
            #expect(!asks(1, &sending, at: at(now - 1)))
            #expect(send(to: 2, &sending, at: at(now - 1)), "others do not wait for it")
            #expect(sending.ended(MemberID(2), failed: false, at: at(now - 1)) == nil)
        }
        #expect(pauses.prefix(4) == [.milliseconds(500), .seconds(1), .seconds(2), .seconds(4)])
        #expect(pauses.last == .seconds(30))
        #expect(send(to: 1, &sending, at: at(now)))
        #expect(sending.ended(MemberID(1), failed: false, at: at(now)) == nil)
        #expect(send(to: 1, &sending, at: at(now)))
        #expect(sending.ended(MemberID(1), failed: true, at: at(now)) == .milliseconds(500))
        sending.forget(MemberID(1))
        #expect(send(to: 1, &sending, at: at(now)))
    }

    @Test("The log is kept while one is on its way and for a while after it has arrived, not after a failure")
    func keepsLog() {
        var sending = SnapshotSending()
        #expect(!sending.keepsLog(at: at(0)))
        #expect(send(to: 1, &sending, at: at(0)))
        #expect(sending.keepsLog(at: at(999_999)))
        _ = sending.ended(MemberID(1), failed: true, at: at(1000))
        #expect(!sending.keepsLog(at: at(1000)))
        #expect(send(to: 1, &sending, at: at(2000)))
        _ = sending.ended(MemberID(1), failed: false, at: at(3000))
        #expect(sending.keepsLog(at: at(32_999)))
        #expect(!sending.keepsLog(at: at(33_000)))
    }

    // MARK: Members

    private func put(_ key: String, _ cluster: SimulatedCluster, at i: Int) throws {
        cluster[i].post([ClientRequest(ticket: 1, body: try KV.put(key, "v"))])
        #expect(try cluster.run { $0[i].responses[1] != nil })
        _ = try cluster[i].takeResponse(1)?.get()
    }

    /// A follower that was away for 60 entries, with a snapshot after each 40.
    private func snapshotsSent(catchUpEntries: UInt64) throws -> Int {
        let cluster = try SimulatedCluster(3) { $0.snapshotCatchUpEntries = catchUpEntries }
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        let leader = try #require(cluster.leader)
        let away = (leader + 1) % 3
        cluster.cutOff = [away]
        for n in 0..<60 { try put("k\(n)", cluster, at: leader) }
        #expect(cluster[leader].lines.contains { $0.message == "saved snapshot" })
        cluster.cutOff = []
        #expect(try cluster.run { $0[away].core.revision == $0[leader].core.revision })
        return cluster.snapshotsSent
    }

    @Test("The entries kept behind a snapshot decide who needs the database")
    func catchUpEntries() throws {
        #expect(try snapshotsSent(catchUpEntries: 5) > 0)
        #expect(try snapshotsSent(catchUpEntries: 500) == 0)
    }

    @Test("A snapshot that fails again and again is sent after pauses, until it arrives")
    func retries() throws {
        let cluster = try SimulatedCluster(3)
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        let leader = try #require(cluster.leader)
        let away = (leader + 1) % 3
        cluster.cutOff = [away]
        for n in 0..<120 { try put("k\(n)", cluster, at: leader) }
        cluster.losesSnapshots = true
        cluster.cutOff = []
        #expect(try cluster.run(upTo: .seconds(10)) { _ in false } == false)
        // Half a second, one, two, four: a try at each heartbeat would be a hundred.
        #expect((2...6).contains(cluster.snapshotsLost), "\(cluster.snapshotsLost) were tried")
        #expect(cluster[leader].lines.contains { $0.message.hasPrefix("a database snapshot did not arrive") })
        cluster.losesSnapshots = false
        #expect(try cluster.run { $0[away].core.revision == $0[leader].core.revision })
        #expect(cluster.snapshotsSent == 1)
    }

    // MARK: The limit of learners

    private func addLearner(_ name: String, at i: Int, _ cluster: SimulatedCluster) throws -> EtcdError? {
        cluster[i].post([
            ClientRequest(ticket: 2, body: .memberAdd(peerURLs: ["http://\(name):2380"], isLearner: true))
        ])
        #expect(try cluster.run { $0[i].responses[2] != nil })
        switch cluster[i].takeResponse(2) {
        case .failure(let error)?: return error
        case .success?, nil: return nil
        }
    }

    @Test("As many learners as the limit says, also after a restart", arguments: [0, 1, 2])
    func learnerLimit(limit: Int) throws {
        let cluster = try SimulatedCluster(1) { $0.learnerLimit = limit }
        #expect(try cluster.run { $0[0].isReady })
        for n in 0..<limit { #expect(try addLearner("l\(n)", at: 0, cluster) == nil) }
        #expect(try addLearner("over", at: 0, cluster) == .tooManyLearners)
        #expect(cluster[0].core.memberCount == 1 + limit)
        cluster.crash(0, .loseUnsynced)
        try cluster.restart(0)
        #expect(try cluster.run { $0[0].isReady })
        #expect(cluster[0].core.memberCount == 1 + limit)
        #expect(try addLearner("over", at: 0, cluster) == .tooManyLearners)
    }

    @Test("Who joins a cluster with more learners than its own limit is refused")
    func joinerWithALowerLimit() throws {
        let members = (1...3).map {
            ClusterMember(id: MemberID(UInt64($0)), peerURLs: ["http://m\($0):2380"], isLearner: $0 > 1)
        }
        let cluster = try SimulatedCluster(1)
        let error = try #require(throws: MemberError.self) {
            try cluster.join(
                MemberID(3), url: "http://m3:2380", cluster: JoinedCluster(id: ClusterID(1), members: members))
        }
        #expect(error.description.contains("too many learner members in cluster"), "\(error)")
        #expect(error.description.contains("--max-learners is 1"), "\(error)")
    }
}
