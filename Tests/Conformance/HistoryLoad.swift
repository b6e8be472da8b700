import Base
import EtcdProto
import Foundation
import NIOCore
import SwiftProtobuf
import Synchronization
import TestSupport

/// Clients that read, write, delete and swap a few keys through all members whatever happens to these, and write down
/// what they asked and what they were told.
final class HistoryLoad: Sendable {
    struct Settings: Sendable {
        var clients = 8
        /// Used at the same time; `nextKeys()` changes to others.
        var keys = 4
        var callTimeout = TimeAmount.milliseconds(400)
        var pause = Duration.milliseconds(4)
        var pauseAfterFailure = Duration.milliseconds(20)
    }

    struct NoAnswer: Error, CustomStringConvertible {
        var description: String
    }

    private struct State {
        var history: [KeyOperation] = []
        /// When writes were acknowledged, ascending.
        var acknowledgements: [Int64] = []
        var firstKey = 0
        var lastValue: UInt64 = 0
        var failures: [String: Int] = [:]
        var isStopped = false
    }

    private let state = Mutex(State())
    private let settings: Settings
    private let servers: [ServerProcess.Options]
    private let seed: UInt64
    private let start = ContinuousClock.now

    init(_ servers: [ServerProcess.Options], _ settings: Settings = Settings(), seed: UInt64) {
        self.servers = servers
        self.settings = settings
        self.seed = seed
    }

    var history: [KeyOperation] { state.withLock { $0.history } }
    /// How often clients were told what instead of an answer.
    var failures: [String: Int] { state.withLock { $0.failures } }
    func stop() { state.withLock { $0.isStopped = true } }
    func nextKeys() { state.withLock { $0.firstKey += settings.keys } }

    /// Nanoseconds since the load was made.
    var now: Int64 {
        let passed = (ContinuousClock.now - start).components
        return passed.seconds * 1_000_000_000 + passed.attoseconds / 1_000_000_000
    }

    /// The longest time without an acknowledged write between two moments.
    func longestGap(from first: Int64, to last: Int64) -> Duration {
        let moments = state.withLock { state in state.acknowledgements.filter { (first...last).contains($0) } }
        var gap: Int64 = 0
        for (a, b) in zip([first] + moments, moments + [last]) { gap = max(gap, b - a) }
        return .nanoseconds(gap)
    }

    func acknowledged(from first: Int64, to last: Int64) -> Int {
        state.withLock { state in state.acknowledgements.count { (first...last).contains($0) } }
    }

    /// Runs all clients until `stop`.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            for client in 0..<settings.clients { group.addTask { await self.run(client) } }
        }
    }

    private func run(_ client: Int) async {
        var random = SeededGenerator(seed: seed &* 1_000 &+ UInt64(client))
        var server = client % servers.count
        var open: UnaryClient?
        var lastSeen: [Int: UInt64] = [:]
        while !state.withLock({ $0.isStopped }) {
            if open == nil {
                do { open = try await UnaryClient.connect(to: servers[server]) } catch { note("\(type(of: error))") }
            }
            var answered = false
            if let connection = open {
                let number = begin(client, &random, lastSeen)
                answered = await call(number, on: connection)
                let operation = state.withLock { $0.history[number] }
                lastSeen[operation.key] = operation.valueAfter
            }
            if !answered {
                if let connection = open { await connection.close() }
                open = nil
                server = (server + 1) % servers.count
            }
            try? await Task.sleep(for: answered ? settings.pause : settings.pauseAfterFailure)
        }
        await open?.close()
    }

    /// Chooses an operation and writes down that it begins.
    /// - Returns: its place in the history.
    private func begin(_ client: Int, _ random: inout SeededGenerator, _ lastSeen: [Int: UInt64]) -> Int {
        let (offset, kind) = (random.next(below: settings.keys), random.next(below: 20))
        return state.withLock { state in
            let key = state.firstKey + offset
            state.lastValue += 1
            let action: KeyOperation.Action =
                switch kind {
                case 0..<8: .get
                case 8..<14: .put(state.lastValue)
                case 14: .delete
                default: .compareAndSwap(expected: lastSeen[key], new: state.lastValue)
                }
            state.history.append(KeyOperation(client: client, key: key, action: action, call: now))
            return state.history.count - 1
        }
    }

    private func call(_ number: Int, on connection: UnaryClient) async -> Bool {
        let operation = state.withLock { $0.history[number] }
        do {
            let answer = try await connection.call(
                operation.path, operation.message(), timeout: settings.callTimeout)
            switch answer {
            case .message(let bytes):
                let completion = try operation.completion(at: now, bytes)
                state.withLock { state in
                    state.history[number].completion = completion
                    if state.history[number].changedKey { state.acknowledgements.append(completion.time) }
                }
                return true
            case .failure(_, let text): note(text)
            }
        } catch { note("\(type(of: error))") }
        return false
    }

    private func note(_ failure: String) { state.withLock { $0.failures[failure, default: 0] += 1 } }

    /// Reads every key that was ever used, through each of the members, into the history.
    func readAll() async throws {
        let keys = Set(history.map(\.key)).sorted()
        for (index, server) in servers.enumerated() {
            let connection = try await UnaryClient.connect(to: server)
            for key in keys {
                let number = state.withLock { state in
                    state.history.append(
                        KeyOperation(client: settings.clients + index, key: key, action: .get, call: now))
                    return state.history.count - 1
                }
                guard await call(number, on: connection) else {
                    throw NoAnswer(description: "no answer from \(server.name) at the end: \(failures)")
                }
            }
            await connection.close()
        }
    }
}

