import EtcdProto
import Foundation
import NIOCore
import RaftCore
import RaftProto
import SwiftProtobuf
import TestSupport
import Testing

/// What a member of etcd and one of Martlet answer on their peer ports to the same questions, good and bad.
@Suite(.serialized) struct PeerAnswersTests {
    /// A server, with what differs from one cluster to the next.
    private struct Asked {
        var port: Int
        var clientPort: Int
        var cluster: String
        var local: UInt64
        var removed: UInt64

        init(_ server: ServerProcess) async throws {
            port = server.options.peerPort
            clientPort = server.options.clientPort
            let list = try #require(try await RawHTTP.ask("GET", "/members", port: port))
            cluster = try #require(list.headers["x-etcd-cluster-id"])
            let members = try #require(try JSONSerialization.jsonObject(with: Data(list.body.utf8)) as? [[String: Any]])
            local = try #require((members.first?["id"] as? NSNumber)?.uint64Value)
            let client = try await UnaryClient.connect(to: server)
            let added: Etcdserverpb_MemberAddResponse = try await Self.call(
                client, "MemberAdd",
                Etcdserverpb_MemberAddRequest.with {
                    $0.peerUrls = ["http://127.0.0.1:1"]
                    $0.isLearner = true
                })
            removed = added.member.id
            try await Self.remove(removed, client)
            await client.close()
        }

        /// etcd loses a change of the membership that is proposed in the moment between the answer to the one before
        /// and the end of that one's turn in raft, and lets its client wait: it is asked for again.
        private static func remove(_ id: UInt64, _ client: UnaryClient) async throws {
            let request: [UInt8] = try Etcdserverpb_MemberRemoveRequest.with { $0.id = id }.serializedBytes()
            var answer: Answer
            var attempts = 0
            repeat {
                attempts += 1
                answer = try await client.call("/etcdserverpb.Cluster/MemberRemove", request, timeout: .seconds(3))
                if case .message = answer { return }
                if case .failure(.notFound, _) = answer, attempts > 1 { return }
            } while attempts < 5
            throw ClusterUnderTest.Failed(description: "MemberRemove: \(answer)")
        }

        private static func call<Response: SwiftProtobuf.Message>(
            _ client: UnaryClient, _ method: String, _ request: some SwiftProtobuf.Message
        ) async throws -> Response {
            switch try await client.call("/etcdserverpb.Cluster/\(method)", try request.serializedBytes()) {
            case .message(let bytes): return try Response(serializedBytes: bytes)
            case .failure(let code, let text): throw ClusterUnderTest.Failed(description: "\(method): \(code) \(text)")
            }
        }

        func fill(_ text: String) -> String {
            text.replacingOccurrences(of: "@cluster", with: cluster)
                .replacingOccurrences(of: "@local", with: String(local, radix: 16))
                .replacingOccurrences(of: "@decimal", with: String(local))
                .replacingOccurrences(of: "@removed", with: String(removed, radix: 16))
        }

        func answer(to question: Question) async throws -> String {
            let headers = question.headers.map { ($0.0, fill($0.1)) }
            let answer = try await RawHTTP.ask(
                question.method, fill(question.path), port: port, headers: headers, body: question.body)
            guard let answer else { return "no answer" }
            var text = "\(answer.status)"
            for name in ["content-type", "allow", "x-content-type-options", "x-etcd-cluster-id"] {
                if let value = answer.headers[name] { text += "\n\(name): \(value)" }
            }
            text = (text + "\n\n" + answer.body).replacingOccurrences(of: cluster, with: "@cluster")
            return text.replacingOccurrences(of: String(local), with: "@decimal")
                .replacingOccurrences(of: "127.0.0.1:\(port)", with: "@peer")
                .replacingOccurrences(of: "127.0.0.1:\(clientPort)", with: "@client")
        }
    }

    struct Question: Sendable {
        var method: String
        var path: String
        var headers: [(String, String)] = []
        var body: [UInt8]?
        /// The answer that is expected where 3.7 differs from 3.5: status and body. nil where both are equal.
        var since36: String?

        init(_ line: String, _ headers: [(String, String)] = [], body: [UInt8]? = nil, since36: String? = nil) {
            let words = line.split(separator: " ")
            method = String(words[0])
            path = String(words[1])
            self.headers = headers
            self.body = body
            self.since36 = since36
        }
    }

