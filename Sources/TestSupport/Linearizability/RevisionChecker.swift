/// Checks a whole history against what etcd promises of revisions: each change has one of its own, they grow in real
/// time over all keys, and an answer with revision n shows the store as it was after change n.
///
/// O(n log n). It finds what the search for a linear order finds key by key, as far as answers carry revisions, and
/// what only shows across keys.
public enum RevisionChecker {
    public struct Violation: Error, Sendable, CustomStringConvertible {
        public var rule: String
        public var operations: [KeyOperation]

        public var description: String {
            "\(rule):\n  " + operations.map(\.description).joined(separator: "\n  ")
        }
    }

    /// The first violation found, or nil. Operations without an answer or without revisions are left out.
    public static func violation(in history: [KeyOperation]) -> Violation? {
        let told = history.filter { $0.completion?.revision != nil }
        return twice(told) ?? backwards(told) ?? wrongContent(told, history)
    }

    private static func revision(_ operation: KeyOperation) -> Int64 { operation.completion?.revision ?? 0 }

    private static func twice(_ told: [KeyOperation]) -> Violation? {
        var changes: [Int64: KeyOperation] = [:]
        for operation in told where operation.changedKey {
            if let other = changes.updateValue(operation, forKey: revision(operation)) {
                return Violation(rule: "two changes have the same revision", operations: [other, operation])
            }
        }
        return nil
    }

    /// An operation that was called after another had its answer must not be told an older revision.
    private static func backwards(_ told: [KeyOperation]) -> Violation? {
        var moments: [(time: Int64, isReturn: Bool, operation: Int)] = []
        for (number, operation) in told.enumerated() {
            moments.append((operation.call, false, number))
            moments.append((operation.completion?.time ?? .max, true, number))
        }
        moments.sort { ($0.time, $0.isReturn ? 1 : 0, $0.operation) < ($1.time, $1.isReturn ? 1 : 0, $1.operation) }
        var newest: Int?
        var newestAtCall = [Int?](repeating: nil, count: told.count)
        for moment in moments {
            guard moment.isReturn else {
                newestAtCall[moment.operation] = newest
                continue
            }
            let operation = told[moment.operation]
            if let before = newestAtCall[moment.operation].map({ told[$0] }) {
                let least = revision(before) + (operation.changedKey ? 1 : 0)
                if revision(operation) < least {
                    return Violation(rule: "the revision went backwards", operations: [before, operation])
                }
            }
            if newest.map({ revision(told[$0]) < revision(operation) }) ?? true { newest = moment.operation }
        }
        return nil
    }

    /// What reads show must be the key's newest change at their revision.
    private static func wrongContent(_ told: [KeyOperation], _ history: [KeyOperation]) -> Violation? {
        var changes: [Int: [KeyOperation]] = [:]
        for operation in told where operation.changedKey { changes[operation.key, default: []].append(operation) }
        for key in changes.keys { changes[key]?.sort { revision($0) < revision($1) } }
        // Where somebody does not know whether he deleted, nothing can be said about what is not there.
        let maybeDeleted = Set(history.filter { $0.completion == nil && $0.action == .delete }.map(\.key))
        var shown: [Int64: (value: UInt64, reader: KeyOperation)] = [:]
        for operation in told {
            guard case .some(let seen) = operation.seen else { continue }
            let at = revision(operation) - (operation.changedKey ? 1 : 0)
            let ofKey = changes[operation.key] ?? []
            let newest = lastChange(ofKey, upTo: at)
            guard let seen else {
                if let newest, newest.writtenValue != nil, !maybeDeleted.contains(operation.key) {
                    return Violation(rule: "a change is not there", operations: [newest, operation])
                }
                continue
            }
            guard let modRevision = seen.modRevision else { continue }
            if modRevision > at {
                return Violation(rule: "a value is newer than the answer that has it", operations: [operation])
            }
            if let newest, revision(newest) > modRevision {
                return Violation(rule: "a value is older than a change before it", operations: [newest, operation])
            }
            if let newest, revision(newest) == modRevision, newest.writtenValue != seen.value {
                return Violation(rule: "a value is not what was put", operations: [newest, operation])
            }
            let other = shown[modRevision]
            if let other, other.value != seen.value {
                return Violation(rule: "one revision has two values", operations: [other.reader, operation])
            }
            shown[modRevision] = (seen.value, operation)
        }
        return nil
    }

    private static func lastChange(_ changes: [KeyOperation], upTo limit: Int64) -> KeyOperation? {
        var (low, high) = (0, changes.count)
        while low < high {
            let middle = (low + high) / 2
            if revision(changes[middle]) <= limit { low = middle + 1 } else { high = middle }
        }
        return low > 0 ? changes[low - 1] : nil
    }
}
