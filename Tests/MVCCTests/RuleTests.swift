import Base
import EtcdProto
import Foundation
import MVCC
import SwiftProtobuf
import Testing

/// The rules of the key space one by one, with the numbers that etcd gives.
@Suite struct RuleTests {
    // MARK: Revisions

    @Test func revisions() throws {
        let real = try TestStore()
        #expect(real.store.currentRevision == 1)
        #expect(try real.put("a", "1") == 2)
        #expect(try real.put("a", "1") == 3, "a put of the same value counts")
        #expect(try real.delete("missing") == 3, "a delete of nothing does not")
        #expect(try real.delete("a") == 4)
        #expect(try real.txn(.init()).header.revision == 4)
        try real.put("a", "2")
        let kv = try #require(try real.all().first)
        #expect((kv.createRevision, kv.modRevision, kv.version) == (5, 5, 1), "a key that comes back is new")
    }

    // MARK: Ranges

    @Test(arguments: [
        ("b", "", ["b"]), ("b", "\0", ["b", "ba", "c"]), ("a", "c", ["a", "b", "ba"]), ("b", "b", []), ("c", "a", []),
        ("\0", "\0", ["\0", "a", "b", "ba", "c"]), ("", "", []), ("b", "c", ["b", "ba"]), ("aa", "b", []),
    ])
    func rangeEnds(key: String, end: String, expected: [String]) throws {
        let real = try TestStore()
        for key in ["c", "a", "ba", "b", "\0"] { try real.put(key, "v") }
        let response = try real.range(
            .with {
                $0.key = Data(key.utf8); $0.rangeEnd = Data(end.utf8)
            })
        #expect(response.kvs.map { String(decoding: $0.key, as: UTF8.self) } == expected)
        #expect(response.count == Int64(expected.count))
        #expect(response.more == false)
    }

    @Test func limitAndMore() throws {
        let real = try TestStore()
        for key in ["a", "b", "c"] { try real.put(key, "v") }
        for (limit, kvs, more) in [(-1, 3, false), (0, 3, false), (2, 2, true), (3, 3, false), (4, 3, false)] {
            let response = try real.range(
                .with {
                    $0.key = Data([0]); $0.rangeEnd = Data([0]); $0.limit = Int64(limit)
                })
            #expect(response.kvs.count == kvs, "limit \(limit)")
            #expect(response.more == more, "limit \(limit)")
            #expect(response.count == 3, "limit \(limit)")
        }
    }

    /// Without an order, one more than the limit is taken in key order and only then sorted.
    @Test func limitBeforeUnaskedSort() throws {
        let real = try TestStore()
        for (key, value) in [("a", "3"), ("b", "2"), ("c", "1"), ("d", "0")] { try real.put(key, value) }
        func keys(_ order: Etcdserverpb_RangeRequest.SortOrder) throws -> [String] {
            try real.range(
                .with {
                    $0.key = Data([0])
                    $0.rangeEnd = Data([0])
                    $0.limit = 2
                    $0.sortOrder = order
                    $0.sortTarget = .value
                }
            ).kvs.map { String(decoding: $0.key, as: UTF8.self) }
        }
        #expect(try keys(.none) == ["c", "b"])
        #expect(try keys(.ascend) == ["d", "c"])
        #expect(try keys(.descend) == ["a", "b"])
    }

    @Test func keysOnlyHasNoLease() throws {
        let real = try TestStore()
        real.store.grantLease(LeaseRecord(id: LeaseID(7), timeToLive: 60))
        try real.put("a", "v", lease: 7)
        for target in [Etcdserverpb_RangeRequest.SortTarget.key, .value] {
            let kv = try real.range(
                .with {
                    $0.key = Data("a".utf8); $0.keysOnly = true; $0.sortTarget = target
                }
            ).kvs
            #expect(kv.map(\.lease) == [target == .value ? 7 : 0])
            #expect(kv.map(\.value) == [Data()])
        }
    }