    private static func peer(_ changed: [String: String?] = [:]) -> [(String, String)] {
        var headers: [String: String] = [
            "X-Etcd-Cluster-Id": "@cluster", "X-Server-From": "2", "X-Server-Version": "3.5.1",
            "X-Min-Cluster-Version": "3.0.0", "X-Peerurls": "http://127.0.0.1:1", "X-Raft-To": "@local",
        ]
        for (name, value) in changed { headers[name] = value }
        return headers.sorted { $0.key < $1.key }
    }

    private static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }

    private static func message(_ type: MessageType, to: UInt64) -> [UInt8] {
        var out: [UInt8] = []
        Message(type: type, to: MemberID(to), from: MemberID(2), term: Term(1)).encode(to: &out)
        return out
    }

    private static func envelope(_ message: [UInt8], length: UInt64? = nil) -> [UInt8] {
        let length = length ?? UInt64(message.count)
        return (0..<8).map { UInt8(truncatingIfNeeded: length >> (56 - 8 * UInt64($0))) } + message
    }

    private static let garbage: [UInt8] = [255, 255, 255]
    private static let mismatch = #"{"message":"cannot process message to mismatch member"}"#
    private static let otherCluster = ("X-Etcd-Cluster-Id", "1")

    static let questions: [Question] = paths + pipeline + streams + snapshots + others

    private static let paths = [
        "/", "/nothing", "/raft/", "/raft/x", "/members/", "/members/x", "/version/", "/health", "/metrics",
        "/raft/probing/", "/leases/", "/downgrade", "/v2/keys", "/debug/vars", "/members/hashkv/",
    ].map { Question("GET \($0)") }

    private static let pipeline = [
        Question("GET /raft"), Question("PUT /raft", peer()),
        Question("POST /raft", peer(), body: garbage), Question("POST /raft", body: garbage),
        Question("POST /raft", peer(["X-Etcd-Cluster-Id": "1"]), body: garbage),
        Question("POST /raft", peer(["X-Etcd-Cluster-Id": nil]), body: garbage),
        Question("POST /raft", peer(["X-Server-Version": "3.9.0"]), body: garbage),
        Question("POST /raft", peer(["X-Server-Version": "4.0.0"]), body: garbage),
        Question("POST /raft", peer(["X-Server-Version": "2.3.0"]), body: garbage),
        Question("POST /raft", peer(["X-Server-Version": nil]), body: garbage),
        Question("POST /raft", peer(["X-Min-Cluster-Version": "3.9.0"]), body: garbage),
        Question("POST /raft", peer(), body: message(.heartbeat, to: 9), since36: "403 " + mismatch),
        Question("POST /raft", peer(), body: [], since36: "403 " + mismatch),
    ]

    private static let streams = [
        Question("POST /raft/stream/message/2", peer(), body: []), Question("GET /raft/stream/other/2", peer()),
        Question("GET /raft/stream/", peer()), Question("GET /raft/stream/message", peer()),
        Question("GET /raft/stream/message/", peer()), Question("GET /raft/stream/message/xyz", peer()),
        Question("GET /raft/stream/message/2/3", peer()), Question("GET /raft/stream/x/message/2", peer()),
        Question("GET /raft/stream/message/99", peer()), Question("GET /raft/stream/msgapp/@removed", peer()),
        Question("GET /raft/stream/message/@local", peer()),
        Question("GET /raft/stream/msgapp/2", peer(["X-Etcd-Cluster-Id": "1"])),
        Question("GET /raft/stream/msgapp/2", peer(["X-Server-Version": "2.3.0"])),
        Question("GET /raft/stream/msgapp/2", peer(["X-Min-Cluster-Version": "3.9.0"])),
    ]

    private static let snapshots = [
        Question("GET /raft/snapshot", peer()), Question("POST /raft/snapshot", peer(), body: []),
        Question("POST /raft/snapshot", peer(), body: garbage),
        Question("POST /raft/snapshot", peer(), body: envelope(message(.heartbeat, to: 1))),
        Question("POST /raft/snapshot", peer(), body: envelope(message(.heartbeat, to: 1), length: 1 << 62)),
        Question("POST /raft/snapshot", peer(), body: envelope(message(.heartbeat, to: 1), length: 100)),
        Question(
            "POST /raft/snapshot", peer(["X-Etcd-Cluster-Id": "1"]), body: envelope(message(.heartbeat, to: 1))),
    ]

    private static let others = [
        Question("GET /members"), Question("GET /members?linearizable=true"), Question("GET /members", [otherCluster]),
        Question("POST /members", body: []), Question("POST /version", body: []),
        Question("GET /version", since36: #"200 {"etcdserver":"3.7.1","etcdcluster":"3.7.0","storage":"3.7.0"}"#),
        Question("GET /members/hashkv"), Question("POST /members/hashkv", body: bytes("{}")),
        Question("GET /members/hashkv", body: bytes("]")), Question("GET /members/hashkv", body: bytes("[]")),
        Question("GET /members/hashkv", body: bytes(#"{"revision":"x"}"#)),
        Question("GET /members/hashkv", body: bytes(#"{"revision":1.5}"#)),
        Question("GET /members/hashkv", body: bytes(#"{"revision":99}"#)),
        Question("GET /members/hashkv", body: bytes(#"{"revision":0} x"#)),
        Question("GET /members/hashkv", [otherCluster], body: bytes("{}"), since36: "412 cluster ID mismatch\n"),
        Question("GET /members/promote/8"), Question("POST /members/promote/abc", body: []),
        Question("POST /members/promote/", body: []), Question("POST /members/promote/-1", body: []),
        Question("POST /members/promote/1/2", body: []),
        Question("POST /members/promote/18446744073709551616", body: []),
        Question("POST /members/promote/8", body: []), Question("POST /members/promote/@decimal", body: []),
        Question("GET /leases"), Question("POST /leases", body: garbage), Question("POST /leases", body: [8, 5]),
        Question("POST /leases", body: []), Question("GET /leases/internal"),
        Question("POST /leases/internal", body: garbage), Question("POST /leases/internal", body: [10, 2, 8, 5]),
        Question("GET /downgrade/enabled"), Question("POST /downgrade/enabled", body: []),
        Question("GET /downgrade/enabled", [otherCluster]),
    ]

    @Test func areThoseOfEtcd() async throws {
        guard let etcd = Programs.etcd35(for: "answers to peers"),
            let martlet = Programs.martlet(for: "answers to peers")
        else { return }
        try await withServer(etcd) { reference in
            try await withServer(martlet) { server in
                let theirs = try await Asked(reference)
                let ours = try await Asked(server)
                var statuses: Set<Substring> = []
                for question in Self.questions {
                    let asked = "\(question.method) \(question.path) \(question.headers) \(question.body ?? [])"
                    var expected = try await theirs.answer(to: question)
                    // As with the removal; here etcd gives up after five seconds.
                    for _ in 0..<3 where question.path.contains("/promote/") && expected.hasPrefix("500") {
                        expected = try await theirs.answer(to: question)
                    }
                    let answer = try await ours.answer(to: question)
                    statuses.insert(answer.prefix(3))
                    if let since36 = question.since36 {
                        #expect(expected != answer, "no difference any more: \(asked)")
                        #expect(
                            answer.hasPrefix(since36.prefix(3)) && answer.hasSuffix("\n\n" + since36.dropFirst(4)),
                            "\(asked)")
                    } else {
                        #expect(answer == expected, "\(asked)")
                    }
                }
                #expect(statuses.isSuperset(of: ["200", "400", "403", "404", "405", "410", "412"]))
                print("peer answers: \(Self.questions.count) questions, statuses \(statuses.sorted())")

                // The hash is of the same store; the fields that 3.6 added are known.
                let body = Self.bytes(#"{"revision":0}"#)
                let hashes = try await [theirs.port, ours.port].asyncMap {
                    try #require(try await RawHTTP.ask("GET", "/members/hashkv", port: $0, body: body))
                }
                let fields = try hashes.map {
                    try #require(try JSONSerialization.jsonObject(with: Data($0.body.utf8)) as? [String: Any])
                }
                for name in ["hash", "compact_revision"] {
                    #expect(fields[0][name] as? Int == fields[1][name] as? Int, "\(name)")
                }
                #expect(hashes[1].headers["x-etcd-cluster-id"] == ours.cluster)
                #expect(fields[1]["hash_revision"] as? Int == 1)
            }
        }
    }
}

extension Array {
    fileprivate func asyncMap<T>(_ body: (Element) async throws -> T) async throws -> [T] {
        var results: [T] = []
        for element in self { results.append(try await body(element)) }
        return results
    }
}
