import Base
import TestSupport
import Testing

@Suite struct LinearizabilityTests {
    /// A history of one key, told by hand: `(client, call, end, action, answer)`; no end means no answer.
    private static func history(
        _ rows: [(Int, Int64, Int64?, KeyOperation.Action, KeyOperation.Answer?)]
    ) -> [KeyOperation] {
        rows.map { client, call, end, action, answer in
            var operation = KeyOperation(client: client, key: 0, action: action, call: call)
            if let end, let answer { operation.completion = KeyOperation.Completion(time: end, answer: answer) }
            return operation
        }
    }

    struct Known: CustomTestStringConvertible {
        var testDescription: String
        var isLinearizable: Bool
        var history: [KeyOperation]

        init(
            _ name: String, _ isLinearizable: Bool,
            _ rows: [(Int, Int64, Int64?, KeyOperation.Action, KeyOperation.Answer?)]
        ) {
            testDescription = name
            self.isLinearizable = isLinearizable
            history = LinearizabilityTests.history(rows)
        }
    }

    static let known: [Known] = [
        Known("nothing", true, []),
        Known("a read of nothing", true, [(0, 0, 1, .get, .read(nil))]),
        Known("a value from nowhere", false, [(0, 0, 1, .get, .read(SeenValue(1)))]),
        Known(
            "reads beside a put see either", true,
            [
                (0, 0, 9, .put(1), .put), (1, 1, 2, .get, .read(nil)), (2, 3, 4, .get, .read(SeenValue(1))),
            ]),
        Known(
            "a second read beside a put must not go back", false,
            [
                (0, 0, 9, .put(1), .put), (1, 1, 2, .get, .read(SeenValue(1))), (2, 3, 4, .get, .read(nil)),
            ]),
        Known(
            "a stale read", false,
            [
                (0, 0, 1, .put(1), .put), (0, 2, 3, .put(2), .put), (1, 4, 5, .get, .read(SeenValue(1))),
            ]),
        Known(
            "moments that touch are concurrent", true,
            [
                (0, 0, 1, .put(1), .put), (0, 2, 3, .put(2), .put), (1, 3, 5, .get, .read(SeenValue(1))),
            ]),
        Known(
            "a put without an answer shows later", true,
            [
                (0, 0, nil, .put(1), nil), (1, 1, 2, .get, .read(nil)), (1, 3, 4, .get, .read(SeenValue(1))),
            ]),
        Known(
            "a put without an answer never shows", true,
            [
                (0, 0, nil, .put(1), nil), (1, 1, 2, .put(2), .put), (1, 3, 4, .get, .read(SeenValue(2))),
            ]),
        Known(
            "a put without an answer shows before its call", false,
            [
                (0, 3, nil, .put(1), nil), (1, 1, 2, .get, .read(SeenValue(1))),
            ]),
        Known(
            "a put without an answer happens once", false,
            [
                (0, 0, nil, .put(1), nil), (1, 1, 2, .get, .read(SeenValue(1))), (1, 3, 4, .put(2), .put),
                (1, 5, 6, .get, .read(SeenValue(1))),
            ]),
        Known(
            "a delete without an answer", true,
            [
                (0, 0, 1, .put(1), .put), (1, 2, nil, .delete, nil), (0, 3, 4, .get, .read(SeenValue(1))),
                (0, 5, 6, .get, .read(nil)),
            ]),
        Known(
            "a delete that nobody called", false,
            [
                (0, 0, 1, .put(1), .put), (0, 5, 6, .get, .read(nil)),
            ]),
        Known(
            "two swaps of the same value", false,
            [
                (0, 0, 1, .put(1), .put), (0, 2, 9, .compareAndSwap(expected: 1, new: 2), .swapped),
                (1, 2, 9, .compareAndSwap(expected: 1, new: 3), .swapped),
            ]),
        Known(
            "one swap succeeds and one is refused", true,
            [
                (0, 0, 1, .put(1), .put), (0, 2, 9, .compareAndSwap(expected: 1, new: 2), .swapped),
                (1, 2, 9, .compareAndSwap(expected: 1, new: 3), .refused(SeenValue(2))),
            ]),
        Known(
            "a chain of swaps without answers", true,
            [
                (0, 0, nil, .compareAndSwap(expected: nil, new: 1), nil),
                (1, 1, nil, .compareAndSwap(expected: 1, new: 2), nil), (2, 5, 6, .get, .read(SeenValue(2))),
            ]),
        Known(
            "a chain of swaps with a gap", false,
            [
                (1, 1, nil, .compareAndSwap(expected: 1, new: 2), nil), (2, 5, 6, .get, .read(SeenValue(2))),
            ]),
        Known(
            "a delete tells what it deleted", false,
            [
                (0, 0, 1, .put(1), .put), (0, 2, 3, .put(2), .put), (1, 4, 5, .delete, .deleted(SeenValue(1))),
            ]),
        Known(
            "a delete of nothing beside a put", true,
            [
                (0, 0, 9, .put(1), .put), (1, 1, 2, .delete, .deleted(nil)), (1, 10, 11, .get, .read(SeenValue(1))),
            ]),
    ]

