import RaftCore
import TestSupport
import Testing

#if DEBUG
    /// Every mistake of the list must break a rule that `RaftChecker` watches, within a bounded number of seeds.
    @Suite("Faults", .serialized) struct FaultTests {
        /// The rule that `fault` breaks first, and the seed; nil if none of `seeds` shows it.
        static func catchFault(_ fault: Fault, seeds: Range<UInt64>) -> (seed: UInt64, violation: String)? {
            for seed in seeds {
                var options = RaftSimulation.Options(seed: seed)
                options.fault = fault
                do {
                    var simulation = try RaftSimulation(options)
                    try simulation.run(steps: 4000)
                    try simulation.heal()
                } catch {
                    return (seed, "\(error)")
                }
            }
            return nil
        }

        @Test(arguments: Fault.allCases) func isCaught(fault: Fault) {
            print("fault \(fault.rawValue)")
            let caught = Self.catchFault(fault, seeds: 0..<300)
            #expect(caught != nil, "\(fault) goes unnoticed")
            if let caught { print("fault \(fault.rawValue): seed \(caught.seed): \(caught.violation)") }
        }
    }
#endif
