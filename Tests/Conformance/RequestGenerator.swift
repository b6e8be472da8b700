import Base
import EtcdProto
import Foundation
import SwiftProtobuf

/// Seeded requests with every option and many kinds of mistake, dense enough in a small key space that they meet.
struct RequestGenerator {
    private var random: SeededGenerator
    /// The store's revisions as the reference server told them last; requests aim around them.
    var revision: Int64 = 1
    var compacted: Int64 = 0
    /// Inside a transaction: whether its puts may keep the stored value or lease, or its deletes may be open-ended.
    /// With both, etcd accepts a put that keeps the value of a key which the transaction has deleted, and ends on it.
    private var keepsStored = true
    private var opensDeletes = true

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    /// Short keys with common prefixes, the smallest and the largest bytes.
    private static let keys: [[UInt8]] =
        ["a", "aa", "ab", "b", "c", "k", "k/", "k/1", "k/2", "k/3", "k0", "l", "z"].map { Array($0.utf8) }
        + [[0], [0, 0], [0x61, 0], [0xFE], [0xFF], [0xFF, 0xFF]]

    mutating func next() -> KVRequest {
        switch random.next(below: 100) {
        case 0..<36: .put(put())
        case 36..<66: .range(range(mayBeInvalid: true))
        case 66..<75: .deleteRange(deleteRange())
        case 75..<95: .txn(anyTxn())
        case 95..<98: .compact(compaction())
        default: .hashKV(.with { $0.revision = hashRevision() })
        }
    }

    // MARK: - Requests

    private mutating func put() -> Etcdserverpb_PutRequest {
        var request = Etcdserverpb_PutRequest()
        request.key = key()
        request.value = value()
        request.prevKv = random.chance(1, in: 4)
        if keepsStored, random.chance(1, in: 12) {
            request.ignoreValue = true
            if random.chance(3, in: 4) { request.value = Data() }
        }
        if keepsStored, random.chance(1, in: 12) { request.ignoreLease = true }
        // No lease exists: any number but 0 is an unknown one.
        if random.chance(1, in: 30) { request.lease = [1, 77, -1, .max].randomElement(using: &random) ?? 1 }
        return request
    }

    private mutating func range(mayBeInvalid: Bool) -> Etcdserverpb_RangeRequest {
        var request = Etcdserverpb_RangeRequest()
        request.key = key()
        request.rangeEnd = rangeEnd(of: request.key)
        if random.chance(1, in: 3) { request.limit = Int64(random.next(below: 8)) - 1 }
        if random.chance(1, in: 3) { request.revision = someRevision() }
        if random.chance(1, in: 2) {
            request.sortOrder = .init(rawValue: random.next(below: 3)) ?? .none
            request.sortTarget = .init(rawValue: random.next(below: 5)) ?? .key
        }
        if mayBeInvalid, random.chance(1, in: 20) {
            request.sortOrder = .UNRECOGNIZED([3, 7, -1, 1 << 30].randomElement(using: &random) ?? 3)
            // An unknown target alone ends etcd 3.5.1 with a nil pointer.
            if random.chance(1, in: 2) {
                request.sortTarget = .UNRECOGNIZED([5, 9, -1].randomElement(using: &random) ?? 5)
            }
        }
        request.serializable = random.chance(1, in: 3)
        request.keysOnly = random.chance(1, in: 6)
        request.countOnly = random.chance(1, in: 10)
        if random.chance(1, in: 8) { request.minModRevision = someRevision() }
        if random.chance(1, in: 8) { request.maxModRevision = someRevision() }
        if random.chance(1, in: 8) { request.minCreateRevision = someRevision() }
        if random.chance(1, in: 8) { request.maxCreateRevision = someRevision() }
        return request
    }

    private mutating func deleteRange() -> Etcdserverpb_DeleteRangeRequest {
        var request = Etcdserverpb_DeleteRangeRequest()
        request.key = key()
        request.rangeEnd = rangeEnd(of: request.key)
        if !opensDeletes, request.rangeEnd == Data([0]) { request.rangeEnd = Data() }
        request.prevKv = random.chance(1, in: 2)
        return request
    }

    private mutating func compaction() -> Etcdserverpb_CompactionRequest {
        .with {
            // 0 has a table test of its own: what it leaves behind depends on what came before.
            let target = compacted + Int64(random.next(below: Int(max(1, revision - compacted)) + 3)) - 1
            $0.revision = target == 0 ? 1 : target
            $0.physical = random.chance(1, in: 2)
        }
    }

    /// Current, past, future or negative; not one at or below the compaction, which 3.7 may remember and 3.5 does not.
    private mutating func hashRevision() -> Int64 {
        switch random.next(below: 6) {
        case 0: revision + 1 + Int64(random.next(below: 3))
        case 1: -1
        case 2 where revision > compacted + 1: compacted + 1 + Int64(random.next(below: Int(revision - compacted)))
        default: 0
        }
    }

    // MARK: - Transactions

