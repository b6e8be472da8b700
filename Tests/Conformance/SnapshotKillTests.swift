import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport
import Testing

/// A member that is far behind gets a snapshot, and is killed at some moment of its reception and adoption, again and
/// again. Whatever was on its disk then, the next start finishes it, or takes another snapshot.
@Suite(.serialized) struct SnapshotKillTests {
    private static let isSoak = ProcessInfo.processInfo.environment["MARTLET_SOAK"] != nil

    /// When the process is killed.
    enum Moment: CaseIterable, CustomStringConvertible {
        /// The database is coming in.
        case receiving
        /// It has its name, and raft is about to hear of it.
        case received
        /// The snapshot's file and its record in the log are durable.
        case applying
        /// It has taken the place of the member's own database.
        case adopted
        /// The member goes on from there.
        case applied

        var description: String {
            switch self {
            case .receiving: "while receiving"
            case .received: "after the reception"
            case .applying: "before the adoption"
            case .adopted: "at the adoption"
            case .applied: "after the adoption"
            }
        }

        /// Whether the moment has come, or has passed.
        func isNow(_ before: Set<String>, _ directory: String, _ server: ServerProcess) -> Bool {
            let names = Set((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).subtracting(before)
            return switch self {
            case .receiving: names.contains { $0.hasPrefix("tmp") || $0.hasSuffix(".snap.db") }
            case .received: names.contains { $0.hasSuffix(".snap.db") }
            case .applying: names.contains { $0.hasSuffix(".snap") }
            case .adopted: names.contains { $0.hasSuffix(".snap") } && !names.contains { $0.hasSuffix(".snap.db") }
            case .applied: server.log.contains("applied snapshot")
            }
        }
    }

    /// Those at which a process is killed, in this order.
    private static let moments: [Moment] =
        isSoak ? (0..<6).flatMap { _ in Moment.allCases } : [.receiving, .applying, .adopted]

    @Test func killedWithASnapshotFromMartlet() async throws {
        guard let martlet = Programs.martlet(for: "snapshots to a member that is killed") else { return }
        try await killRepeatedly(leading: martlet, martlet)
    }

    @Test func killedWithASnapshotFromEtcd() async throws {
        guard let martlet = Programs.martlet(for: "snapshots to a member that is killed"),
            let etcd = Programs.etcd35(for: "sending snapshots")
        else { return }
        try await killRepeatedly(leading: etcd, martlet)
    }

    private func killRepeatedly(leading leader: ServerProgram, _ martlet: ServerProgram) async throws {
        var beforeTheEnd = 0
        for (round, moment) in Self.moments.enumerated() {
            let isEarly = try await kill(moment, round, leading: leader, martlet)
            beforeTheEnd += isEarly ? 1 : 0
        }
        print(
            "snapshots from \(leader): killed \(Self.moments.count) times, \(beforeTheEnd) of them before the snapshot "
                + "was in use")
        #expect(beforeTheEnd > 0, "every kill came too late")
    }

    /// Each time in a cluster of its own: for 30 s after a snapshot has arrived the leader, be it etcd or Martlet,
    /// keeps its log whole, and nobody would need another one.
    /// - Returns: whether the process was killed before the snapshot was in use.
    private func kill(
        _ moment: Moment, _ round: Int, leading leader: ServerProgram, _ martlet: ServerProgram
    ) async throws -> Bool {
        var isEarly = false
        try await ClusterUnderTest.with([leader, leader, martlet], arguments: ["--snapshot-count", "500"]) { cluster in
            if try await cluster.leader() == 2 { try await cluster.moveLeadership(to: 0) }
            await cluster.crash(2)
            // etcd keeps the last 5,000 entries for slow followers.
            try await cluster.fill(5600, bytes: 800, at: try await cluster.leader())
            let server = try await startAndKill(cluster.members[2], at: moment)
            #expect(server.log.contains("receiving database snapshot"), "\(moment), round \(round): none was needed")
            isEarly = !server.log.contains("applied snapshot")
            try await cluster.restart(2)
            try await cluster.put("round", "\(round)", at: 2)
            try await cluster.expectEqualHashes("killed \(moment), round \(round)")
            let left = try leftovers(cluster.members[2])
            #expect(left.isEmpty, "killed \(moment), round \(round): \(left) stay behind")
        }
        return isEarly
    }

    private func startAndKill(_ member: ClusterUnderTest.Member, at moment: Moment) async throws -> ServerProcess {
        let directory = "\(member.options.dataDirectory)/member/snap"
        let before = Set(try FileManager.default.contentsOfDirectory(atPath: directory))
        let server = try ServerProcess(member.program, member.options)
        let deadline = ContinuousClock.now + .seconds(20)
        while !moment.isNow(before, directory, server), ContinuousClock.now < deadline {
            try await Task.sleep(for: .microseconds(300))
        }
        #expect(ContinuousClock.now < deadline, "\(moment) never came:\n\(server.log.suffix(2000))")
        await server.crash()
        return server
    }

    /// Parts of snapshots that nobody needs any more.
    private func leftovers(_ member: ClusterUnderTest.Member) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "\(member.options.dataDirectory)/member/snap").filter {
            $0.hasPrefix("tmp")
        }
    }
}
