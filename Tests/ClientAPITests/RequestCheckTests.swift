import Base
import ClientAPI
import EtcdProto
import Member
import Testing

/// What is refused before raft, with which error, and in which order.
@Suite struct RequestCheckTests {
    typealias Model = TxnModel

    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var txn: TxnModel
        var error: EtcdError?
        var testDescription: String { name }

        init(_ name: String, _ txn: TxnModel, _ error: EtcdError?) {
            self.name = name
            self.txn = txn
            self.error = error
        }
    }

    private func outcome(_ bytes: [UInt8], limit: Int = 128) -> Result<ClientRequest.TxnPath, EtcdError> {
        var check = TxnCheck(operationLimit: limit)
        return Result { () throws(EtcdError) in try check.path(of: bytes.span) }
    }

    private func error(_ txn: TxnModel, limit: Int = 128) -> EtcdError? {
        switch outcome(txn.encoded, limit: limit) {
        case .success: nil
        case .failure(let error): error
        }
    }

    @Test(arguments: [
        Case("two puts of one key", Model(success: [.put("a"), .put("a")]), .duplicateKey),
        Case("the same in the else branch", Model(failure: [.put("a"), .put("a")]), .duplicateKey),
        Case("one put in each branch", Model(success: [.put("a")], failure: [.put("a")]), nil),
        Case("put and delete of one key", Model(success: [.put("a"), .delete("a")]), .duplicateKey),
        Case("delete and put of one key", Model(success: [.delete("a"), .put("a")]), .duplicateKey),
        Case("two deletes of one key", Model(success: [.delete("a"), .delete("a")]), nil),
        Case("deletes that overlap", Model(success: [.delete("a", to: "m"), .delete("c", to: "z")]), nil),
        Case("put inside a deleted range", Model(success: [.put("b"), .delete("a", to: "c")]), .duplicateKey),
        Case("put at the end of a range", Model(success: [.put("c"), .delete("a", to: "c")]), nil),
        Case("put at the start of a range", Model(success: [.put("a"), .delete("a", to: "c")]), .duplicateKey),
        Case("delete to the end is not seen", Model(success: [.put("b"), .delete("a", to: "\0")]), nil),
        Case("delete of an inverted range", Model(success: [.put("b"), .delete("c", to: "a")]), nil),
        Case("longer key behind a point", Model(success: [.put("aa"), .delete("a")]), nil),
        Case(
            "then and else of a nested txn may share a key",
            Model(success: [.txn(Model(success: [.put("a")], failure: [.put("a")]))]), nil),
        Case(
            "delete in then, put in else of a nested txn",
            Model(success: [.txn(Model(success: [.delete("a")], failure: [.put("a")]))]), nil),
        Case(
            "two nested txns put one key",
            Model(success: [.txn(Model(success: [.put("a")])), .txn(Model(failure: [.put("a")]))]), .duplicateKey),
        Case(
            "nested delete first, nested put later",
            Model(success: [.txn(Model(success: [.delete("a")])), .txn(Model(success: [.put("a")]))]),
            .duplicateKey),
        Case(
            "nested put first, nested delete later",
            Model(success: [.txn(Model(success: [.put("a")])), .txn(Model(success: [.delete("a")]))]), nil),
        Case(
            "nested put inside an outer delete that comes later",
            Model(success: [.txn(Model(success: [.put("a")])), .delete("a")]), .duplicateKey),
        Case(
            "outer put before a nested delete",
            Model(success: [.put("a"), .txn(Model(success: [.delete("a")]))]), .duplicateKey),
        Case(
            "outer put of a key that a nested else puts",
            Model(success: [.put("a"), .txn(Model(failure: [.put("a")]))]), .duplicateKey),
        Case(
            "branches two levels apart",
            Model(success: [
                .txn(Model(success: [.txn(Model(success: [.delete("a", to: "c")]))], failure: [.put("b")])),
                .txn(Model(success: [.put("d")])),
            ]), nil),
        Case(
            "a delete two levels down meets a later put",
            Model(success: [
                .txn(Model(success: [.txn(Model(failure: [.delete("a", to: "c")]))])),
                .txn(Model(success: [.put("b")])),
            ]), .duplicateKey),
    ])
    func overlaps(_ testCase: Case) {
        #expect(error(testCase.txn) == testCase.error)
        #expect(testCase.txn.changesNoKeyTwice == (testCase.error == nil), "the model itself")
    }

    @Test(arguments: [
        Case("no operation at all", Model(), nil),
        Case("compare without a key", Model(compares: ["a", ""]), .emptyKey),
        Case("operation without a member", Model(success: [.none]), .keyNotFound),
        Case("compare before operation", Model(compares: [""], success: [.none]), .emptyKey),
        Case("range without a key", Model(success: [.range("")]), .emptyKey),
        Case("put without a key", Model(failure: [.put("")]), .emptyKey),
        Case("delete without a key", Model(failure: [.delete("")]), .emptyKey),
        Case("then before else", Model(success: [.none], failure: [.put("")]), .keyNotFound),
        Case("nested before its later sibling", Model(success: [.txn(Model(success: [.put("")])), .none]), .emptyKey),
        Case("value with ignore_value", Model(success: [.put("a", ignoreValue: true)]), .valueProvided),
        Case("lease with ignore_lease", Model(success: [.put("a", lease: 7, ignoreLease: true)]), .leaseProvided),
        Case(
            "both flags", Model(success: [.put("a", value: "", ignoreValue: true, ignoreLease: true)]), nil),
        Case(
            "an operation's fault before an overlap", Model(success: [.put("a"), .put("a")], failure: [.none]),
            .keyNotFound),
    ])
    func operations(_ testCase: Case) {
        #expect(error(testCase.txn) == testCase.error)
    }

    @Test func countsOperations() {
        let three: [Model.Operation] = [.range("a"), .range("b"), .range("c")]
        #expect(error(Model(success: three), limit: 3) == nil)
        #expect(error(Model(success: three), limit: 2) == .tooManyOps)
        #expect(error(Model(failure: three), limit: 2) == .tooManyOps)
        #expect(error(Model(compares: ["a", "b", "c"]), limit: 2) == .tooManyOps)
        // The count comes before everything else.
        #expect(error(Model(compares: ["", "b", "c"], success: [.none]), limit: 2) == .tooManyOps)
        // A nested transaction has what its parent left, each one for itself.
        let nested = Model(success: [.txn(Model(success: [.range("a"), .range("b")]))])
        #expect(error(nested, limit: 3) == nil)
        #expect(error(nested, limit: 2) == .tooManyOps)
        let two = Model(success: nested.success + nested.success)
        #expect(error(two, limit: 4) == nil)
        #expect(error(two, limit: 3) == .tooManyOps)
        // Compares take from the budget of nested ones too.
        #expect(error(Model(compares: ["a", "b"], success: nested.success), limit: 3) == .tooManyOps)
    }

    @Test func findsThePath() throws {
        func path(_ txn: TxnModel) throws -> ClientRequest.TxnPath { try outcome(txn.encoded).get() }
        #expect(try path(Model()) == .serializableRead)
        #expect(try path(Model(compares: ["a"])) == .serializableRead)
        #expect(try path(Model(success: [.range("a", serializable: true)])) == .serializableRead)
        #expect(
            try path(Model(success: [.range("a", serializable: true)], failure: [.range("a")])) == .linearizableRead)
        #expect(try path(Model(failure: [.put("a")])) == .write)
        #expect(try path(Model(failure: [.delete("a")])) == .write)
        #expect(try path(Model(success: [.txn(Model())])) == .write)
    }

    @Test func refusesMalformedBytes() {
        let put = Model(success: [.put("abc")]).encoded
        for count in 1..<put.count {
            #expect(outcome(Array(put[..<count])) == .failure(.malformedRequest), "cut after \(count) bytes")
        }
        // A key that is a number.
        #expect(outcome([0x12, 0x04, 0x12, 0x02, 0x08, 0x01]) == .failure(.malformedRequest))
        // A union that is set twice.
        let twice = Model.Operation.put("a").encoded + Model.Operation.put("b").encoded
        var bytes: [UInt8] = []
        Wire.appendBytesField(2, twice, to: &bytes)
        #expect(outcome(bytes) == .failure(.malformedRequest))
    }

    @Test func refusesEndlessNesting() {
        func nest(_ levels: Int) -> [UInt8] {
            var inner: [UInt8] = []
            for _ in 0..<levels {
                var operation: [UInt8] = []
                Wire.appendBytesField(4, inner, to: &operation)
                var outer: [UInt8] = []
                Wire.appendBytesField(2, operation, to: &outer)
                inner = outer
            }
            return inner
        }
        #expect(outcome(nest(100)) == .success(.write))
        #expect(outcome(nest(200)) == .failure(.tooManyOps))
        #expect(outcome(nest(TxnOutline.depthLimit), limit: 1 << 20) == .success(.write))
        #expect(outcome(nest(TxnOutline.depthLimit + 1), limit: 1 << 20) == .failure(.malformedRequest))
        #expect(outcome(nest(20_000), limit: 1 << 20) == .failure(.malformedRequest))
    }

    /// Random transactions: the fast rule agrees with the plain one.
    @Test(arguments: [UInt64](1...20)) func agreesWithThePlainRule(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var refused = 0
        for _ in 0..<400 {
            let txn = Self.randomTxn(depth: 3, &random)
            let expected: EtcdError? = txn.changesNoKeyTwice ? nil : .duplicateKey
            if expected != nil { refused += 1 }
            #expect(error(txn, limit: 1000) == expected, "seed \(seed): \(txn)")
        }
        #expect(refused > 20 && refused < 380, "seed \(seed): the mix tests both outcomes, \(refused) of 400")
    }

    private static func randomTxn(depth: Int, _ random: inout SeededGenerator) -> TxnModel {
        TxnModel(success: randomList(depth: depth, &random), failure: randomList(depth: depth, &random))
    }

    private static func randomList(depth: Int, _ random: inout SeededGenerator) -> [TxnModel.Operation] {
        func key(_ random: inout SeededGenerator) -> String {
            let letter = String(Unicode.Scalar(UInt8(97 + Int.random(in: 0..<12, using: &random))))
            return Bool.random(using: &random) ? letter : letter + "\0"
        }
        return (0..<Int.random(in: 0...3, using: &random)).map { _ in
            switch Int.random(in: 0..<10, using: &random) {
            case 0...3: return .put(key(&random))
            case 4: return .delete(key(&random))
            case 5: return .delete(key(&random), to: key(&random))
            case 6: return .range("r")
            default:
                return depth == 0 ? .range("r") : .txn(randomTxn(depth: depth - 1, &random))
            }
        }
    }
}

