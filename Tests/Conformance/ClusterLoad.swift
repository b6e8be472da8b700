import EtcdProto
import Foundation
import NIOCore
import SwiftProtobuf
import Synchronization
import TestSupport

/// Writers that go on whatever happens to the members: each writes keys of its own in order, at one member after the
/// other, and notes what was acknowledged.
final class ClusterLoad: Sendable {
    private struct State {
        var servers: [ServerProcess] = []
        var acknowledged: [String] = []
        var failures: [String] = []
        var isStopped = false
        var longestGap = Duration.zero
        var lastAcknowledgement = ContinuousClock.now
    }

    private let state = Mutex(State())
    private let writers: Int

    init(_ servers: [ServerProcess], writers: Int = 4) {
        self.writers = writers
        state.withLock { $0.servers = servers }
    }

    /// Whom to write to from now on.
    func use(_ servers: [ServerProcess]) { state.withLock { $0.servers = servers } }

    func stop() { state.withLock { $0.isStopped = true } }

    /// Keys whose put was acknowledged; the value is the key.
    var acknowledged: [String] { state.withLock { $0.acknowledged } }
    /// What clients were told instead.
    var failures: [String] { state.withLock { $0.failures } }
    /// The longest time between two acknowledgements.
    var longestGap: Duration { state.withLock { $0.longestGap } }
    func forgetGap() {
        state.withLock {
            $0.longestGap = .zero
            $0.lastAcknowledgement = .now
        }
    }

    /// Writes until it is stopped.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            for writer in 0..<writers { group.addTask { await self.write(writer) } }
        }
    }

    private func write(_ writer: Int) async {
        var number = 0
        var client: UnaryClient?
        while let servers = state.withLock({ $0.isStopped ? nil : $0.servers }) {
            number += 1
            let key = "load/\(writer)/\(number)"
            do {
                // One connection for as long as it works.
                let open: UnaryClient
                if let client {
                    open = client
                } else {
                    open = try await UnaryClient.connect(to: servers[(writer + number) % servers.count])
                }
                client = open
                let request = Etcdserverpb_PutRequest.with {
                    $0.key = Data(key.utf8)
                    $0.value = Data(key.utf8)
                }
                let answer = try await open.call(
                    "/etcdserverpb.KV/Put", try request.serializedBytes(), timeout: .seconds(1))
                if case .failure(_, let text) = answer {
                    await open.close()
                    client = nil
                    state.withLock { $0.failures.append(text) }
                } else {
                    acknowledge(key)
                }
            } catch {
                client = nil
                state.withLock { $0.failures.append("\(error)") }
            }
            try? await Task.sleep(for: .milliseconds(client == nil ? 20 : 2))
        }
        await client?.close()
    }

    private func acknowledge(_ key: String) {
        state.withLock {
            $0.acknowledged.append(key)
            let now = ContinuousClock.now
            $0.longestGap = max($0.longestGap, now - $0.lastAcknowledgement)
            $0.lastAcknowledgement = now
        }
    }
}
