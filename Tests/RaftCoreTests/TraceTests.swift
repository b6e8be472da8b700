import RaftCore
import TestSupport
import Testing

/// That the trace alone is enough to follow a node, and to hold a run against a specification.
@Suite("Trace") struct TraceTests {
    static let kinds: Set<String> = [
        "started", "becameFollower", "becamePreCandidate", "becameCandidate", "becameLeader", "leaderChanged", "voted",
        "appended", "stable", "committed", "applied", "restoredSnapshot", "configurationChanged", "sent", "received",
    ]

    @Test func itTellsTheWholeState() throws {
        let model = TraceModel()
        for seed in 0..<UInt64(15) {
            var options = RaftSimulation.Options(seed: seed)
            options.trace = model.sink
            var simulation = try RaftSimulation(options)
            simulation.onObserve = model.compare
            try simulation.run(steps: 2000)
            #expect(model.complaints.isEmpty, "seed \(seed): \(model.complaints.first ?? "")")
            if !model.complaints.isEmpty { return }
        }
        #expect(model.events > 20_000)
        #expect(model.kinds == Self.kinds)
    }

    #if DEBUG
        /// A specification that lets everything pass would be none.
        @Test func itShowsAMistake() throws {
            let model = TraceModel()
            var options = RaftSimulation.Options(seed: 0)
            options.fault = .reuseTerm
            options.trace = model.sink
            var simulation = try RaftSimulation(options)
            try? simulation.run(steps: 2000)
            #expect(model.complaints.first?.contains("becameCandidate") == true)
        }
    #endif
}
