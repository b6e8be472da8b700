import EtcdProto
import Foundation
import NIOPosix
import SwiftProtobuf
import TestSupport
import Testing

/// What `make cluster` runs: a cluster on this machine with everybody's log lines in one view.
@Suite(.serialized) struct ClusterScriptTests {
    @Test(arguments: [3, 5]) func startsShowsAndEndsAllMembers(count: Int) async throws {
        guard let martlet = Programs.martlet(for: "a cluster of \(count) by its script") else { return }
        let directory = try PackageFiles.temporaryDirectory("script")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        // Two ports for each member, ten apart.
        let offsets = (0..<count).flatMap { [10 * $0, 10 * $0 + 1] }
        let first = LoopbackPorts.next(with: offsets)
        let ports = (0..<count).map { first + 10 * $0 }
        let view = directory + "/view"
        let script = try ChildProcess(
            PackageFiles.root + "/Examples/Cluster/run", [],
            environment: [
                "MEMBERS": "\(count)", "PORT": "\(first)", "DATA": directory + "/data", "BINARY": martlet.path,
            ], outputPath: view, errorPath: view)
        defer { script.signal(.kill) }
        func lines() -> [Substring] {
            (try? String(contentsOfFile: view, encoding: .utf8))?.split(separator: "\n") ?? []
        }
        func wait(_ what: String, until condition: () async -> Bool) async throws {
            let deadline = ContinuousClock.now + .seconds(30)
            while await !condition() {
                guard ContinuousClock.now < deadline, script.isRunning else {
                    script.signal(.terminate)
                    _ = await script.waitForEnd(timeout: .seconds(10))
                    throw ClusterUnderTest.Failed(description: "waited for \(what): \(lines().suffix(20))")
                }
                try? await Task.sleep(for: .milliseconds(20))
            }
        }
        try await wait("all members in the view") {
            let lines = lines()
            return (1...count).allSatisfy { i in
                lines.contains { $0.hasPrefix("m\(i) | ") && $0.contains("ready to serve client requests") }
            }
        }
        let endpoints = ports.map { "http://127.0.0.1:\($0)" }.joined(separator: ",")
        #expect(lines().contains("cluster | etcdctl --endpoints \(endpoints) member list"))

        let writer = try await UnaryClient.connect(port: ports[0], security: nil)
        let put = Etcdserverpb_PutRequest.with {
            $0.key = Data("a".utf8)
            $0.value = Data("1".utf8)
        }
        if case .failure = try await writer.call(.put(put)) {
            throw ClusterUnderTest.Failed(description: "the cluster takes no write")
        }
        await writer.close()
        for port in ports {
            let reader = try await UnaryClient.connect(port: port, security: nil)
            let get = Etcdserverpb_RangeRequest.with { $0.key = Data("a".utf8) }
            guard case .message(let bytes) = try await reader.call("/etcdserverpb.KV/Range", get.serializedBytes())
            else {
                throw ClusterUnderTest.Failed(description: "the member at \(port) does not read")
            }
            #expect(try Etcdserverpb_RangeResponse(serializedBytes: bytes).kvs.first?.value == Data("1".utf8))
            await reader.close()
        }

        script.signal(.terminate)
        #expect(await script.waitForEnd(timeout: .seconds(20)) != nil, "it does not end")
        for port in ports {
            await #expect(throws: NIOConnectionError.self, "a member has been left behind") {
                try await RawHTTP.ask("GET", "/version", port: port)
            }
        }
    }
}
