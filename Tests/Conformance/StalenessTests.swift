import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport
import Testing

/// Reads with `martlet-max-staleness-ms` at members that are stopped, replaced and left behind.
@Suite(.serialized) struct StalenessTests {
    private static let limit = 300

    private func read(_ client: UnaryClient, serializable: Bool = false) async throws -> Answer {
        let request = Etcdserverpb_RangeRequest.with {
            $0.key = Data("k".utf8)
            $0.serializable = serializable
        }
        return try await client.call(
            "/etcdserverpb.KV/Range", try request.serializedBytes(),
            metadata: serializable ? [] : [("martlet-max-staleness-ms", "\(Self.limit)")])
    }

    private func value(_ answer: Answer) throws -> String? {
        switch answer {
        case .message(let bytes):
            let response = try Etcdserverpb_RangeResponse(serializedBytes: bytes)
            return String(decoding: response.kvs.first?.value ?? Data(), as: UTF8.self)
        case .failure(let code, let text):
            #expect(code == .unavailable, "\(text)")
            #expect(text.hasPrefix("martlet: this member's state "), "\(text)")
            return nil
        }
    }

    /// The leader is stopped in the middle of serving such reads, and goes on when the others have long written more.
    @Test func aStoppedLeaderNeverAnswersOlder() async throws {
        guard let martlet = Programs.martlet(for: "bounded reads of a stopped leader") else { return }
        try await ClusterUnderTest.with([martlet, martlet, martlet]) { cluster in
            try await cluster.put("k", "before", at: 0)
            let former = try await cluster.leader()
            let server = try #require(cluster.members[former].server)
            let other = try #require(cluster.running.first { $0 != former })
            let there = try await UnaryClient.connect(to: server)
            let elsewhere = try await UnaryClient.connect(to: try #require(cluster.members[other].server))
            // Both know how new their state is.
            #expect(try value(await read(there)) == "before")
            #expect(try value(await read(elsewhere)) == "before")

            // Requests are on their way at the moment of the stop, so that some of them are in the middle of a turn.
            let waiting = Task { [self] in
                var answers: [Answer] = []
                for _ in 0..<50 { answers.append(try await read(there)) }
                return answers
            }
            server.pause()
            // Until there is another leader, what the follower knows is new enough, and then not any more.
            let refusal = ContinuousClock.now + .seconds(10)
            var refused = false
            while ContinuousClock.now < refusal, !refused {
                if try value(await read(elsewhere)) == nil { refused = true }
            }
            try await cluster.wait("another leader") {
                let status = try? await cluster.status(of: other)
                return status.map { $0.leader != 0 && $0.leader != cluster.members[former].id } ?? false
            }
            try await cluster.put("k", "after", at: other)
            try await Task.sleep(for: .milliseconds(2 * Self.limit))
            // It waits in the stopped member's socket: when it is sent, the former value is too old.
            let late = Task { [self] in try await read(there) }
            let stale = Task { [self] in try await read(there, serializable: true) }
            try await Task.sleep(for: .milliseconds(50))
            server.resume()
            let answer = try value(await late.value)
            #expect(answer == nil || answer == "after", "an answer that is too old")
            #expect(refused, "the follower had no leader for at least a second")
            _ = try await stale.value
            for answer in try await waiting.value { _ = try value(answer) }
            try await cluster.wait("a new value at the former leader") { try await value(read(there)) == "after" }
            #expect(try value(await read(elsewhere)) == "after")
            await there.close()
            await elsewhere.close()
            let page = try await MetricsScrape(of: server)
            #expect((page.samples["martlet_bounded_reads_total{outcome=\"at_once\"}"] ?? 0) > 0)
        }
    }

    /// The example of the README.
    @Test func curlSaysHowOld() async throws {
        let curl = "/usr/bin/curl"
        guard let martlet = Programs.martlet(for: "a bounded read by curl") else { return }
        guard FileManager.default.isExecutableFile(atPath: curl) else {
            print("skipped: a bounded read by curl (no curl)")
            return
        }
        try await withServer(martlet) { server in
            func read(_ limit: String) async throws -> String {
                let script = """
                    printf '\\0\\0\\0\\0\\012\\012\\010greeting' | curl -s --http2-prior-knowledge -D - -o - \
                    -H 'content-type: application/grpc' -H 'te: trailers' -H 'martlet-max-staleness-ms: \(limit)' \
                    --data-binary @- http://\(server.endpoint)/etcdserverpb.KV/Range | tr -d '\\0'
                    """
                let result = try await Subprocess.run("/bin/sh", ["-c", script], timeout: .seconds(20))
                return String(decoding: result.output, as: UTF8.self)
            }
            let client = try await UnaryClient.connect(to: server)
            let put = Etcdserverpb_PutRequest.with {
                $0.key = Data("greeting".utf8)
                $0.value = Data("hello".utf8)
            }
            _ = try await client.call("/etcdserverpb.KV/Put", try put.serializedBytes())
            await client.close()
            let answer = try await read("500")
            #expect(answer.contains("hello") && answer.contains("grpc-status: 0"), "\(answer)")
            let refusal = try await read("soon")
            #expect(refusal.contains("grpc-status: 3") && refusal.contains("martlet-max-staleness-ms"), "\(refusal)")
        }
    }
}
