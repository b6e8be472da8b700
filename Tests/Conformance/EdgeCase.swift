import EtcdProto
import Foundation
import SwiftProtobuf
import Testing

/// A named sequence of requests on an empty store, for what random requests seldom meet.
struct EdgeCase: Sendable, CustomTestStringConvertible {
    var name: String
    var requests: [KVRequest]
    var testDescription: String { name }

    init(_ name: String, _ requests: [KVRequest]) {
        self.name = name
        self.requests = requests
    }

    static let all: [EdgeCase] = [
        EdgeCase(
            "limits of a request's size",
            [
                put("a", count: 1_400_000), put("a", count: 1_560_000), put("a", count: 1_573_500), range("a"),
                put("a", count: 2_000_000), put("a", count: 2_097_152), put("a", count: 3_000_000), range("a"),
            ]),
        EdgeCase(
            "compaction at the edges",
            [
                compact(0), compact(0), compact(-1), compact(2), put("a"), compact(0), compact(1), compact(1),
                range("a", revision: 1), put("a"), delete("a"), compact(4), range("a", revision: 3), range("a"),
                range("a", revision: 4), compact(4), compact(5),
            ]),
        EdgeCase(
            "negative revisions in transactions, never compacted",
            [put("a"), txn([rangeOp("a", revision: -1)]), txn([rangeOp("a", revision: -2)]), range("a", revision: -2)]),
        EdgeCase(
            "negative revisions in transactions, compacted",
            [
                put("a"), put("a"), compact(2), txn([rangeOp("a", revision: -1)]), txn([rangeOp("a", revision: 1)]),
                txn([rangeOp("a", revision: 2)]), txn([rangeOp("a", revision: 4)]),
                txn([putOp("b"), rangeOp("a", revision: 4)]), range("b"),
            ]),
        EdgeCase(
            "later operations of a transaction see the earlier ones",
            [
                txn([putOp("a"), rangeOp("a"), deleteOp("a"), rangeOp("a")]),
                txn([putOp("a"), putOp("b"), rangeOp("a", end: "c"), nested([rangeOp("a", end: "c"), putOp("c")])]),
                txn([deleteOp("x")]), txn([]), range("a", end: "z"),
            ]),
        EdgeCase(
            "duplicate keys",
            [
                txn([putOp("a"), putOp("a")]), txn([putOp("a"), deleteOp("a")]), txn([deleteOp("a"), putOp("a")]),
                txn([putOp("b"), deleteOp("a", end: "c")]), txn([deleteOp("a"), deleteOp("a")]),
                txn([putOp("b"), deleteOp("a", end: "\0")]), range("a", end: "z"),
                txn([nested([putOp("a")]), putOp("a")]), txn([nested([putOp("a")]), nested([putOp("a")])]),
                txn([nested([deleteOp("a")]), nested([putOp("a")])]),
                txn([nested([putOp("a")]), nested([deleteOp("a")])]), range("a", end: "z"),
            ]),
        EdgeCase(
            "one operation too many",
            [
                txn((0..<128).map { putOp("k\($0)") }), txn((0..<129).map { putOp("k\($0)") }),
                txn((0..<127).map { putOp("k\($0)") } + [nested([])]),
                txn((0..<127).map { putOp("k\($0)") } + [nested([putOp("x")])]),
                txn((0..<64).map { putOp("k\($0)") } + [nested((0..<63).map { putOp("n\($0)") })]),
                txn((0..<64).map { putOp("k\($0)") } + [nested((0..<64).map { putOp("n\($0)") })]),
                range("", end: "\0"), range("\0", end: "\0"),
            ]),
        EdgeCase(
            "put flags",
            [
                put("a", ignoreValue: true), put("a", value: "x", ignoreValue: true), put("a", value: "x"),
                put("a", value: "y", ignoreValue: true), put("a", ignoreValue: true, prevKv: true),
                put("a", value: "z", ignoreLease: true, prevKv: true), put("a", lease: 5, ignoreLease: true),
                put("a", ignoreValue: true, ignoreLease: true), put("a", lease: 5), put("b", ignoreLease: true),
                put(""), put("a", value: "w", prevKv: true), range("a"),
            ]),
        EdgeCase(
            "a key's life",
            [
                put("a", value: "1"), put("a", value: "2"), delete("a"), delete("a"), put("a", value: "3"),
                range("a", revision: 2), range("a", revision: 3), range("a", revision: 4), range("a", revision: 5),
                range("a", revision: 6), delete("a", end: "b"), hash(0), hash(3), hash(-1), compact(5), hash(0),
                hash(6),
            ]),
    ]

    // MARK: - Shorthand

    static func put(_ key: String, count: Int) -> KVRequest {
        .put(
            .with {
                $0.key = Data(key.utf8)
                $0.value = Data(repeating: 0x78, count: count)
            })
    }

    static func put(
        _ key: String, value: String = "", lease: Int64 = 0, ignoreValue: Bool = false, ignoreLease: Bool = false,
        prevKv: Bool = false
    ) -> KVRequest {
        .put(
            .with {
                $0.key = Data(key.utf8)
                $0.value = Data(value.utf8)
                $0.lease = lease
                $0.ignoreValue = ignoreValue
                $0.ignoreLease = ignoreLease
                $0.prevKv = prevKv
            })
    }

    static func range(_ key: String, end: String = "", revision: Int64 = 0) -> KVRequest {
        .range(
            .with {
                $0.key = Data(key.utf8)
                $0.rangeEnd = Data(end.utf8)
                $0.revision = revision
            })
    }

    static func delete(_ key: String, end: String = "") -> KVRequest {
        .deleteRange(
            .with {
                $0.key = Data(key.utf8)
                $0.rangeEnd = Data(end.utf8)
                $0.prevKv = true
            })
    }

    static func compact(_ revision: Int64) -> KVRequest {
        .compact(
            .with {
                $0.revision = revision
                $0.physical = true
            })
    }

    static func hash(_ revision: Int64) -> KVRequest { .hashKV(.with { $0.revision = revision }) }

    static func txn(_ success: [Etcdserverpb_RequestOp]) -> KVRequest { .txn(.with { $0.success = success }) }

    static func nested(_ success: [Etcdserverpb_RequestOp]) -> Etcdserverpb_RequestOp {
        .with { $0.requestTxn = .with { $0.success = success } }
    }

    static func putOp(_ key: String) -> Etcdserverpb_RequestOp {
        .with {
            $0.requestPut.key = Data(key.utf8)
            $0.requestPut.value = Data("v".utf8)
        }
    }

    static func rangeOp(_ key: String, end: String = "", revision: Int64 = 0) -> Etcdserverpb_RequestOp {
        .with {
            $0.requestRange.key = Data(key.utf8)
            $0.requestRange.rangeEnd = Data(end.utf8)
            $0.requestRange.revision = revision
        }
    }

    static func deleteOp(_ key: String, end: String = "") -> Etcdserverpb_RequestOp {
        .with {
            $0.requestDeleteRange.key = Data(key.utf8)
            $0.requestDeleteRange.rangeEnd = Data(end.utf8)
        }
    }
}
