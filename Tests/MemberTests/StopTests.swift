import Base
import EtcdProto
import Foundation
import Logging
import MVCC
import Member
import PlatformLinux
import Synchronization
import TestSupport
import Testing

/// The end of a member on its real threads.
@Suite("A member that is stopped") struct StopTests {
    /// Counts answers.
    private final class Sink: ResponseSink {
        let answers = Mutex(0)
        func deliver(_ batch: consuming ResponseBatch) {
            let count = batch.responses.count
            answers.withLock { $0 += count }
        }
    }

    /// Commits are due so often that one is almost always under way, or falls due, while the threads end.
    @Test("leaves a backend file that holds all it has applied") func backendIsWhole() async throws {
        for round in 0..<25 {
            let directory = try PackageFiles.temporaryDirectory("stop")
            defer { try? FileManager.default.removeItem(atPath: directory) }
            var configuration = MemberConfiguration()
            configuration.name = "m1"
            configuration.dataDirectory = directory
            configuration.peerURLs = ["http://127.0.0.1:1"]
            configuration.initialCluster = [FoundingMember(name: "m1", peerURL: "http://127.0.0.1:1")]
            configuration.backendBatchInterval = .microseconds(50)
            let platform = MemberPlatform(
                disk: LinuxDisk(), clock: LinuxClock(), threads: LinuxThreads(), entropy: LinuxEntropy(),
                passwords: LinuxPasswords())
            let ready = AsyncStream.makeStream(of: Void.self)
            let member = try MemberLoop.start(
                configuration, on: platform, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                onReady: { ready.continuation.finish() }, onFailure: { Issue.record("\($0)") })
            for await _ in ready.stream {}
            let sink = Sink()
            let count = 200
            for i in 0..<count {
                var put: [UInt8] = []
                Wire.appendBytesField(1, "key \(i)".utf8, to: &put)
                Wire.appendBytesField(2, [UInt8](repeating: 1, count: 2_000), to: &put)
                #expect(member.submit([ClientRequest(ticket: UInt64(i), body: .put(put))], sink: sink))
            }
            while sink.answers.withLock({ $0 }) < count { try await Task.sleep(for: .microseconds(200)) }
            member.stop()
            let file = try BackendFile.open(directory + "/member/snap/db", on: LinuxDisk())
            let store = try KeyValueStore(Backend(try file.read()))
            #expect(store.currentRevision == Int64(count) + 1, "round \(round)")
            try file.close()
        }
    }
}