/// The checks of single operations.
@Suite struct FieldCheckTests {
    private func check(range bytes: [UInt8]) -> EtcdError? {
        do { try RangeFields(bytes.span, at: bytes.indices).check() } catch let error as EtcdError {
            return error
        } catch {
            return .malformedRequest
        }
        return nil
    }

    private func range(key: String, order: UInt64 = 0, target: UInt64 = 0) -> [UInt8] {
        var bytes: [UInt8] = []
        if !key.isEmpty { Wire.appendBytesField(1, key.utf8, to: &bytes) }
        if order != 0 { Wire.appendVarintField(5, order, to: &bytes) }
        if target != 0 { Wire.appendVarintField(6, target, to: &bytes) }
        return bytes
    }

    @Test func ranges() {
        #expect(check(range: range(key: "a", order: 2, target: 4)) == nil)
        #expect(check(range: range(key: "", order: 9)) == .emptyKey)
        #expect(check(range: range(key: "a", order: 3)) == .invalidSortOption)
        #expect(check(range: range(key: "a", target: 5)) == .invalidSortOption)
        #expect(check(range: range(key: "a", target: UInt64.max)) == .invalidSortOption)
        #expect(check(range: [0x08, 0x01]) == .malformedRequest)
        #expect(check(range: range(key: "a") + [0x38, 0x01, 0xFF]) == .malformedRequest)
        // Unknown fields pass.
        #expect(check(range: range(key: "a") + [0xA2, 0x06, 0x01, 0x00]) == nil)
    }

    @Test func lastOccurrenceCounts() throws {
        let bytes = range(key: "abc") + [0x38, 0x01] + range(key: "d") + [0x38, 0x00]
        let fields = try RangeFields(bytes.span, at: bytes.indices)
        #expect(Array(bytes[fields.key]) == Array("d".utf8))
        #expect(!fields.serializable)
    }
}
