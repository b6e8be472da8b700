import Base
import ClientAPI
import Crypto
import EtcdProto
import Foundation
import HTTP2
import MVCC
import Member
import NIOCore
import NIOPosix
import PlatformLinux
import SwiftProtobuf
import TestSupport
import Testing

/// The messages of a saved snapshot.
@Suite struct SnapshotStreamTests {
    /// A backend file of some megabytes, committed.
    private func withBackend(_ body: (BackendFile, String) async throws -> Void) async throws {
        let directory = try PackageFiles.temporaryDirectory("snapshot-stream")
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let file = try BackendFile.open(directory + "/db", on: LinuxDisk())
        let backend = try Backend(try file.read())
        for i: UInt8 in 0..<40 { backend.put([i], [UInt8](repeating: i, count: 70_000), in: .lease) }
        let batch = try #require(backend.freeze())
        backend.committed(try batch.write(to: file))
        try await body(file, directory + "/db")
        try file.close()
    }

    /// Runs a stream against a connection that is always ready, or that stops taking after some messages.
    private func run(
        _ copy: BackendCopy, version: String = "3.7.0", takes: Int = .max
    ) async throws -> (events: [FakeConnection.Event], outcome: GRPCCode?) {
        let loop = MultiThreadedEventLoopGroup.singleton.next()
        return try await loop.flatSubmit {
            let connection = FakeConnection(id: 1)
            let done = loop.makePromise(of: GRPCCode?.self)
            var stream: SnapshotStream<FakeConnection>?
            var taken = 0
            stream = SnapshotStream(
                BackendSnapshot(copy: copy, storageVersion: version), to: 1, on: connection, eventLoop: loop,
                logger: silent
            ) { event in
                switch event {
                case .sent:
                    taken += 1
                    if taken == takes {
                        stream?.cancel()
                        done.succeed(nil)
                    }
                case .ended(let code): done.succeed(code)
                }
            }
            // Ready for more at every turn of the loop, as a connection with open windows is.
            let bound = NIOLoopBound(stream, eventLoop: loop)
            let task = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .microseconds(100)) { _ in
                bound.value?.drained()
            }
            return done.futureResult.assumeIsolated().map { code in
                task.cancel()
                return Outcome(events: connection.events, code: code)
            }.nonisolated()
        }.map { ($0.events, $0.code) }.get()
    }

    private struct Outcome: Sendable {
        var events: [FakeConnection.Event]
        var code: GRPCCode?
    }

    @Test func piecesMakeTheFileAndItsDigest() async throws {
        try await withBackend { file, _ in
            let whole = try file.beginCopy(named: "test")
            let expected = try whole.read(at: 0, count: Int(whole.size))
            whole.close()
            let (events, outcome) = try await run(try file.beginCopy(named: "test"))
            #expect(outcome == .ok)
            var messages: [Etcdserverpb_SnapshotResponse] = []
            for case .send(1, let bytes) in events {
                messages.append(try Etcdserverpb_SnapshotResponse(serializedBytes: bytes))
            }
            #expect(messages.count == (expected.count + 32_767) / 32_768 + 1)
            var remaining = expected.count
            for message in messages.dropLast() {
                remaining -= message.blob.count
                #expect(message.remainingBytes == UInt64(remaining))
                #expect(!message.hasHeader)
            }
            #expect(messages.dropLast().flatMap(\.blob) == expected)
            #expect(messages.last.map { Array($0.blob) } == Array(SHA256.hash(data: expected)))
            #expect(messages.allSatisfy { $0.version == "3.7.0" })
            #expect(events.filter { $0 == .end(1) }.count == 1)
        }
    }

    @Test func cancelledHalfWay() async throws {
        try await withBackend { file, _ in
            let copy = try file.beginCopy(named: "test")
            let (events, outcome) = try await run(copy, takes: 20)
            #expect(outcome == nil)
            #expect(!events.contains(.end(1)))
            #expect(throws: (any Error).self) { try copy.read(at: 0, count: 1) }
        }
    }

    /// A file that is cut behind the server's back ends the answer with an error, not with a wrong snapshot.
    @Test func unreadableFile() async throws {
        try await withBackend { file, path in
            let copy = try file.beginCopy(named: "test")
            try FileHandle(forWritingTo: URL(fileURLWithPath: path)).truncate(atOffset: 1 << 20)
            let (events, outcome) = try await run(copy)
            #expect(outcome == .internal)
            guard case .fail(1, GRPCCode.internal.rawValue, _)? = events.last(where: { $0 != .flush }) else {
                Issue.record("\(events.suffix(3))")
                return
            }
        }
    }
}
