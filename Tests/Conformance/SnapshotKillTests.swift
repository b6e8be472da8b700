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

    @Test func killedWithASnapshotFromMartlet() async throws {
        guard let martlet = Programs.martlet(for: "snapshots to a member that is killed") else { return }
        try await killRepeatedly(leading: martlet, martlet, Self.isSoak ? 6 : 1)
    }

    @Test func killedWithASnapshotFromEtcd() async throws {
        guard let martlet = Programs.martlet(for: "snapshots to a member that is killed"),
            let etcd = Programs.etcd35(for: "sending snapshots")
        else { return }
        try await killRepeatedly(leading: etcd, martlet, Self.isSoak ? 6 : 1)
    }

    /// - Parameter rounds: how often each moment comes; 1 takes every other moment only.
    private func killRepeatedly(
        leading leader: ServerProgram, _ martlet: ServerProgram, _ rounds: Int
    ) async throws {
        let every = Moment.allCases
        let moments = rounds > 1 ? (0..<rounds).flatMap { _ in every } : [.receiving, .applying, .adopted]
        try await ClusterUnderTest.with([leader, leader, martlet], arguments: ["--snapshot-count", "500"]) { cluster in
            if try await cluster.leader() == 2 { try await cluster.moveLeadership(to: 0) }
            var (killed, beforeTheEnd, snapshots) = (0, 0, 0)
            for (round, moment) in moments.enumerated() {
                await cluster.crash(2)
                // etcd keeps the last 5,000 entries for slow followers.
                try await cluster.fill(5600, bytes: 800, at: try await cluster.leader())
                let server = try await startAndKill(cluster.members[2], at: moment)
                killed += 1
                if !server.log.contains("applied snapshot") { beforeTheEnd += 1 }
                try await cluster.restart(2)
                try await cluster.put("round", "\(round)", at: 2)
                try await cluster.expectEqualHashes("killed \(moment), round \(round)")
                let log = server.log + (cluster.members[2].server?.log ?? "")
                if log.contains("applied snapshot") || log.contains("recovered v3 backend from snapshot") {
                    snapshots += 1
                }
                let left = try leftovers(cluster.members[2])
                #expect(left.isEmpty, "killed \(moment), round \(round): \(left) stay behind")
            }
            print(
                "snapshots from \(leader): killed \(killed) times, \(beforeTheEnd) of them before the snapshot was in use"
            )
            #expect(beforeTheEnd > 0, "every kill came too late")
            #expect(snapshots > 0, "no snapshot was needed")
        }
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
