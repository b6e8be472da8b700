import Base
import EtcdProto
import Foundation
import SwiftProtobuf

/// The rules of the key space, written as plainly as possible: a copy of everything for each revision.
struct Model {
    typealias Key = [UInt8]
    typealias Pair = Mvccpb_KeyValue

    enum Refusal: Error, Equatable {
        case compacted, futureRevision, keyNotFound, leaseNotFound
    }

    /// All keys after each revision.
    private(set) var states: [Int64: [Pair]] = [1: []]
    private(set) var revision: Int64 = 1
    private(set) var compacted: Int64 = -1
    private(set) var leases: Set<Int64> = []

    var now: [Pair] { states[revision] ?? [] }

    static func precedes(_ a: some Sequence<UInt8>, _ b: some Sequence<UInt8>) -> Bool {
        a.lexicographicallyPrecedes(b)
    }

    static func covers(_ key: some Sequence<UInt8>, _ start: Key, _ end: Key) -> Bool {
        let key = Array(key)
        if end.isEmpty { return key == start }
        return !precedes(key, start) && (end == [0] || precedes(key, end))
    }

    // MARK: Reading

    func range(_ request: Etcdserverpb_RangeRequest, at current: Int64, in working: [Pair]) throws(Refusal)
        -> Etcdserverpb_RangeResponse
    {
        if request.revision > current { throw .futureRevision }
        if request.revision > 0, request.revision < compacted { throw .compacted }
        let isOld = request.revision > 0 && request.revision < current
        let state = isOld ? states[request.revision] ?? [] : working
        let found = state.filter { Self.covers($0.key, Array(request.key), Array(request.rangeEnd)) }
        var response = Etcdserverpb_RangeResponse()
        response.header.revision = current
        response.count = Int64(found.count)
        if request.countOnly { return response }
        var kvs = found
        let hasFilter =
            request.minModRevision != 0 || request.maxModRevision != 0 || request.minCreateRevision != 0
            || request.maxCreateRevision != 0
        let limit = Int(request.limit)
        if request.sortOrder == .none, !hasFilter, limit > 0 { kvs = Array(kvs.prefix(limit + 1)) }
        if request.maxModRevision != 0 { kvs.removeAll { $0.modRevision > request.maxModRevision } }
        if request.minModRevision != 0 { kvs.removeAll { $0.modRevision < request.minModRevision } }
        if request.maxCreateRevision != 0 { kvs.removeAll { $0.createRevision > request.maxCreateRevision } }
        if request.minCreateRevision != 0 { kvs.removeAll { $0.createRevision < request.minCreateRevision } }
        kvs = Self.sorted(kvs, request)
        if limit > 0, kvs.count > limit {
            kvs = Array(kvs.prefix(limit))
            response.more = true
        }
        if request.keysOnly {
            for i in kvs.indices {
                kvs[i].value = Data()
                if request.sortTarget != .value { kvs[i].lease = 0 }
            }
        }
        response.kvs = kvs
        return response
    }

    private static func sorted(_ kvs: [Pair], _ request: Etcdserverpb_RangeRequest) -> [Pair] {
        let descending = request.sortOrder == .descend
        return kvs.enumerated().sorted { x, y in
            let (a, b) = (x.element, y.element)
            func by<T: Comparable>(_ p: T, _ q: T) -> Bool? { p == q ? nil : (p < q) != descending }
            let order: Bool? =
                switch request.sortTarget {
                case .key: by(x.offset, y.offset)
                case .version: by(a.version, b.version)
                case .create: by(a.createRevision, b.createRevision)
                case .mod: by(a.modRevision, b.modRevision)
                case .value: a.value == b.value ? nil : precedes(a.value, b.value) != descending
                case .UNRECOGNIZED: nil
                }
            return order ?? (x.offset < y.offset)
        }.map(\.element)
    }

    // MARK: Changing

    /// A transaction under way: the state it has made so far, and how many changes that took.
    struct Working {
        var state: [Pair]
        var changes = 0
        func revision(_ base: Int64) -> Int64 { changes > 0 ? base + 1 : base }
    }

    private func put(_ request: Etcdserverpb_PutRequest, _ working: inout Working) -> Etcdserverpb_PutResponse {
        var response = Etcdserverpb_PutResponse()
        let key = Array(request.key)
        let place = working.state.firstIndex { !Self.precedes($0.key, key) } ?? working.state.count
        let old = place < working.state.count && Array(working.state[place].key) == key ? working.state[place] : nil
        var pair = Pair()
        pair.key = request.key
        pair.value = request.ignoreValue ? old?.value ?? Data() : request.value
        pair.lease = request.ignoreLease ? old?.lease ?? 0 : request.lease
        pair.createRevision = old?.createRevision ?? revision + 1
        pair.modRevision = revision + 1
        pair.version = (old?.version ?? 0) + 1
        if old != nil { working.state[place] = pair } else { working.state.insert(pair, at: place) }
        working.changes += 1
        response.header.revision = revision + 1
        if request.prevKv, let old { response.prevKv = old }
        return response
    }

    private func delete(_ request: Etcdserverpb_DeleteRangeRequest, _ working: inout Working)
        -> Etcdserverpb_DeleteRangeResponse
    {
        var response = Etcdserverpb_DeleteRangeResponse()
        let gone = working.state.filter { Self.covers($0.key, Array(request.key), Array(request.rangeEnd)) }
        working.state.removeAll { Self.covers($0.key, Array(request.key), Array(request.rangeEnd)) }
        working.changes += gone.count
        response.header.revision = working.revision(revision)
        response.deleted = Int64(gone.count)
        if request.prevKv { response.prevKvs = gone }
        return response
    }