/// The operation as etcd's messages.
extension KeyOperation {
    fileprivate var name: Data { Data("fault/\(key)".utf8) }

    fileprivate var path: String {
        switch action {
        case .get: "/etcdserverpb.KV/Range"
        case .put: "/etcdserverpb.KV/Put"
        case .delete: "/etcdserverpb.KV/DeleteRange"
        case .compareAndSwap: "/etcdserverpb.KV/Txn"
        }
    }

    fileprivate func message() throws -> [UInt8] {
        switch action {
        case .get: try Etcdserverpb_RangeRequest.with { $0.key = name }.serializedBytes()
        case .put(let value): try Self.put(name, value).serializedBytes()
        case .delete:
            try Etcdserverpb_DeleteRangeRequest.with {
                $0.key = name
                $0.prevKv = true
            }.serializedBytes()
        case .compareAndSwap(let expected, let new):
            try Etcdserverpb_TxnRequest.with { request in
                request.compare = [
                    .with {
                        $0.key = name
                        if let expected {
                            $0.target = .value
                            $0.value = Data(String(expected).utf8)
                        } else {
                            $0.target = .version
                            $0.version = 0
                        }
                    }
                ]
                request.success = [.with { $0.requestPut = Self.put(name, new) }]
                request.failure = [.with { $0.requestRange.key = name }]
            }.serializedBytes()
        }
    }

    private static func put(_ name: Data, _ value: UInt64) -> Etcdserverpb_PutRequest {
        .with {
            $0.key = name
            $0.value = Data(String(value).utf8)
        }
    }

    fileprivate func completion(at time: Int64, _ bytes: [UInt8]) throws -> Completion {
        func seen(_ kv: Mvccpb_KeyValue?) -> SeenValue? {
            // What is no number is no value of ours, and no order explains it.
            kv.map { SeenValue(UInt64(String(decoding: $0.value, as: UTF8.self)) ?? .max, modRevision: $0.modRevision) }
        }
        switch action {
        case .get:
            let response = try Etcdserverpb_RangeResponse(serializedBytes: bytes)
            return Completion(time: time, answer: .read(seen(response.kvs.first)), revision: response.header.revision)
        case .put:
            let response = try Etcdserverpb_PutResponse(serializedBytes: bytes)
            return Completion(time: time, answer: .put, revision: response.header.revision)
        case .delete:
            let response = try Etcdserverpb_DeleteRangeResponse(serializedBytes: bytes)
            return Completion(
                time: time, answer: .deleted(seen(response.prevKvs.first)), revision: response.header.revision)
        case .compareAndSwap:
            let response = try Etcdserverpb_TxnResponse(serializedBytes: bytes)
            let found = seen(response.responses.first?.responseRange.kvs.first)
            return Completion(
                time: time, answer: response.succeeded ? .swapped : .refused(found),
                revision: response.header.revision)
        }
    }

    /// What the key held after it, as far as its client knows.
    fileprivate var valueAfter: UInt64? {
        switch completion?.answer {
        case .read(let seen), .refused(let seen): seen?.value
        case .put, .swapped: writtenValue
        case .deleted, nil: nil
        }
    }
}
