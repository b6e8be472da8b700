import Foundation
import NIOCore
import TestSupport
import Testing

/// What can go wrong with the leader, or around it.
enum Fault: String, CaseIterable {
    case leaderKilled
    /// It is there and says nothing.
    case leaderPaused
    /// Nothing goes between it and the others.
    case leaderCutOff
    /// What it sends is lost; what the others send reaches it.
    case leaderUnheard
    /// What the others send is lost; they hear it.
    case leaderDeaf
    case slowNetwork
    case stalledDisk
}

/// A cluster in a network of its own with what it takes to make it suffer.
final class FaultyCluster {
    let cluster: ClusterUnderTest
    private let network: TestNetwork
    private let stall: DiskStall?

    private init(_ cluster: ClusterUnderTest, _ network: TestNetwork, _ stall: DiskStall?) {
        self.cluster = cluster
        self.network = network
        self.stall = stall
    }

    /// Runs `body` with a fresh cluster unless the machine cannot; everything is gone afterwards.
    static func with(
        _ programs: [ServerProgram], _ arguments: [String], _ body: (FaultyCluster) async throws -> Void
    ) async throws {
        let purpose = "faults in a cluster of \(programs.count)"
        guard let network = try await TestNetwork.make(members: programs.count, for: purpose) else { return }
        let directory = try PackageFiles.temporaryDirectory("faults")
        do {
            let stall = try await DiskStall.make(in: directory, for: "stalled disks")
            let prepare = { (members: inout [ServerProcess.Options]) in
                for i in members.indices {
                    members[i].network = network
                    members[i].host = network.host(i)
                    members[i].wrapper = network.wrapper(i)
                    if let stall { members[i].environment = stall.environment(members[i]) }
                }
                let list = members.map { "\($0.name)=\($0.peerURL)" }.joined(separator: ",")
                for i in members.indices { members[i].initialCluster = list }
            }
            try await ClusterUnderTest.with(programs, arguments: arguments, prepare: prepare) { cluster in
                try await body(FaultyCluster(cluster, network, stall))
            }
        } catch {
            await cleanUp(network, directory)
            throw error
        }
        await cleanUp(network, directory)
    }

    private static func cleanUp(_ network: TestNetwork, _ directory: String) async {
        await NetworkLoops.end(network)
        await network.remove()
        try? FileManager.default.removeItem(atPath: directory)
    }

    /// Lets it happen.
    /// - Returns: what ends it; nil if this machine or program cannot, which has been said.
    func inflict(_ fault: Fault) async throws -> (() async throws -> Void)? {
        let leader = try await cluster.leader()
        let others = cluster.members.indices.filter { $0 != leader }
        switch fault {
        case .leaderKilled:
            await cluster.crash(leader)
            return { try await self.cluster.restart(leader) }
        case .leaderPaused:
            let server = try #require(cluster.members[leader].server)
            server.pause()
            return { server.resume() }
        case .leaderCutOff:
            for other in others {
                try await network.cut(from: leader, to: other)
                try await network.cut(from: other, to: leader)
            }
            return { try await self.network.heal() }
        case .leaderUnheard:
            for other in others { try await network.cut(from: leader, to: other) }
            return { try await self.network.heal() }
        case .leaderDeaf:
            for other in others { try await network.cut(from: other, to: leader) }
            return { try await self.network.heal() }
        case .slowNetwork: return try await slowDown()
        case .stalledDisk: return try await stallDisk()
        }
    }

    private func slowDown() async throws -> (() async throws -> Void)? {
        var ways: Set<TestNetwork.Slowness> = []
        for i in cluster.members.indices {
            guard let way = try await network.slowDown(i) else {
                print("skipped: a slow network (no `tc`, or a kernel with neither netem nor tbf)")
                return nil
            }
            ways.insert(way)
        }
        print("slow network: \(ways.map(\.rawValue).sorted())")
        return {
            for i in self.cluster.members.indices { try await self.network.endSlowness(i) }
        }
    }

    private func stallDisk() async throws -> (() async throws -> Void)? {
        guard let stall else { return nil }
        // The library works in programs that call the C library, which etcd's does not.
        guard let victim = cluster.members.indices.first(where: { cluster.members[$0].program.name == "martlet" })
        else { return nil }
        var leader = try await cluster.leader()
        if cluster.members[leader].program.name != "martlet" {
            try await cluster.moveLeadership(to: victim)
            leader = victim
        }
        let options = cluster.members[leader].options
        stall.begin(options)
        return { stall.end(options) }
    }

    /// Every member answers linearizable reads.
    func waitUntilWhole() async throws {
        for i in cluster.members.indices {
            try await cluster.wait("\(cluster.members[i]) to follow") {
                do { _ = try await self.cluster.get("whole", at: i, timeout: .seconds(1)) } catch { return false }
                return true
            }
        }
    }
}
