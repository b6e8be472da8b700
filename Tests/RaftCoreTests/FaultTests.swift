import RaftCore
import TestSupport
import Testing

#if DEBUG
    /// Every mistake of the list must break a rule that `RaftChecker` watches, and the same cluster without it none.
    @Suite("Faults") struct FaultTests {
        /// What the checker says of a run with a mistake; nil if it sees nothing.
        static func violation(_ fault: SeededFault?, seed: UInt64) -> RaftViolation? {
            var options = RaftSimulation.Options(seed: seed)
            options.fault = fault
            do {
                var simulation = try RaftSimulation(options)
                try simulation.run(steps: 4000)
                try simulation.heal()
                return nil
            } catch {
                return error
            }
        }

        @Test(arguments: SeededFault.allCases) func isCaught(fault: SeededFault) {
            for seed in 0..<UInt64(100) {
                guard let violation = Self.violation(fault, seed: seed) else { continue }
                print("raft: fault \(fault.rawValue), seed \(seed): \(violation.rule)")
                #expect(Self.violation(nil, seed: seed) == nil, "seed \(seed) fails without a fault")
                return
            }
            Issue.record("\(fault) goes unnoticed")
        }

        @Test func thereAreEnough() { #expect(SeededFault.allCases.count >= 10) }
    }
#endif
