import Foundation
import TestSupport
import Testing

/// A script of etcdctl calls against etcd 3.5.1, then against Martlet with the same name, ports and token: exit codes
/// and every line must agree, member and cluster IDs included, since those are computed from names that are the same.
@Suite(.serialized) struct EtcdCtlTests {
    @Test(arguments: ["3.5", "3.4"]) func scriptAgrees(version: String) async throws {
        let purpose = "script of etcdctl \(version)"
        guard let martlet = Programs.martlet(for: purpose), let etcd = Programs.etcd35(for: purpose),
            let ctl = Programs.etcdctl(version, for: purpose)
        else { return }
        let ports = (LoopbackPorts.next(), LoopbackPorts.next())
        let expected = try await Self.run(EtcdCtlStep.script, ctl: ctl, on: etcd, ports: ports)
        let answers = try await Self.run(EtcdCtlStep.script, ctl: ctl, on: martlet, ports: ports)
        for (step, (expected, answer)) in zip(EtcdCtlStep.script, zip(expected, answers)) {
            #expect(answer == expected, "etcdctl \(version): \(step.text)")
        }
    }

    /// The control: two runs against the same program agree, so what is taken out of the output is enough.
    @Test func etcdAgreesWithItself() async throws {
        guard let etcd = Programs.etcd35(for: "script against itself"),
            let ctl = Programs.etcdctl("3.5", for: "script against itself")
        else { return }
        let ports = (LoopbackPorts.next(), LoopbackPorts.next())
        let steps = Array(EtcdCtlStep.script.suffix(40))
        let first = try await Self.run(steps, ctl: ctl, on: etcd, ports: ports)
        let second = try await Self.run(steps, ctl: ctl, on: etcd, ports: ports)
        for (step, (first, second)) in zip(steps, zip(first, second)) {
            #expect(second == first, "\(step.text)")
        }
        #expect(first.contains { $0.exitCode != 0 })
        #expect(first.contains { $0.exitCode == 0 && !$0.output.isEmpty })
    }

    static func run(
        _ steps: [EtcdCtlStep], ctl: String, on program: ServerProgram, ports: (client: Int, peer: Int)
    ) async throws -> [EtcdCtlResult] {
        let directory = try PackageFiles.temporaryDirectory("etcdctl")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let server = try await ServerProcess.start(
            program,
            ServerProcess.Options(dataDirectory: directory + "/data", clientPort: ports.client, peerPort: ports.peer))
        let client = EtcdCtl(path: ctl, endpoint: server.endpoint)
        var results: [EtcdCtlResult] = []
        for step in steps {
            let format = step.format.isEmpty ? [] : ["-w", step.format]
            results.append(
                EtcdCtlResult(try await client.run(step.arguments + format, input: step.input), of: step))
        }
        #expect(server.isRunning, "\(program) ended")
        await server.stop()
        return results
    }
}