    private mutating func anyTxn() -> Etcdserverpb_TxnRequest {
        keepsStored = random.chance(1, in: 2)
        opensDeletes = !keepsStored
        defer {
            keepsStored = true
            opensDeletes = true
        }
        return switch random.next(below: 20) {
        case 0: tooManyOperations()
        case 1..<5: readTxn()
        default: txn(depth: 2)
        }
    }

    private mutating func txn(depth: Int) -> Etcdserverpb_TxnRequest {
        var request = Etcdserverpb_TxnRequest()
        for _ in 0..<random.next(below: 3) { request.compare.append(compare()) }
        for _ in 0..<random.next(below: 5) { request.success.append(operation(depth: depth)) }
        for _ in 0..<random.next(below: 4) { request.failure.append(operation(depth: depth)) }
        return request
    }

    /// Only ranges, which do not go through raft; here a range may be invalid, as nothing else hangs on it.
    private mutating func readTxn() -> Etcdserverpb_TxnRequest {
        var request = Etcdserverpb_TxnRequest()
        for _ in 0..<random.next(below: 2) { request.compare.append(compare()) }
        for _ in 0..<random.next(below: 4) {
            request.success.append(.with { $0.requestRange = range(mayBeInvalid: true) })
        }
        for _ in 0..<random.next(below: 3) {
            request.failure.append(.with { $0.requestRange = range(mayBeInvalid: true) })
        }
        return request
    }

    private mutating func tooManyOperations() -> Etcdserverpb_TxnRequest {
        var request = Etcdserverpb_TxnRequest()
        let count = 127 + random.next(below: 3)
        for index in 0..<count {
            request.success.append(
                .with {
                    $0.requestPut.key = Data("many/\(index)".utf8)
                    $0.requestPut.value = Data("1".utf8)
                })
        }
        if random.chance(1, in: 2) {
            // What is left for a nested one: 128 less the parent's count.
            request.success.append(.with { $0.requestTxn = txn(depth: 0) })
        }
        return request
    }

    private mutating func operation(depth: Int) -> Etcdserverpb_RequestOp {
        var operation = Etcdserverpb_RequestOp()
        switch random.next(below: depth > 0 ? 40 : 34) {
        case 0..<16:
            operation.requestPut = put()
            if random.chance(1, in: 2) {
                // Fewer collisions, so that more transactions get through the check for duplicates.
                operation.requestPut.key.append(UInt8(random.next(below: 256)))
            }
        case 16..<26: operation.requestRange = range(mayBeInvalid: false)
        case 26..<33: operation.requestDeleteRange = deleteRange()
        case 33: break
        default: operation.requestTxn = txn(depth: depth - 1)
        }
        return operation
    }

    private mutating func compare() -> Etcdserverpb_Compare {
        var compare = Etcdserverpb_Compare()
        compare.key = key()
        if random.chance(1, in: 4) { compare.rangeEnd = rangeEnd(of: compare.key) }
        compare.result = .init(rawValue: random.next(below: 4)) ?? .equal
        if random.chance(1, in: 30) { compare.result = .UNRECOGNIZED(9) }
        let target = random.next(below: 5)
        compare.target = .init(rawValue: target) ?? .version
        if random.chance(1, in: 30) { compare.target = .UNRECOGNIZED(9) }
        // Now and then of another kind than the target says, or none.
        let union = random.chance(1, in: 10) ? random.next(below: 6) : target
        switch union {
        case 0: compare.version = Int64(random.next(below: 4))
        case 1: compare.createRevision = random.chance(1, in: 2) ? 0 : someRevision()
        case 2: compare.modRevision = random.chance(1, in: 2) ? 0 : someRevision()
        case 3: compare.value = value()
        case 4: compare.lease = Int64(random.next(below: 2))
        default: break
        }
        return compare
    }

    // MARK: - Parts

    private mutating func key() -> Data {
        if random.chance(1, in: 40) { return Data() }
        return Data(Self.keys.randomElement(using: &random) ?? [0])
    }

    private mutating func value() -> Data {
        switch random.next(below: 40) {
        case 0: Data()
        case 1: Data(repeating: UInt8(random.next(below: 256)), count: 5_000)
        case 2: Data((0..<20).map { _ in UInt8.random(in: 0...255, using: &random) })
        default: Data("v\(random.next(below: 9))".utf8)
        }
    }

    private mutating func rangeEnd(of key: Data) -> Data {
        switch random.next(below: 10) {
        case 0..<4: return Data()
        case 4: return Data([0])
        case 5..<8:
            var end = key
            while let last = end.popLast() {
                if last < 0xFF { return end + [last + 1] }
            }
            return Data([0])
        default: return self.key()
        }
    }

    private mutating func someRevision() -> Int64 {
        switch random.next(below: 20) {
        case 0: -1
        case 1: -(1 << 40)
        case 2: revision + 1 + Int64(random.next(below: 2))
        case 3: .max
        case 4..<7: compacted + Int64(random.next(below: 3)) - 1
        default: max(1, compacted) + Int64(random.next(below: Int(max(1, revision - compacted)) + 1))
        }
    }
}
