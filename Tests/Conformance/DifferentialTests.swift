import EtcdProto
import Foundation
import SwiftProtobuf
import TestSupport
import Testing

/// The same seeded requests, one after the other, to Martlet and to a real etcd 3.5.1; every answer is compared field
/// by field.
@Suite(.serialized) struct DifferentialTests {
    static var isSoak: Bool { ProcessInfo.processInfo.environment["MARTLET_SOAK"] != nil }

    @Test(arguments: isSoak ? UInt64(1)...20 : 1...3) func randomRequests(seed: UInt64) async throws {
        let purpose = "differential test, seed \(seed)"
        guard let martlet = Programs.martlet(for: purpose), let etcd = Programs.etcd35(for: purpose) else { return }
        try await compare(
            martlet, with: etcd, requests: Self.random(seed: seed, count: Self.isSoak ? 5_000 : 1_000),
            name: "seed \(seed)",
            expectation: KnownDifference.expectation)
    }

    @Test(arguments: EdgeCase.all) func edgeCases(edgeCase: EdgeCase) async throws {
        let purpose = "differential test, \(edgeCase.name)"
        guard let martlet = Programs.martlet(for: purpose), let etcd = Programs.etcd35(for: purpose) else { return }
        try await compare(
            martlet, with: etcd, requests: Self.fixed(edgeCase.requests), name: edgeCase.name,
            expectation: KnownDifference.expectation)
    }

    /// What etcd 3.5.1 cannot be asked, because it ends on it.
    @Test(arguments: [5, 9, -1]) func unknownSortTarget(number: Int) async throws {
        guard let martlet = Programs.martlet(for: "unknown sort target") else { return }
        try await withServer(martlet) { server in
            let client = try await UnaryClient.connect(to: server)
            var range = Etcdserverpb_RangeRequest()
            range.key = Data("a".utf8)
            range.sortTarget = .UNRECOGNIZED(number)
            #expect(try await client.call(.range(range)) == .failure(EtcdError.invalidSortOption))
            let txn = Etcdserverpb_TxnRequest.with { $0.success = [.with { $0.requestRange = range }] }
            #expect(try await client.call(.txn(txn)) == .failure(EtcdError.invalidSortOption))
            await client.close()
        }
    }

    /// Another one: the check before raft misses that the put's key is deleted earlier in the same transaction.
    @Test func keptValueOfAKeyDeletedInTheSameTransaction() async throws {
        guard let martlet = Programs.martlet(for: "kept value of a deleted key") else { return }
        try await withServer(martlet) { server in
            let client = try await UnaryClient.connect(to: server)
            _ = try await client.call(EdgeCase.put("b", value: "1"))
            var put = Etcdserverpb_PutRequest()
            put.key = Data("b".utf8)
            put.ignoreValue = true
            let operations = [EdgeCase.deleteOp("a", end: "\0"), .with { $0.requestPut = put }]
            _ = try await client.call(EdgeCase.txn(operations))
            guard case .range = try await client.call(EdgeCase.range("b")) else {
                Issue.record("no answer any more: \(server.log.suffix(1000))")
                return
            }
            await client.close()
        }
    }

    /// The control: what the comparison calls equal is equal between two servers of the same program.
    @Test func etcdAgreesWithItself() async throws {
        guard let etcd = Programs.etcd35(for: "differential test against itself") else { return }
        try await compare(etcd, with: etcd, requests: Self.random(seed: 99, count: 500), name: "control, seed 99") {
            $1
        }
    }

    // MARK: -

    /// Gives the next request, told what the reference server answered to the one before; nil at the end.
    typealias Requests = (_ previous: KVAnswer?, _ request: KVRequest?) -> KVRequest?

    static func random(seed: UInt64, count: Int) -> Requests {
        var generator = RequestGenerator(seed: seed)
        var sent = 0
        return { answer, request in
            if let revision = answer?.revision { generator.revision = max(generator.revision, revision) }
            if case .compact(let compaction)? = request, case .compact? = answer {
                generator.compacted = compaction.revision
            }
            sent += 1
            return sent <= count ? generator.next() : nil
        }
    }

    static func fixed(_ requests: [KVRequest]) -> Requests {
        var rest = requests[...]
        return { _, _ in rest.popFirst() }
    }

    func compare(
        _ subject: ServerProgram, with reference: ServerProgram, requests: Requests, name: String,
        expectation: @Sendable (KVRequest, KVAnswer) -> KVAnswer
    ) async throws {
        try await withServer(reference) { referenceServer in
            try await withServer(subject) { subjectServer in
                let referenceClient = try await UnaryClient.connect(to: referenceServer)
                let subjectClient = try await UnaryClient.connect(to: subjectServer)
                var sent: KVRequest?
                var answered: KVAnswer?
                var number = 0
                while let request = requests(answered, sent) {
                    number += 1
                    let bytes = try request.bytes()
                    async let first = referenceClient.call(request.path, bytes)
                    async let second = subjectClient.call(request.path, bytes)
                    let referenceAnswer = try await KVAnswer(first, to: request)
                    let subjectAnswer = try await KVAnswer(second, to: request)
                    guard referenceServer.isRunning else {
                        let last = referenceServer.log.split(separator: "\n").filter { $0.contains("panic") }.suffix(3)
                        Issue.record(
                            """
                            \(name): \(reference) ended at request \(number): \(last)
                            \(sent?.text ?? "")
                            \(request.text)
                            """)
                        break
                    }
                    let expected = expectation(request, referenceAnswer)
                    if subjectAnswer != expected {
                        Issue.record(
                            """
                            \(name), request \(number): \(request.text)
                            expected (\(reference)):
                            \(expected.text.prefix(4000))
                            got (\(subject)):
                            \(subjectAnswer.text.prefix(4000))
                            """)
                        // After a difference the two stores may go different ways.
                        break
                    }
                    sent = request
                    answered = referenceAnswer
                }
                await referenceClient.close()
                await subjectClient.close()
                #expect(subjectServer.isRunning, "\(name): \(subject) ended")
            }
        }
    }
}