    @Test(arguments: known) func decides(known: Known) {
        let verdict = LinearizabilityChecker.check(known.history)
        #expect(verdict.isLinearizable == known.isLinearizable)
        #expect(verdict.isViolation == !known.isLinearizable)
    }

    @Test(arguments: 0..<60 as Range<UInt64>) func rightHistoriesPass(seed: UInt64) {
        let history = HistoryGenerator.history(seed: seed)
        #expect(LinearizabilityChecker.check(history).isLinearizable, "seed \(seed)")
        #expect(LinearizabilityChecker.check(history.map(\.withoutRevisions)).isLinearizable, "seed \(seed), bare")
        #expect(RevisionChecker.violation(in: history) == nil, "seed \(seed)")
    }

    @Test(arguments: SeededViolation.allCases) func seededViolationsAreFound(kind: SeededViolation) {
        var seeded = 0
        for seed in 0..<60 as Range<UInt64> {
            var random = SeededGenerator(seed: seed)
            guard let wrong = kind.seed(into: HistoryGenerator.history(seed: seed), &random) else { continue }
            seeded += 1
            #expect(LinearizabilityChecker.check(wrong).isViolation, "\(kind), seed \(seed)")
            #expect(
                LinearizabilityChecker.check(wrong.map(\.withoutRevisions)).isViolation, "\(kind), seed \(seed), bare")
        }
        #expect(seeded > 40, "only \(seeded) histories had a place for it")
    }

    /// What is stale by itself is also wrong by its revisions.
    @Test(arguments: [SeededViolation.staleRead, .lostWrite, .inventedValue])
    func revisionsShowIt(kind: SeededViolation) {
        var found = 0
        for seed in 0..<60 as Range<UInt64> {
            var random = SeededGenerator(seed: seed)
            guard let wrong = kind.seed(into: HistoryGenerator.history(seed: seed), &random) else { continue }
            if RevisionChecker.violation(in: wrong) != nil { found += 1 }
        }
        // A lost write hides behind a delete without an answer, an invented value behind a key that nobody wrote.
        #expect(found > 20, "\(kind): only \(found)")
    }

    @Test func revisionsAreComparedOverKeys() {
        func put(_ key: Int, _ value: UInt64, _ call: Int64, _ revision: Int64) -> KeyOperation {
            KeyOperation(
                client: 0, key: key, action: .put(value), call: call,
                completion: KeyOperation.Completion(time: call + 1, answer: .put, revision: revision))
        }
        let backwards = [put(0, 1, 0, 3), put(1, 2, 5, 2)]
        #expect(LinearizabilityChecker.check(backwards).isLinearizable)
        #expect(RevisionChecker.violation(in: backwards)?.rule == "the revision went backwards")
        let twice = [put(0, 1, 0, 3), put(1, 2, 5, 3)]
        #expect(RevisionChecker.violation(in: twice)?.rule == "two changes have the same revision")
        #expect(RevisionChecker.violation(in: [put(0, 1, 0, 2), put(1, 2, 5, 3)]) == nil)
    }

    @Test func givingUpIsNotAPass() {
        // Concurrent swaps that all fit, in a chain that the search must find among all orders.
        let history = HistoryGenerator.history(seed: 1, HistoryGenerator.Shape(keys: 1))
        var limits = LinearizabilityChecker.Limits()
        limits.configurations = 20
        let verdict = LinearizabilityChecker.check(history, limits: limits)
        #expect(!verdict.isLinearizable && !verdict.isViolation)
        if case .gaveUp(let key, let operations) = verdict { #expect(key == 0 && operations > 20) }
    }

    /// A debug build needs a second or two for each; the limit is for a loaded machine.
    @Test(.timeLimit(.minutes(1)), arguments: [1, 10]) func tenThousandOperations(keys: Int) {
        let shape = HistoryGenerator.Shape(clients: 10, keys: keys, operations: 10_000, lostEvery: 100)
        let history = HistoryGenerator.history(seed: 3, shape)
        #expect(LinearizabilityChecker.check(history).isLinearizable)
        #expect(LinearizabilityChecker.check(history.map(\.withoutRevisions)).isLinearizable)
    }
}
