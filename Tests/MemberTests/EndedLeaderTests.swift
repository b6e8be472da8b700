import Base
import Member
import PlatformSim
import Testing

/// A leader whose process has ended is replaced at once; one that was only said to have ended leads on.
@Suite struct EndedLeaderTests {
    private func started(_ count: Int, seed: UInt64) throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(count, seed: seed)
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } && $0.leader != nil }, "seed \(seed)")
        return cluster
    }

    @Test(arguments: [3, 5]) func itIsReplacedBeforeTheElectionTimeout(count: Int) throws {
        for seed in 1...10 as ClosedRange<UInt64> {
            let cluster = try started(count, seed: seed)
            let leader = try #require(cluster.leader)
            cluster.crash(leader, .loseUnsynced)
            for member in cluster.members { member?.receive(.ended(cluster.id(leader))) }
            let replaced = try cluster.run(upTo: .milliseconds(500)) { $0.leader.map { $0 != leader } ?? false }
            #expect(replaced, "seed \(seed)")
        }
    }

    /// The control: without the report it takes an election timeout, 1 s.
    @Test func withoutTheReportItTakesLonger() throws {
        for seed in 1...10 as ClosedRange<UInt64> {
            let cluster = try started(3, seed: seed)
            let leader = try #require(cluster.leader)
            cluster.crash(leader, .loseUnsynced)
            #expect(try !cluster.run(upTo: .milliseconds(500)) { $0.leader.map { $0 != leader } ?? false })
        }
    }

    /// One follower is told so and is wrong: the others hear the leader and do not vote.
    @Test func oneFollowersErrorChangesNothing() throws {
        for seed in 1...10 as ClosedRange<UInt64> {
            let cluster = try started(3, seed: seed)
            let leader = try #require(cluster.leader)
            let term = cluster[leader].core.term
            cluster[(leader + 1) % 3].receive(.ended(cluster.id(leader)))
            _ = try cluster.run(upTo: .seconds(3)) { _ in false }
            #expect(cluster.leader == leader && cluster[leader].core.term == term, "seed \(seed)")
        }
    }
}
