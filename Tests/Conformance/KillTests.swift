import Base
import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport
import Testing

/// A member under load is killed again and again; after every start all that it ever acknowledged is there, once.
@Suite(.serialized) struct KillTests {
    static let isSoak = ProcessInfo.processInfo.environment["MARTLET_SOAK"] != nil
    static let writers = 8

    @Test func noAcknowledgedWriteIsLost() async throws {
        guard let martlet = Programs.martlet(for: "killing a member") else { return }
        try await killRepeatedly(martlet, rounds: Self.isSoak ? 50 : 5, seed: 7)
    }

    /// The control: the same test on etcd, so that a failure above is not the test's.
    @Test func etcdLosesNothingEither() async throws {
        guard let etcd = Programs.etcd35(for: "killing etcd") else { return }
        try await killRepeatedly(etcd, rounds: 2, seed: 8)
    }

    private func killRepeatedly(_ program: ServerProgram, rounds: Int, seed: UInt64) async throws {
        let directory = try PackageFiles.temporaryDirectory("kill")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let options = ServerProcess.Options(dataDirectory: directory + "/data")
        var random = SeededGenerator(seed: seed)
        var ledger = WriteLedger()
        for round in 1...rounds {
            let server = try await ServerProcess.start(program, options)
            guard try await verify(&ledger, on: server, "seed \(seed), start \(round)") else { return }
            // Connected before the clock of the kill starts: a slow connect is not what is tested.
            var clients: [UnaryClient] = []
            for _ in 0..<Self.writers { clients.append(try await UnaryClient.connect(to: server)) }
            let load = Task { [ledger, clients] in
                try await Self.load(clients, ledger, round: round, seed: seed)
            }
            try await Task.sleep(for: .milliseconds(100 + random.next(below: 500)))
            await server.crash()
            ledger.merge(try await load.value)
        }
        let server = try await ServerProcess.start(program, options)
        guard try await verify(&ledger, on: server, "seed \(seed), after the last kill") else { return }
        let end = await server.stop()
        #expect(end != nil, "did not end on SIGTERM")
        let again = try await ServerProcess.start(program, options)
        _ = try await verify(&ledger, on: again, "seed \(seed), after SIGTERM")
        await again.stop()
        #expect(ledger.acknowledgedWrites > rounds * 5)
        print("\(program): killed \(rounds) times, \(ledger.acknowledgedWrites) acknowledged writes read back")
    }

    /// Writes from several connections until the server is gone.
    private static func load(
        _ clients: [UnaryClient], _ known: WriteLedger, round: Int, seed: UInt64
    ) async throws -> WriteLedger {
        try await withThrowingTaskGroup(of: WriteLedger.self) { group in
            for (index, client) in clients.enumerated() {
                // The counter goes on over all rounds; the keys are new in each.
                let counter = "counter/\(index)"
                let count = known.counters[counter]?.acknowledged ?? 0
                group.addTask {
                    var writer = LedgerWriter(
                        counter: counter, count: count, keyPrefix: "w/\(round)/\(index)/", client: client,
                        seed: seed &* 1_000 &+ UInt64(round * writers + index))
                    let ledger = try await writer.run()
                    await client.close()
                    return ledger
                }
            }
            var ledger = WriteLedger()
            for try await part in group { ledger.merge(part) }
            return ledger
        }
    }

    private func verify(_ ledger: inout WriteLedger, on server: ServerProcess, _ when: String) async throws -> Bool {
        let client = try await UnaryClient.connect(to: server)
        let request = KVRequest.range(
            .with {
                $0.key = Data([0])
                $0.rangeEnd = Data([0])
            })
        let answer = try await client.call(request)
        await client.close()
        guard case .range(let response) = answer else {
            Issue.record("\(when): \(answer.text)")
            return false
        }
        let disagreements = ledger.disagreements(with: response)
        for disagreement in disagreements.prefix(10) { Issue.record("\(when): \(disagreement)") }
        ledger.settle(with: response)
        return disagreements.isEmpty
    }
}