    private mutating func end(_ working: Working) {
        guard working.changes > 0 else { return }
        revision += 1
        states[revision] = working.state
    }

    private func checkPut(_ request: Etcdserverpb_PutRequest) throws(Refusal) {
        if request.ignoreValue || request.ignoreLease, !now.contains(where: { $0.key == request.key }) {
            throw .keyNotFound
        }
        if request.lease != 0, !leases.contains(request.lease) { throw .leaseNotFound }
    }

    mutating func put(_ request: Etcdserverpb_PutRequest) throws(Refusal) -> Etcdserverpb_PutResponse {
        if request.lease != 0, !leases.contains(request.lease) { throw .leaseNotFound }
        try checkPut(request)
        var working = Working(state: now)
        let response = put(request, &working)
        end(working)
        return response
    }

    mutating func delete(_ request: Etcdserverpb_DeleteRangeRequest) -> Etcdserverpb_DeleteRangeResponse {
        var working = Working(state: now)
        let response = delete(request, &working)
        end(working)
        return response
    }

    mutating func compact(_ wanted: Int64) throws(Refusal) {
        if wanted <= compacted { throw .compacted }
        if wanted > revision { throw .futureRevision }
        compacted = wanted
    }

    mutating func grant(_ id: Int64) { leases.insert(id) }

    mutating func revoke(_ id: Int64) {
        leases.remove(id)
        var working = Working(state: now)
        working.state.removeAll { $0.lease == id }
        working.changes = now.count - working.state.count
        end(working)
    }

    // MARK: Transactions

    mutating func txn(_ request: Etcdserverpb_TxnRequest) throws(Refusal) -> Etcdserverpb_TxnResponse {
        var outcomes: [Bool] = []
        decide(request, &outcomes)
        var steps = outcomes[...]
        try checkPuts(request, &steps)
        steps = outcomes[...]
        try checkRanges(request, &steps)
        steps = outcomes[...]
        var working = Working(state: now)
        var response = try run(request, &steps, &working)
        response.header.revision = working.revision(revision)
        end(working)
        return response
    }

    private func decide(_ request: Etcdserverpb_TxnRequest, _ outcomes: inout [Bool]) {
        let holds = request.compare.allSatisfy(compare)
        outcomes.append(holds)
        for operation in holds ? request.success : request.failure {
            if case .requestTxn(let nested) = operation.request { decide(nested, &outcomes) }
        }
    }

    private func checkPuts(_ request: Etcdserverpb_TxnRequest, _ steps: inout ArraySlice<Bool>) throws(Refusal) {
        for operation in steps.removeFirst() ? request.success : request.failure {
            if case .requestPut(let put) = operation.request { try checkPut(put) }
            if case .requestTxn(let nested) = operation.request { try checkPuts(nested, &steps) }
        }
    }

    private func checkRanges(_ request: Etcdserverpb_TxnRequest, _ steps: inout ArraySlice<Bool>) throws(Refusal) {
        for operation in steps.removeFirst() ? request.success : request.failure {
            if case .requestRange(let range) = operation.request, range.revision != 0 {
                if range.revision > revision { throw .futureRevision }
                if range.revision < compacted { throw .compacted }
            }
            if case .requestTxn(let nested) = operation.request { try checkRanges(nested, &steps) }
        }
    }

    private func run(
        _ request: Etcdserverpb_TxnRequest, _ steps: inout ArraySlice<Bool>, _ working: inout Working
    ) throws(Refusal) -> Etcdserverpb_TxnResponse {
        var response = Etcdserverpb_TxnResponse()
        response.header = Etcdserverpb_ResponseHeader()
        response.succeeded = steps.removeFirst()
        for operation in response.succeeded ? request.success : request.failure {
            var answer = Etcdserverpb_ResponseOp()
            switch operation.request {
            case .requestRange(let range):
                answer.response = .responseRange(
                    try self.range(range, at: working.revision(revision), in: working.state))
            case .requestPut(let put): answer.response = .responsePut(self.put(put, &working))
            case .requestDeleteRange(let delete): answer.response = .responseDeleteRange(self.delete(delete, &working))
            case .requestTxn(let nested): answer.response = .responseTxn(try run(nested, &steps, &working))
            case nil: break
            }
            response.responses.append(answer)
        }
        return response
    }

    private func compare(_ compare: Etcdserverpb_Compare) -> Bool {
        let found = now.filter { Self.covers($0.key, Array(compare.key), Array(compare.rangeEnd)) }
        if found.isEmpty { return compare.target != .value && holds(compare, Pair()) }
        return found.allSatisfy { holds(compare, $0) }
    }

    private func holds(_ compare: Etcdserverpb_Compare, _ pair: Pair) -> Bool {
        func order(_ a: Int64, _ b: Int64) -> Int { a < b ? -1 : a == b ? 0 : 1 }
        let result =
            switch compare.target {
            case .version: order(pair.version, compare.version)
            case .create: order(pair.createRevision, compare.createRevision)
            case .mod: order(pair.modRevision, compare.modRevision)
            case .lease: order(pair.lease, compare.lease)
            case .value: pair.value == compare.value ? 0 : Self.precedes(pair.value, compare.value) ? -1 : 1
            case .UNRECOGNIZED: 0
            }
        return switch compare.result {
        case .equal: result == 0
        case .greater: result > 0
        case .less: result < 0
        case .notEqual: result != 0
        case .UNRECOGNIZED: true
        }
    }
}