    @Test func revisionsOfReads() throws {
        let real = try TestStore()
        for value in 1...5 { try real.put("a", "\(value)") }
        try real.compact(4)
        #expect(try real.get("a", revision: -3) == "5")
        #expect(try real.get("a", revision: 4) == "3")
        #expect(try real.get("a", revision: 5) == "4")
        #expect(refusal { _ = try real.get("a", revision: 3) } == .compacted)
        #expect(refusal { _ = try real.get("a", revision: 7) } == .futureRevision)
        let count = try real.range(
            .with {
                $0.key = Data("a".utf8); $0.revision = 5; $0.countOnly = true
            })
        #expect(count.count == 1 && count.kvs.isEmpty && count.header.revision == 6)
    }

    // MARK: Put

    @Test func putFlags() throws {
        let real = try TestStore()
        func put(_ key: String, _ change: (inout Etcdserverpb_PutRequest) -> Void) throws -> Etcdserverpb_PutResponse {
            try real.put(
                .with {
                    $0.key = Data(key.utf8); change(&$0)
                })
        }
        #expect(refusal { _ = try put("a") { $0.ignoreValue = true } } == .keyNotFound)
        #expect(refusal { _ = try put("a") { $0.ignoreLease = true } } == .keyNotFound)
        #expect(refusal { _ = try put("a") { $0.lease = 9 } } == .leaseNotFound)
        #expect(real.store.currentRevision == 1)
        for id in [9, 10] as [Int64] { real.store.grantLease(LeaseRecord(id: LeaseID(id), timeToLive: 60)) }
        #expect(
            try put("a") {
                $0.prevKv = true; $0.lease = 9
            }.hasPrevKv == false)
        let moved = try put("a") {
            $0.prevKv = true; $0.lease = 10; $0.value = Data("v".utf8)
        }
        #expect(moved.prevKv.lease == 9)
        #expect(real.store.keys(ofLease: LeaseID(9)) == [])
        #expect(real.store.keys(ofLease: LeaseID(10)) == [Array("a".utf8)])
        _ = try put("a") {
            $0.ignoreValue = true; $0.ignoreLease = true
        }
        let kv = try #require(try real.all().first)
        #expect((kv.version, kv.lease, kv.value) == (3, 10, Data("v".utf8)))
        try real.put("a", "w")
        #expect(real.store.keys(ofLease: LeaseID(10)) == [], "a put without a lease detaches the key")
    }

    // MARK: Leases

    @Test func revokeDeletesItsKeys() throws {
        let real = try TestStore()
        for id in [1, 2] as [Int64] { real.store.grantLease(LeaseRecord(id: LeaseID(id), timeToLive: 60)) }
        for key in ["b", "a", "c"] { try real.put(key, "v", lease: 1) }
        try real.delete("c")
        try real.store.revokeLease(LeaseID(1))
        #expect(real.store.currentRevision == 6, "all keys of a lease go in one revision")
        #expect(try real.all() == [])
        #expect(try real.store.backend.items(in: .key).count == 6)
        try real.store.revokeLease(LeaseID(2))
        #expect(real.store.currentRevision == 6, "a lease without keys changes nothing")
        #expect(refusal { try real.store.revokeLease(LeaseID(2)) } == .leaseNotFound)
        try real.commit()
        try real.reopen()
        #expect(real.store.leaseRecords == [])
    }

    // MARK: Transactions

    private func put(_ key: String, _ value: String = "v") -> Etcdserverpb_RequestOp {
        .with {
            $0.requestPut = .with {
                $0.key = Data(key.utf8); $0.value = Data(value.utf8)
            }
        }
    }

    private func range(_ key: String, revision: Int64 = 0) -> Etcdserverpb_RequestOp {
        .with {
            $0.requestRange = .with {
                $0.key = Data(key.utf8); $0.revision = revision
            }
        }
    }

    private func delete(_ key: String) -> Etcdserverpb_RequestOp {
        .with { $0.requestDeleteRange = .with { $0.key = Data(key.utf8) } }
    }

    private func version(_ key: String, _ version: Int64) -> Etcdserverpb_Compare {
        .with {
            $0.key = Data(key.utf8); $0.target = .version; $0.version = version
        }
    }

    @Test func headersInside() throws {
        let real = try TestStore()
        let response = try real.txn(
            .with {
                $0.success = [
                    range("a"), delete("none"), put("a"), range("a"), delete("none"),
                    .with { $0.requestTxn = .with { $0.success = [put("b")] } },
                ]
            })
        #expect(response.succeeded)
        #expect(response.header.revision == 2 && response.header.clusterID == 11)
        #expect(response.responses[0].responseRange.header.revision == 1)
        #expect(response.responses[1].responseDeleteRange.header.revision == 1)
        #expect(response.responses[2].responsePut.header.revision == 2)
        #expect(response.responses[3].responseRange.header.revision == 2)
        #expect(response.responses[3].responseRange.count == 1, "a range sees the changes before it")
        #expect(response.responses[4].responseDeleteRange.header.revision == 2)
        #expect(response.responses[5].responseTxn.hasHeader)
        #expect(response.responses[5].responseTxn.header == Etcdserverpb_ResponseHeader())
        #expect(try real.store.backend.items(in: .key).map { $0.key.last } == [0, 1])
    }

    /// A compare of a nested transaction sees the state before the outer one.
    @Test func comparesSeeTheStateBefore() throws {
        let real = try TestStore()
        let response = try real.txn(
            .with {
                $0.success = [
                    put("a"),
                    .with {
                        $0.requestTxn = .with {
                            $0.compare = [version("a", 0)]
                            $0.success = [put("yes")]
                            $0.failure = [put("no")]
                        }
                    },
                ]
            })
        #expect(response.responses[1].responseTxn.succeeded)
        #expect(try real.get("yes") == "v")
    }

    @Test func failedChecksChangeNothing() throws {
        let real = try TestStore()
        for value in 1...4 { try real.put("k", "\(value)") }
        try real.compact(3)
        func run(_ operation: Etcdserverpb_RequestOp) -> EtcdError? {
            refusal { try real.txn(.with { $0.success = [put("a"), operation] }) }
        }
        #expect(run(range("k", revision: 6)) == .futureRevision)
        #expect(run(range("k", revision: 2)) == .compacted)
        #expect(run(range("k", revision: -1)) == .compacted, "here a negative revision is below the compacted one")
        #expect(
            run(
                .with {
                    $0.requestPut = .with {
                        $0.key = Data("b".utf8); $0.lease = 5
                    }
                }) == .leaseNotFound)
        #expect(
            run(
                .with {
                    $0.requestPut = .with {
                        $0.key = Data("b".utf8); $0.ignoreValue = true
                    }
                }) == .keyNotFound)
        #expect(real.store.currentRevision == 5)
        #expect(try real.get("a") == nil)
        // The branch that is not taken is not checked.
        try real.txn(
            .with {
                $0.success = [put("a")]
                $0.failure = [range("k", revision: 99)]
            })
        #expect(try real.get("a") == "v")
    }

    @Test func comparesOfWhatIsAbsent() throws {
        let real = try TestStore()
        func holds(_ change: (inout Etcdserverpb_Compare) -> Void) throws -> Bool {
            try real.txn(
                .with {
                    $0.compare = [
                        .with {
                            $0.key = Data("x".utf8); change(&$0)
                        }
                    ]
                }
            ).succeeded
        }
        #expect(try holds { $0.target = .version })
        #expect(
            try holds {
                $0.target = .mod; $0.modRevision = 1; $0.result = .less
            })
        #expect(
            try holds {
                $0.target = .version; $0.version = 1
            } == false)
        #expect(
            try holds {
                $0.target = .value; $0.value = Data("v".utf8); $0.result = .notEqual
            } == false)
        #expect(
            try holds {
                $0.target = .value; $0.rangeEnd = Data([0]); $0.result = .notEqual
            } == false)
        #expect(
            try holds {
                $0.target = .lease; $0.rangeEnd = Data("z".utf8)
            })
        try real.put("x", "v")
        #expect(
            try holds {
                $0.target = .version; $0.createRevision = 9; $0.result = .greater
            }, "a value of another kind is 0")
    }

    @Test(arguments: [
        (Etcdserverpb_Compare.CompareResult.equal, true), (.notEqual, false), (.less, false), (.greater, false),
    ])
    func unknownTargetIsEqualToAnything(result: Etcdserverpb_Compare.CompareResult, holds: Bool) throws {
        let real = try TestStore()
        let compare: Etcdserverpb_Compare = .with {
            $0.key = Data("x".utf8)
            $0.target = .UNRECOGNIZED(9)
            $0.result = result
        }
        #expect(try real.txn(.with { $0.compare = [compare] }).succeeded == holds)
        try real.put("x", "v")
        #expect(try real.txn(.with { $0.compare = [compare] }).succeeded == holds)
    }

    /// A put that keeps the value of a key which the same transaction has deleted: the API lets it through when the
    /// delete has no end.
    @Test func ignoredValueOfADeletedKey() throws {
        let real = try TestStore()
        try real.put("b", "v")
        let open: Etcdserverpb_RequestOp = .with {
            $0.requestDeleteRange = .with {
                $0.key = Data("a".utf8); $0.rangeEnd = Data([0])
            }
        }
        let keep: Etcdserverpb_RequestOp = .with {
            $0.requestPut = .with {
                $0.key = Data("b".utf8); $0.ignoreValue = true
            }
        }
        try real.txn(.with { $0.success = [open, keep] })
        #expect(try real.get("b") == "")
        #expect(try real.get("b", revision: 2) == "v")
    }

    // MARK: Compaction

    @Test func compactionBounds() throws {
        let real = try TestStore()
        try real.put("a", "1")
        #expect(refusal { try real.compact(-1) } == .compacted)
        #expect(refusal { try real.compact(3) } == .futureRevision)
        try real.compact(2)
        #expect(refusal { try real.compact(2) } == .compacted)
        #expect(real.store.currentRevision == 2)
    }

    @Test func unfinishedCompactionIsResumed() throws {
        let real = try TestStore()
        for value in 1...40 { try real.put("k\(value % 3)", "\(value)") }
        try real.commit()
        try real.compact(35)
        _ = try real.store.compactStep(limit: 5)
        _ = try real.store.compactStep(limit: 5)
        try real.commit()
        try real.reopen()
        #expect(real.store.compactRevision == 35)
        #expect(real.store.isCompacting)
        try real.finishCompaction()
        #expect(try real.store.backend.items(in: .key).count == 41 - 35 + 3)
        try real.commit()
        try real.reopen()
        #expect(real.store.isCompacting == false)
        #expect(real.store.compactionHashes == [])
    }

    /// A deleted key leaves the index with the compaction after its tombstone's own.
    @Test func tombstonesLeave() throws {
        let real = try TestStore()
        try real.put("a", "1")
        try real.delete("a")
        try real.put("b", "1")
        try real.compact(3)
        try real.finishCompaction()
        #expect(real.store.keyCount == 2)
        try real.compact(4)
        try real.finishCompaction()
        #expect(real.store.keyCount == 1)
        #expect(try real.store.backend.items(in: .key).count == 1)
    }

    // MARK: Malformed requests

    @Test(arguments: [[0x08, 0x01], [0x0A, 0x05, 0x61], [0xFF], [0x1A, 0x00]] as [[UInt8]])
    func malformedRequests(bytes: [UInt8]) {
        #expect(throws: WireError.self) { _ = try PutCommand(bytes) }
    }

    @Test func nestingHasALimit() {
        var bytes: [UInt8] = []
        for _ in 0..<TxnCommand.depthLimit {
            var operation: [UInt8] = []
            Wire.appendBytesField(4, bytes, to: &operation)
            bytes = []
            Wire.appendBytesField(2, operation, to: &bytes)
        }
        #expect(throws: WireError.outOfRange(field: 4)) { _ = try TxnCommand(bytes) }
    }
}
