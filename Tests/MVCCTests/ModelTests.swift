import Base
import EtcdProto
import Foundation
import MVCC
import PlatformSim
import SwiftProtobuf
import Testing

/// Random requests against the store and against the model, with commits, restarts and compactions in between.
@Suite struct ModelTests {
    @Test(arguments: 1...12)
    func matchesTheModel(seed: UInt64) throws {
        var run = ModelRun(seed: seed)
        for step in 0..<700 { try run.step(step) }
        try run.compareEverything("end")
    }
}

private struct ModelRun {
    var random: SeededGenerator
    let seed: UInt64
    let real: TestStore
    var model = Model()
    /// What the file holds: the model at the last commit.
    var committed = Model()
    var running: (batch: CommitBatch, model: Model)?

    init(seed: UInt64) {
        self.seed = seed
        random = SeededGenerator(seed: seed)
        guard let store = try? TestStore() else { preconditionFailure("an empty disk takes a new file") }
        real = store
    }

    mutating func step(_ step: Int) throws {
        let context: Comment = "seed \(seed), step \(step)"
        switch random.next(below: 100) {
        case 0..<30: try put(context)
        case 30..<40: try delete(context)
        case 40..<62: try range(context)
        case 62..<80: try txn(context)
        case 80..<84: try compact(context)
        case 84..<88: _ = try real.store.compactStep(limit: 1 + random.next(below: 20))
        case 88..<92: try lease(context)
        case 92..<95: freeze()
        case 95..<97: try commit()
        case 97: try reopen(context)
        default: try checkHash(context)
        }
        #expect(real.store.currentRevision == model.revision, context)
        #expect(real.store.compactRevision == model.compacted, context)
        #expect(real.store.liveKeyCount == model.now.count, context)
    }

    // MARK: Operations

    private mutating func key() -> [UInt8] {
        let alphabet: [UInt8] = [0, UInt8(ascii: "a"), UInt8(ascii: "b"), 0xFF]
        let count = 1 + random.next(below: 3)
        return (0..<count).map { _ in alphabet[random.next(below: alphabet.count)] }
    }

    private mutating func end() -> [UInt8] {
        switch random.next(below: 4) {
        case 0: []
        case 1: [0]
        default: key()
        }
    }

    private mutating func someRevision() -> Int64 {
        random.chance(1, in: 2) ? 0 : Int64(random.next(below: Int(model.revision) + 3)) - 1
    }

    private mutating func makePut() -> Etcdserverpb_PutRequest {
        var request = Etcdserverpb_PutRequest()
        request.key = Data(key())
        request.prevKv = random.chance(1, in: 2)
        request.ignoreValue = random.chance(1, in: 8)
        request.ignoreLease = random.chance(1, in: 8)
        if !request.ignoreValue { request.value = Data(repeating: 7, count: random.next(below: 200)) + key() }
        if !request.ignoreLease { request.lease = Int64(random.next(below: 4)) }
        return request
    }

    private mutating func makeDelete() -> Etcdserverpb_DeleteRangeRequest {
        var request = Etcdserverpb_DeleteRangeRequest()
        request.key = Data(key())
        request.rangeEnd = Data(random.chance(1, in: 2) ? [] : end())
        request.prevKv = random.chance(1, in: 2)
        return request
    }

    private mutating func makeRange() -> Etcdserverpb_RangeRequest {
        var request = Etcdserverpb_RangeRequest()
        request.key = Data(key())
        request.rangeEnd = Data(end())
        request.limit = Int64(random.next(below: 8)) - 1
        request.revision = someRevision()
        request.sortOrder = [.none, .ascend, .descend][random.next(below: 3)]
        request.sortTarget = [.key, .version, .create, .mod, .value][random.next(below: 5)]
        request.keysOnly = random.chance(1, in: 3)
        request.countOnly = random.chance(1, in: 8)
        if random.chance(1, in: 5) { request.minModRevision = someRevision() }
        if random.chance(1, in: 5) { request.maxModRevision = someRevision() }
        if random.chance(1, in: 5) { request.minCreateRevision = someRevision() }
        if random.chance(1, in: 5) { request.maxCreateRevision = someRevision() }
        return request
    }

    private mutating func makeCompare() -> Etcdserverpb_Compare {
        var compare = Etcdserverpb_Compare()
        compare.key = Data(key())
        compare.rangeEnd = Data(random.chance(1, in: 2) ? [] : end())
        compare.result = [.equal, .greater, .less, .notEqual][random.next(below: 4)]
        compare.target = [.version, .create, .mod, .value, .lease][random.next(below: 5)]
        switch random.next(below: 6) {
        case 0: compare.version = Int64(random.next(below: 4))
        case 1: compare.createRevision = someRevision()
        case 2: compare.modRevision = someRevision()
        case 3: compare.value = Data(key())
        case 4: compare.lease = Int64(random.next(below: 4))
        default: break
        }
        return compare
    }

