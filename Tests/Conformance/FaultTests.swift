import Foundation
import TestSupport
import Testing

/// Clusters with each member in a network namespace of its own, under load, while something goes wrong: writes must go
/// on, nothing acknowledged may be lost, and what all clients saw must have a linear order.
@Suite(.serialized) struct FaultTests {
    static let isSoak = ProcessInfo.processInfo.environment["MARTLET_SOAK"] != nil

    static let electionTimeout = Duration.milliseconds(500)
    /// What a loaded machine may take on top of the time that the protocol needs: for the processes to run at all, for
    /// clients to give up on a dead member (`HistoryLoad.Settings.callTimeout`), and for a vote that was split.
    static let schedulingAllowance = Duration.milliseconds(1500)

    static let arguments = ["--heartbeat-interval", "50", "--election-timeout", "500"]

    @Test func threeMembers() async throws {
        guard let martlet = Programs.martlet(for: "faults in a cluster of three") else { return }
        try await suffer(Fault.allCases, [martlet, martlet, martlet], rounds: Self.isSoak ? 10 : 1)
    }

    @Test func fiveMembers() async throws {
        guard let martlet = Programs.martlet(for: "faults in a cluster of five") else { return }
        let faults = Self.isSoak ? Fault.allCases : [.leaderKilled, .leaderCutOff]
        try await suffer(faults, [ServerProgram](repeating: martlet, count: 5), rounds: Self.isSoak ? 5 : 1)
    }

    @Test(.enabled(if: isSoak, "long form only")) func mixedWithEtcd() async throws {
        guard let martlet = Programs.martlet(for: "faults in a mixed cluster"),
            let etcd = Programs.etcd35(for: "faults in a mixed cluster")
        else { return }
        try await suffer(Fault.allCases, [martlet, etcd, etcd], rounds: 5)
    }

    private func suffer(_ faults: [Fault], _ programs: [ServerProgram], rounds: Int) async throws {
        try await FaultyCluster.with(programs, Self.arguments) { faulty in
            let load = HistoryLoad(faulty.cluster.members.map(\.options), seed: 1)
            let running = Task { await load.run() }
            defer { load.stop() }
            try await faulty.cluster.wait("the first writes") { load.acknowledged(from: 0, to: load.now) > 20 }
            for round in 1...rounds {
                for fault in faults {
                    load.nextKeys()
                    try await suffer(fault, faulty, load, "\(programs.map(\.name)), round \(round)")
                }
            }
            load.stop()
            await running.value
            try await load.readAll()
            try await faulty.cluster.expectEqualHashes()
            judge(load.history)
            print(
                "faults with \(programs.count) members: \(load.history.count) operations,"
                    + " \(load.history.count { $0.completion == nil }) without an answer, \(load.failures)")
        }
    }

    private func suffer(
        _ fault: Fault, _ faulty: FaultyCluster, _ load: HistoryLoad, _ context: String
    ) async throws {
        let begin = load.now
        guard let heal = try await faulty.inflict(fault) else { return }
        let limit = Self.electionTimeout * 2 + Self.schedulingAllowance
        // Long enough for every timer of the protocol, and to the end of a gap that is still open, or found too long.
        try await Task.sleep(for: Self.electionTimeout * 4)
        let latest = ContinuousClock.now + limit
        while load.longestGap(from: load.now - 250_000_000, to: load.now) >= .milliseconds(250),
            ContinuousClock.now < latest
        {
            try await Task.sleep(for: .milliseconds(20))
        }
        let end = load.now
        let gap = load.longestGap(from: begin, to: end)
        #expect(gap <= limit, "\(fault), \(context): no write for \(gap)")
        try await heal()
        // The cluster must be whole before the next fault, and what comes back must not answer from what it knew.
        try await faulty.waitUntilWhole()
        try await Task.sleep(for: .milliseconds(300))
        print("\(fault), \(context): no write for \(gap), \(load.acknowledged(from: begin, to: end)) writes meanwhile")
    }

    private func judge(_ history: [KeyOperation]) {
        if let violation = RevisionChecker.violation(in: history) { Issue.record("\(violation)") }
        switch LinearizabilityChecker.check(history) {
        case .linearizable: break
        case .violation(let violation): Issue.record("\(violation)")
        case .gaveUp(let key, let operations): Issue.record("undecided: key \(key), \(operations) operations")
        }
        #expect(history.count { $0.changedKey } > 100)
        // The control: had the last member forgotten what it was asked for at the end, that would have been found.
        let doubtful = Set(history.filter { $0.completion == nil && $0.action == .delete }.map(\.key))
        let last = history.indices.last {
            if case .read(.some) = history[$0].completion?.answer { !doubtful.contains(history[$0].key) } else { false }
        }
        guard let last else {
            Issue.record("the reads at the end show nothing")
            return
        }
        var wrong = history
        wrong[last].completion?.answer = .read(nil)
        #expect(LinearizabilityChecker.check(wrong).isViolation)
        #expect(RevisionChecker.violation(in: wrong) != nil)
    }
}
