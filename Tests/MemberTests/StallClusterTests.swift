import Base
import EtcdProto
import Member
import Platform
import PlatformSim
import Testing

/// A disk that hangs under one member of a cluster, in virtual time.
@Suite("Stalled disk in a cluster") struct StallClusterTests {
    private static let electionTimeout = SimulatedMember.configuration().electionTimeout
    private static let handsOver = "handing leadership over: the log has hung for an election timeout"
    private static let stepsDown = "stepping down: the log hangs, and nobody has taken over"

    private func started(_ seed: UInt64) throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(3, seed: seed) { $0.snapshotCount = 100_000 }
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } }, "seed \(seed)")
        return cluster
    }

    /// Puts one key after the other at a member, and remembers what was acknowledged.
    private struct Writer {
        let member: Int
        private var ticket: UInt64 = 1_000
        private var isWaiting = false
        private(set) var acknowledged: [String] = []
        private(set) var lastAcknowledged: Instant
        private(set) var longestGap = Duration.zero

        init(at member: Int, _ cluster: SimulatedCluster) {
            self.member = member
            lastAcknowledged = cluster.clock.now()
        }

        private var key: String { "\(member)/\(ticket)" }

        mutating func go(_ cluster: SimulatedCluster) throws {
            if isWaiting {
                guard let result = cluster[member].takeResponse(ticket) else { return }
                isWaiting = false
                if case .success = result {
                    acknowledged.append(key)
                    longestGap = max(longestGap, cluster.clock.now() - lastAcknowledged)
                    lastAcknowledged = cluster.clock.now()
                }
            }
            ticket += 1
            cluster[member].post([
                ClientRequest(
                    ticket: ticket, body: try KV.put(key, "v"), deadline: cluster.clock.now() + .milliseconds(200))
            ])
            isWaiting = true
        }
    }

    private func run(
        _ cluster: SimulatedCluster, _ writers: inout [Writer], for duration: Duration,
        until condition: (SimulatedCluster) -> Bool = { _ in false }
    ) throws {
        let end = cluster.clock.now() + duration
        while cluster.clock.now() < end, !condition(cluster) {
            for i in writers.indices { try writers[i].go(cluster) }
            try cluster.step()
        }
    }

    /// All that was acknowledged is there, once, and everywhere.
    private func expectAll(_ writers: [Writer], _ cluster: SimulatedCluster, _ comment: Comment) throws {
        #expect(try cluster.run { cluster in Set((0..<3).map { cluster[$0].core.revision }).count == 1 }, comment)
        // A put that a writer did not wait for any more may still be applied between the members' answers.
        let revision = cluster[0].core.revision
        var contents: [[String: String]] = []
        for i in 0..<3 {
            cluster[i].post([ClientRequest(ticket: 1, body: try KV.all(at: revision))])
            #expect(try cluster.run { $0[i].responses[1] != nil })
            let response = try #require(try cluster[i].takeResponse(1)?.get())
            contents.append(try KV.pairs(response))
            // Each key was put once: a second version is an entry that was applied twice.
            #expect(try KV.versions(response).allSatisfy { $0 == 1 }, comment)
        }
        #expect(contents.allSatisfy { $0 == contents[0] }, comment)
        for key in writers.flatMap(\.acknowledged) { #expect(contents[0][key] != nil, "\(key) is lost, \(comment)") }
    }

    @Test(
        "A leader whose log hangs tells of it, hands over after an election timeout, and follows when it is over",
        arguments: 1...6 as ClosedRange<UInt64>)
    func leader(seed: UInt64) throws {
        let cluster = try started(seed)
        let leader = try #require(cluster.leader)
        let other = (leader + 1) % 3
        var writers = [Writer(at: other, cluster), Writer(at: leader, cluster)]
        try run(cluster, &writers, for: .milliseconds(Int64(100 + seed * 37)))
        let (term, start) = (cluster[leader].core.term, cluster.clock.now())
        cluster.stalled = [leader]
        try run(cluster, &writers, for: .seconds(10)) { $0.leader != nil && $0.leader != leader }
        #expect(cluster.leader != leader, "seed \(seed): the stalled member still leads")
        let took = cluster.clock.now() - start
        #expect(took < Self.electionTimeout * 2, "seed \(seed): another leader after \(took)")
        try run(cluster, &writers, for: .seconds(5))
        #expect(writers[0].longestGap < Self.electionTimeout * 2, "seed \(seed): no write for \(writers[0].longestGap)")
        #expect(!cluster[leader].core.isLeader)

        let told = try #require(
            cluster[leader].lines.first { $0.message == "the disk does not finish a write and sync of the log" })
        #expect(told.fields.contains { $0.name == "path" && $0.value.hasSuffix(".wal") }, "\(told)")
        #expect(told.fields.contains { $0.name == "stalled-for" && $0.value.hasPrefix("1") }, "\(told)")
        #expect(cluster[leader].lines.count { $0.message == Self.handsOver } == 1, "seed \(seed)")

        cluster.stalled = []
        try run(cluster, &writers, for: .seconds(3))
        let after = try #require(cluster.leader)
        #expect(after != leader && cluster[leader].core.hasLeader)
        #expect(cluster[after].core.term.rawValue <= term.rawValue + 2, "seed \(seed): it disturbed the others")
        let before = writers[1].acknowledged.count
        try run(cluster, &writers, for: .seconds(1))
        #expect(writers[1].acknowledged.count > before, "seed \(seed): clients of the former leader are not served")
        try expectAll(writers, cluster, "seed \(seed)")
    }

    @Test("A follower whose log hangs holds up nobody else, and catches up", arguments: 1...4 as ClosedRange<UInt64>)
    func follower(seed: UInt64) throws {
        let cluster = try started(seed)
        let leader = try #require(cluster.leader)
        let stalled = (leader + 1) % 3
        var writers = [Writer(at: leader, cluster), Writer(at: (leader + 2) % 3, cluster)]
        let term = cluster[leader].core.term
        cluster.stalled = [stalled]
        try run(cluster, &writers, for: .seconds(8))
        for writer in writers {
            #expect(writer.longestGap < .milliseconds(200), "seed \(seed): no write for \(writer.longestGap)")
        }
        cluster.stalled = []
        try run(cluster, &writers, for: .seconds(2))
        #expect(cluster.leader == leader && cluster[leader].core.term == term, "seed \(seed)")
        #expect(!cluster[stalled].lines.contains { $0.message == Self.stepsDown })
        try expectAll(writers, cluster, "seed \(seed)")
    }

    @Test(
        "When all disks hang, nobody leads, terms stay, and one is elected afterwards",
        arguments: 1...4 as ClosedRange<UInt64>)
    func all(seed: UInt64) throws {
        let cluster = try started(seed)
        let leader = try #require(cluster.leader)
        var writers = [Writer(at: leader, cluster), Writer(at: (leader + 1) % 3, cluster)]
        try run(cluster, &writers, for: .milliseconds(300))
        let term = cluster[leader].core.term
        let changes = try leaderChanges(cluster)
        cluster.stalled = [0, 1, 2]
        try run(cluster, &writers, for: .seconds(2))
        let acknowledged = writers.map(\.acknowledged.count)
        try run(cluster, &writers, for: .seconds(20))
        #expect(writers.map(\.acknowledged.count) == acknowledged, "seed \(seed): acknowledged without a disk")
        #expect((0..<3).allSatisfy { !cluster[$0].core.isLeader }, "seed \(seed)")
        #expect((0..<3).allSatisfy { cluster[$0].core.term.rawValue <= term.rawValue + 1 }, "seed \(seed)")
        #expect(try leaderChanges(cluster) == changes, "seed \(seed): leadership flaps")
        cluster.stalled = []
        try run(cluster, &writers, for: .seconds(6))
        let now = try #require(cluster.leader)
        #expect(cluster[now].core.term.rawValue <= term.rawValue + 3, "seed \(seed)")
        #expect(writers[0].acknowledged.count > acknowledged[0], "seed \(seed): no writes afterwards")
        try expectAll(writers, cluster, "seed \(seed)")
    }

    @Test("While the disks of a quorum hang the leader that can write stays", arguments: 1...4 as ClosedRange<UInt64>)
    func quorum(seed: UInt64) throws {
        let cluster = try started(seed)
        let leader = try #require(cluster.leader)
        var writers = [Writer(at: leader, cluster)]
        let term = cluster[leader].core.term
        cluster.stalled = Set([0, 1, 2]).subtracting([leader])
        try run(cluster, &writers, for: .seconds(10))
        #expect(cluster.leader == leader && cluster[leader].core.term == term, "seed \(seed)")
        #expect(!cluster[leader].lines.contains { $0.message == Self.stepsDown })
        cluster.stalled = []
        try run(cluster, &writers, for: .seconds(2))
        #expect(cluster.leader == leader, "seed \(seed)")
        try expectAll(writers, cluster, "seed \(seed)")
    }

    private func leaderChanges(_ cluster: SimulatedCluster) throws -> [UInt64] {
        try (0..<3).map { i in
            cluster[i].askForStatistics()
            cluster[i].turn()
            return try #require(cluster[i].statistics).leaderChanges
        }
    }
}