    /// The API refuses a key that is put twice in a transaction, so a put takes a key of its own here.
    private mutating func makeTxn(depth: Int, _ used: inout Set<[UInt8]>) -> Etcdserverpb_TxnRequest {
        var request = Etcdserverpb_TxnRequest()
        for _ in 0..<random.next(below: 3) { request.compare.append(makeCompare()) }
        for branch in 0..<2 {
            for _ in 0..<random.next(below: 4) {
                var operation = Etcdserverpb_RequestOp()
                switch random.next(below: 8) {
                case 0..<3: operation.request = .requestRange(makeRange())
                case 3..<5: operation.request = .requestPut(makePut())
                case 5..<7: operation.request = .requestDeleteRange(makeDelete())
                default:
                    if depth < 3 { operation.request = .requestTxn(makeTxn(depth: depth + 1, &used)) }
                }
                guard operation.request != nil else { continue }
                if case .requestPut(let put) = operation.request, !used.insert(Array(put.key)).inserted { continue }
                if branch == 0 { request.success.append(operation) } else { request.failure.append(operation) }
            }
        }
        return request
    }

    // MARK: Comparing

    private func expect<Response: Message & Equatable>(
        _ context: Comment, _ real: () throws -> Response, _ model: () throws(Model.Refusal) -> Response
    ) throws {
        let expected: Result<Response, Model.Refusal>
        do throws(Model.Refusal) { expected = .success(try model()) } catch { expected = .failure(error) }
        do {
            let response = try real()
            guard case .success(let wanted) = expected else {
                Issue.record("\(context): answered, but the model refuses: \(expected)")
                return
            }
            #expect(response == wanted, context)
        } catch StoreError.rejected(let error) {
            guard case .failure(let refusal) = expected else {
                Issue.record("\(context): refused with \(error), but the model answers")
                return
            }
            let wanted: EtcdError =
                switch refusal {
                case .compacted: .compacted
                case .futureRevision: .futureRevision
                case .keyNotFound: .keyNotFound
                case .leaseNotFound: .leaseNotFound
                }
            #expect(error == wanted, context)
        }
    }

    private static func complete(_ header: inout Etcdserverpb_ResponseHeader) {
        header.clusterID = 11
        header.memberID = 22
        header.raftTerm = 33
    }

    private mutating func put(_ context: Comment) throws {
        let request = makePut()
        try expect(context) {
            try real.put(request)
        } _: { () throws(Model.Refusal) in
            var response = try model.put(request)
            Self.complete(&response.header)
            return response
        }
    }

    private mutating func delete(_ context: Comment) throws {
        let request = makeDelete()
        try expect(context) {
            try real.deleteRange(request)
        } _: { () throws(Model.Refusal) in
            var response = model.delete(request)
            Self.complete(&response.header)
            return response
        }
    }

    private mutating func range(_ context: Comment) throws {
        let request = makeRange()
        try expect(context) {
            try real.range(request)
        } _: { () throws(Model.Refusal) in
            var response = try model.range(request, at: model.revision, in: model.now)
            Self.complete(&response.header)
            return response
        }
    }

    private mutating func txn(_ context: Comment) throws {
        var used: Set<[UInt8]> = []
        let request = makeTxn(depth: 1, &used)
        try expect(context) {
            try real.txn(request)
        } _: { () throws(Model.Refusal) in
            var response = try model.txn(request)
            Self.complete(&response.header)
            return response
        }
    }

    private mutating func compact(_ context: Comment) throws {
        let revision = someRevision()
        try expect(context) { () -> Etcdserverpb_CompactionResponse in
            try real.compact(revision)
            return Etcdserverpb_CompactionResponse()
        } _: { () throws(Model.Refusal) in
            try model.compact(revision)
            return Etcdserverpb_CompactionResponse()
        }
    }

    private mutating func lease(_ context: Comment) throws {
        let id = Int64(1 + random.next(below: 3))
        if model.leases.contains(id) {
            let attached = model.now.filter { $0.lease == id }.map { Array($0.key) }
            #expect(real.store.keys(ofLease: LeaseID(id)) == attached, context)
            try real.store.revokeLease(LeaseID(id))
            model.revoke(id)
        } else {
            real.store.grantLease(LeaseRecord(id: LeaseID(id), timeToLive: 60))
            model.grant(id)
        }
    }

    // MARK: Commits

    private mutating func freeze() {
        guard let batch = real.store.backend.freeze() else { return }
        running = (batch, model)
    }

    private mutating func commit() throws {
        if running == nil { freeze() }
        guard let commit = running else { return }
        real.store.backend.committed(try commit.batch.write(to: real.file))
        committed = commit.model
        running = nil
    }

    private mutating func reopen(_ context: Comment) throws {
        if random.chance(1, in: 2) {
            try commit()
            try commit()
        }
        try real.reopen()
        running = nil
        model = committed
        try compareEverything("\(context)")
    }

    private func checkHash(_ context: Comment) throws {
        guard model.compacted <= 0 else { return }
        let negative = try real.store.hashKV(-5)
        #expect(negative.hash == 1_084_519_789, context)
    }

    func compareEverything(_ context: String) throws {
        for revision in stride(from: max(model.compacted, 1), through: model.revision, by: 1) {
            let request = Etcdserverpb_RangeRequest.with {
                $0.key = Data([0])
                $0.rangeEnd = Data([0])
                $0.revision = revision
            }
            let found = try real.range(request).kvs
            #expect(found == model.states[revision], "seed \(seed), \(context): revision \(revision)")
        }
    }
}
