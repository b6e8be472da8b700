import Foundation
import RaftCore
import TestSupport
import Testing

#if DEBUG
    /// Every mistake of the list must break a rule that `RaftChecker` watches.
    @Suite("Faults") struct FaultTests {
        static let steps = 4000

        /// What the checker says of a run with a mistake; nil if it sees nothing.
        static func violation(_ fault: SeededFault?, seed: UInt64) -> RaftViolation? {
            var options = RaftSimulation.Options(seed: seed)
            options.fault = fault
            do {
                var simulation = try RaftSimulation(options)
                try simulation.run(steps: steps)
                try simulation.heal()
                return nil
            } catch {
                return error
            }
        }

        /// The first seed that shows each mistake, found by `search`. None of them shows anything without it.
        static let seeds: [(fault: SeededFault, seed: UInt64)] = [
            (.commitOlderTerm, 0),
            (.countOwnUndurable, 2),
            (.acknowledgeBeforeDurable, 0),
            (.voteBeforeDurable, 0),
            (.voteTwice, 0),
            (.voteForStaleLog, 16),
            (.skipPreviousCheck, 58),
            (.keepConflicts, 0),
            (.heartbeatCommitUnclamped, 0),
            (.ignoreOutgoingVoters, 5),
            (.manyPendingConfChanges, 5),
            (.changeManyVotersAtOnce, 88),
            (.readWithoutQuorum, 81),
            (.readBeforeTermCommit, 9),
            (.reuseTerm, 0),
        ]

        @Test(arguments: seeds) func isCaught(fault: SeededFault, seed: UInt64) throws {
            let violation = try #require(Self.violation(fault, seed: seed), "\(fault) goes unnoticed with seed \(seed)")
            print("fault \(fault.rawValue): \(violation)")
            #expect(Self.violation(nil, seed: seed) == nil, "seed \(seed) fails without a fault")
        }

        @Test func allAreCovered() {
            #expect(Self.seeds.map(\.fault) == SeededFault.allCases)
        }

        /// RAFT_FAULT_SEARCH=1: prints the table above anew, for when the simulation has changed.
        @Test func search() {
            guard ProcessInfo.processInfo.environment["RAFT_FAULT_SEARCH"] != nil else { return }
            for fault in SeededFault.allCases {
                let seed = (0..<150).first {
                    Self.violation(fault, seed: $0) != nil && Self.violation(nil, seed: $0) == nil
                }
                let found = seed.flatMap { Self.violation(fault, seed: $0) }
                print(
                    "            (.\(fault.rawValue), \(seed.map(String.init) ?? "none")),  // \(found?.rule ?? "unnoticed")"
                )
                #expect(seed != nil, "\(fault) goes unnoticed")
            }
        }
    }
#endif
