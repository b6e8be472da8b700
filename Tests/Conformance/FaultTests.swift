import Foundation
import TestSupport
import Testing

/// Clusters with each member in a network namespace of its own, under load, while something goes wrong: writes must go
/// on, nothing acknowledged may be lost, and what all clients saw must have a linear order.
///
/// The long form can be taken in pieces: `MARTLET_FAULTS=slowNetwork,leaderDeaf` and `MARTLET_FAULT_ROUNDS=8`; with
/// other timers, `MARTLET_ELECTION_TIMEOUT=1000` (ms; heartbeats come at a tenth).
@Suite(.serialized) struct FaultTests {
    private static let environment = ProcessInfo.processInfo.environment
    static let isSoak = environment["MARTLET_SOAK"] != nil

    /// What the long form suffers.
    private static let wanted: [Fault] = {
        guard let names = environment["MARTLET_FAULTS"] else { return Fault.allCases }
        return names.split(separator: ",").map { name in
            guard let fault = Fault(rawValue: String(name)) else { preconditionFailure("MARTLET_FAULTS: no \(name)") }
            return fault
        }
    }()

    private static func rounds(_ usual: Int) -> Int {
        number("MARTLET_FAULT_ROUNDS", usual)
    }

    private static func number(_ variable: String, _ usual: Int) -> Int {
        guard let text = environment[variable] else { return usual }
        guard let number = Int(text), number > 0 else { preconditionFailure("\(variable): no number above 0: \(text)") }
        return number
    }

    private static let milliseconds = number("MARTLET_ELECTION_TIMEOUT", 500)
    static let electionTimeout = Duration.milliseconds(milliseconds)
    /// What a loaded machine may take on top of the time that the protocol needs: for the processes to run at all, for
    /// clients to give up on a dead member (`HistoryLoad.Settings.callTimeout`), and for a vote that was split.
    static let schedulingAllowance = Duration.milliseconds(1500)

    static let limit = electionTimeout * 2 + schedulingAllowance

    static let arguments = [
        "--heartbeat-interval", "\(milliseconds / 10)", "--election-timeout", "\(milliseconds)",
    ]

    @Test func threeMembers() async throws {
        guard let martlet = Programs.martlet(for: "faults in a cluster of three") else { return }
        let programs = [ServerProgram](repeating: martlet, count: 3)
        if Self.isSoak {
            try await suffer(Self.wanted, programs, rounds: Self.rounds(10))
        } else {
            try await suffer(Fault.allCases, programs, rounds: 1)
        }
    }

    @Test func fiveMembers() async throws {
        guard let martlet = Programs.martlet(for: "faults in a cluster of five") else { return }
        let programs = [ServerProgram](repeating: martlet, count: 5)
        if Self.isSoak {
            try await suffer(Self.wanted, programs, rounds: Self.rounds(5))
        } else {
            try await suffer([.leaderKilled, .leaderCutOff], programs, rounds: 1)
        }
    }

    @Test(.enabled(if: isSoak, "long form only"), arguments: ["3.5", "3.4"])
    func mixedWithEtcd(version: String) async throws {
        let purpose = "faults in a mixed cluster"
        guard let martlet = Programs.martlet(for: purpose),
            let etcd = version == "3.5" ? Programs.etcd35(for: purpose) : Programs.etcd34(for: purpose)
        else { return }
        try await suffer(Self.wanted, [martlet, etcd, etcd], rounds: Self.rounds(5))
    }

    /// What etcd takes for the same, to compare with: its times are printed, not judged.
    @Test(.enabled(if: isSoak, "long form only")) func etcdAlone() async throws {
        guard let etcd = Programs.etcd35(for: "faults in a cluster of etcd's") else { return }
        try await suffer(Self.wanted, [etcd, etcd, etcd], rounds: Self.rounds(5), isComparison: true)
    }

    private func suffer(
        _ faults: [Fault], _ programs: [ServerProgram], rounds: Int, isComparison: Bool = false
    ) async throws {
        try await FaultyCluster.with(programs, Self.arguments) { faulty in
            let load = HistoryLoad(faulty.cluster.members.map(\.options), seed: 1)
            let running = Task { await load.run() }
            defer { load.stop() }
            try await faulty.cluster.wait("the first writes") { load.acknowledged(from: 0, to: load.now) > 20 }
            var gaps: [Fault: [Duration]] = [:]
            for round in 1...rounds {
                for fault in faults {
                    load.nextKeys()
                    let context = "\(programs.map(\.name)), round \(round)"
                    guard let gap = try await suffer(fault, faulty, load, context) else { continue }
                    gaps[fault, default: []].append(gap)
                    if gap <= Self.limit || isComparison { continue }
                    let logs = faulty.cluster.members.map { "\($0):\n\($0.server?.lastLines(60) ?? "gone")" }
                    Issue.record("\(fault), \(context): no write for \(gap)\n\(logs.joined(separator: "\n"))")
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
            for fault in faults {
                let times = (gaps[fault] ?? []).map { Int($0 / .milliseconds(1)) }.sorted()
                guard let longest = times.last else { continue }
                let median = times[times.count / 2]
                print("\(fault), \(programs.map(\.name)): median \(median), longest \(longest) ms: \(times)")
            }
        }
    }

    /// - Returns: the longest time without a write; nil if this machine or program cannot suffer it.
    private func suffer(
        _ fault: Fault, _ faulty: FaultyCluster, _ load: HistoryLoad, _ context: String
    ) async throws -> Duration? {
        let begin = load.now
        guard let heal = try await faulty.inflict(fault) else { return nil }
        // Long enough for every timer of the protocol, and to the end of a gap that is still open, or found too long.
        try await Task.sleep(for: Self.electionTimeout * 4)
        let latest = ContinuousClock.now + Self.limit
        while load.longestGap(from: load.now - 250_000_000, to: load.now) >= .milliseconds(250),
            ContinuousClock.now < latest
        {
            try await Task.sleep(for: .milliseconds(20))
        }
        let end = load.now
        let gap = load.longestGap(from: begin, to: end)
        print("\(fault), \(context): no write for \(gap), \(load.acknowledged(from: begin, to: end)) writes meanwhile")
        try await heal()
        // The cluster must be whole before the next fault, and what comes back must not answer from what it knew.
        try await faulty.waitUntilWhole()
        try await Task.sleep(for: .milliseconds(300))
        return gap
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
