import Base
import Foundation
import RaftCore
import TestSupport
import Testing

/// Random and mutated messages, stepped into nodes in every role: a peer may lie as it likes, and no node traps, loses
/// what it committed, or goes back in time.
@Suite("Hostile messages") struct HostileMessageTests {
    static let seedsInBlock: UInt64 = 25

    /// In a process of its own, where a trap is a failure of this test and not the end of all of them. Which seed it
    /// was shows when the block's seeds run in this process, by `RAFT_HOSTILE_SEEDS=25-49`.
    @Test(arguments: 0..<UInt64(6)) func nothingTraps(block: UInt64) async {
        await #expect(processExitsWith: .success) { [block = block as UInt64] in
            var run = HostileRun.Totals()
            for seed in block * HostileMessageTests.seedsInBlock..<(block + 1) * HostileMessageTests.seedsInBlock {
                do {
                    var hostile = try HostileRun(seed: seed)
                    try hostile.run(steps: 1500)
                    run += hostile.totals
                } catch {
                    Issue.record("seed \(seed): \(error)")
                }
            }
            // The messages have to get past the first checks, into all roles, to mean anything.
            for (type, taken) in run.taken where !type.isLocal {
                #expect(taken > 20, "\(type.name) was taken \(taken) times")
            }
            #expect(run.byRole.count == 4 && run.byRole.values.allSatisfy { $0 > 500 }, "roles: \(run.byRole)")
            #expect(run.refused > 1000)
        }
    }

    @Test func namedSeeds() throws {
        let text = ProcessInfo.processInfo.environment["RAFT_HOSTILE_SEEDS"]
        guard let ends = text?.split(separator: "-").compactMap({ UInt64($0) }), let first = ends.first else {
            return print("skipped: named hostile runs (RAFT_HOSTILE_SEEDS is not set)")
        }
        for seed in first...(ends.last ?? first) {
            print("hostile seed \(seed)")
            var hostile = try HostileRun(seed: seed)
            try hostile.run(steps: 1500)
        }
    }

    /// That the harness notices what it is there for.
    @Test func aTrapIsNoticed() async {
        await #expect(processExitsWith: .failure) {
            var node = try MiniCluster(1)[1]
            node.campaign()
            let ready = node.ready()
            node.advance(ready)
            node.advance(ready)
        }
    }
}
