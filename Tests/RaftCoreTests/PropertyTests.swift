import Base
import Foundation
import RaftCore
import TestSupport
import Testing

/// Random clusters under random trouble, watched by `RaftChecker`. A failure names its seed; the same seed replays it.
@Suite("Properties") struct PropertyTests {
    static func run(seed: UInt64, steps: Int) throws -> Int {
        var simulation = try RaftSimulation(RaftSimulation.Options(seed: seed))
        try simulation.run(steps: steps)
        try simulation.heal()
        return simulation.checker.elections
    }

    @Test(arguments: 0..<20) func randomClusters(seed: UInt64) throws {
        do {
            _ = try Self.run(seed: seed, steps: 2000)
        } catch {
            Issue.record("seed \(seed): \(error)")
        }
    }

    /// Runs new seeds for a while: MARTLET_SOAK=1 for ten minutes, or RAFT_SOAK_SECONDS.
    @Test func soak() throws {
        let environment = ProcessInfo.processInfo.environment
        let seconds =
            environment["RAFT_SOAK_SECONDS"].flatMap(Double.init) ?? (environment["MARTLET_SOAK"] == nil ? 0 : 600)
        var seed = UInt64(Date().timeIntervalSince1970)
        var steps = 0
        var elections = 0
        let start = Date()
        while Date().timeIntervalSince(start) < seconds {
            do {
                elections += try Self.run(seed: seed, steps: 20_000)
            } catch {
                Issue.record("seed \(seed): \(error)")
                return
            }
            steps += 20_000
            seed += 1
        }
        if steps > 0 {
            let rate = Int(Double(steps) / Date().timeIntervalSince(start))
            print("raft: \(steps) steps, \(elections) elections, \(rate) steps/s")
        }
    }
}
