import Foundation
import RaftCore
import TestSupport
import Testing

/// Random clusters under random trouble, watched by `RaftChecker`. A failure names its seed; the same seed replays it.
@Suite("Properties") struct PropertyTests {
    static func run(seed: UInt64, steps: Int) throws(RaftViolation) -> RaftSimulationCounts {
        var simulation = try RaftSimulation(RaftSimulation.Options(seed: seed))
        try simulation.run(steps: steps)
        try simulation.heal()
        return simulation.counts
    }

    /// The same clusters on every run; each kind of trouble has to occur among them, or the generator has gone stale.
    @Test func randomClusters() {
        var counts = RaftSimulationCounts()
        for seed in 0..<UInt64(100) {
            do throws(RaftViolation) {
                counts += try Self.run(seed: seed, steps: 5000)
            } catch {
                Issue.record("seed \(seed): \(error)")
            }
        }
        print("raft: \(counts.deadlocks) of 100 clusters deadlocked\n\(counts.summary)")
        for event in RaftSimulationCounts.Event.allCases {
            #expect(counts[event] >= 50, "too little of \(event)")
        }
        #expect(counts.deadlocks <= 10, "too many clusters end in disagreement on their members")
        for voters in 1...7 { #expect(counts.runsByVoters[voters] > 0, "no cluster of \(voters) voters") }
    }

    @Test func sameSeedSameRun() throws {
        let (a, b) = (try Self.run(seed: 5, steps: 2000), try Self.run(seed: 5, steps: 2000))
        #expect(a.summary == b.summary)
    }

    /// Runs new seeds for RAFT_SOAK_SECONDS; `make soak` does it on the release build.
    @Test func soak() {
        let wanted = ProcessInfo.processInfo.environment["RAFT_SOAK_SECONDS"].flatMap(Double.init)
        guard let seconds = wanted else { return print("skipped: raft soak (RAFT_SOAK_SECONDS is not set)") }
        let start = Date()
        var seed = UInt64(start.timeIntervalSince1970 * 1000)
        var steps = 0
        var counts = RaftSimulationCounts()
        while Date().timeIntervalSince(start) < seconds {
            do throws(RaftViolation) {
                counts += try Self.run(seed: seed, steps: 10_000)
            } catch {
                Issue.record("seed \(seed), 10000 steps: \(error)")
                return
            }
            steps += 10_000
            seed += 1
        }
        let rate = Int(Double(steps) / Date().timeIntervalSince(start))
        print("raft: \(steps) steps, \(counts[.leaderElected]) elections, \(rate) steps/s\n\(counts.summary)")
    }
}
