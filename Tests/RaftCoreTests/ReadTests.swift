import Base
import RaftCore
import Testing

/// Linearizable reads: Raft thesis, 6.4.
@Suite("Reads") struct ReadTests {
    static let context: [UInt8] = [1, 2, 3]

    @Test(arguments: [false, true]) func aQuorumConfirms(asynchronous: Bool) throws {
        var cluster = try MiniCluster(3) { $0.asyncStorageWrites = asynchronous }
        try cluster.elect(1)
        cluster[1].readIndex(context: Self.context)
        try cluster.work(1)
        #expect(cluster.reads[0].isEmpty, "nobody has confirmed yet")
        try cluster.settle()
        #expect(cluster.reads[0] == [ReadState(index: cluster[1].committed, context: Self.context)])
    }

    @Test func aMinorityDoesNot() throws {
        var cluster = try MiniCluster(5)
        try cluster.elect(1)
        cluster.loses = { $0.type == .heartbeatResponse && $0.from != MemberID(2) }
        cluster[1].readIndex(context: Self.context)
        try cluster.settle()
        #expect(cluster.reads[0].isEmpty)
        cluster.loses = { _ in false }
        for _ in 0..<1 { cluster[1].tick() }
        try cluster.settle()
        #expect(cluster.reads[0].map(\.context) == [Self.context], "a later heartbeat confirms it")
    }

    @Test func followersForward() throws {
        var cluster = try MiniCluster(3)
        try cluster.elect(1)
        cluster[2].readIndex(context: [9])
        cluster[3].readIndex(context: [8])
        try cluster.settle()
        #expect(cluster.reads[1].map(\.context) == [[9]] && cluster.reads[2].map(\.context) == [[8]])
        #expect(cluster.reads[0].isEmpty)
    }

    @Test func manyShareOneConfirmation() throws {
        var cluster = try MiniCluster(3)
        try cluster.elect(1)
        for i in 0..<10 { cluster[1].readIndex(context: [UInt8(i)]) }
        try cluster.work(1)
        // The newest heartbeat alone is enough for all ten.
        cluster.network = cluster.network.filter { $0.to == MemberID(2) }.suffix(1)
        try cluster.settle()
        #expect(cluster.reads[0].map(\.context) == (0..<10).map { [UInt8($0)] })
    }

    /// A new leader does not know what is committed before it has committed an entry itself (thesis, 6.4).
    @Test func newLeadersWait() throws {
        var cluster = try MiniCluster(3)
        cluster.loses = { $0.type == .appendResponse }
        try cluster.elect(1)
        #expect(cluster[1].isLeader && cluster[1].committed == LogIndex(1))
        cluster[1].readIndex(context: Self.context)
        try cluster.settle()
        #expect(cluster.reads[0].isEmpty)
        cluster.loses = { _ in false }
        cluster[1].tick()
        try cluster.settle()
        #expect(cluster.reads[0] == [ReadState(index: LogIndex(2), context: Self.context)])
    }

    @Test func aLoneVoterAnswersAtOnce() throws {
        var cluster = try MiniCluster(2, learners: [2])
        try cluster.elect(1)
        cluster[1].readIndex(context: Self.context)
        #expect(cluster[1].ready().readStates == [ReadState(index: LogIndex(2), context: Self.context)])
    }

    @Test func leasesNeedNoRound() throws {
        var cluster = try MiniCluster(3) {
            $0.checkQuorum = true
            $0.readOnly = .leaseBased
        }
        try cluster.elect(1)
        cluster[1].readIndex(context: Self.context)
        let ready = cluster[1].ready()
        #expect(ready.readStates == [ReadState(index: LogIndex(2), context: Self.context)])
        #expect(ready.messages.isEmpty)
        // A leader that hears nothing for an election timeout gives its lease up.
        cluster[1].advance(ready)
        for _ in 0..<20 { cluster[1].tick() }
        #expect(!cluster[1].isLeader)
    }

    @Test func withoutALeaderNothingComes() throws {
        var cluster = try MiniCluster(3)
        cluster[2].readIndex(context: Self.context)
        #expect(!cluster[2].hasReady)
    }
}
