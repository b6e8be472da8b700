/// Decides whether a history of concurrent operations could have come from one copy of the data, each operation taking
/// effect at one moment between its call and its answer (Herlihy and Wing, 1990).
///
/// Each key is decided by itself, which linearizability allows. The search is that of Wing and Gong (1993) with Lowe's
/// memory of configurations already tried (2017): the set of operations done and the key's state. Revisions, where the
/// history has them, must grow along the order found, which also leaves the search few ways to go.
public enum LinearizabilityChecker {
    /// What a search may cost. It is counted, not timed, so that a history has the same verdict on every machine.
    public struct Limits: Sendable {
        /// Configurations kept for one key.
        public var configurations = 4_000_000
        /// Words of eight bytes that the sets in these take.
        public var words = 64_000_000

        public init() {}
    }

    public enum Verdict: Sendable {
        case linearizable
        case violation(Violation)
        /// Undecided: the limits were reached. Not a pass.
        case gaveUp(key: Int, operations: Int)

        public var isLinearizable: Bool { if case .linearizable = self { true } else { false } }
        public var isViolation: Bool { if case .violation = self { true } else { false } }
    }

    /// A key without any possible order, and how far the best attempt came.
    public struct Violation: Sendable, CustomStringConvertible {
        public var key: Int
        /// The order that explains most, its end only.
        public var explained: [KeyOperation]
        /// The operations that were under way or over then, none of which can come next.
        public var unexplained: [KeyOperation]

        public var description: String {
            "key \(key) has no linear order. After\n  "
                + explained.map(\.description).joined(separator: "\n  ") + "\nnone of these can be next:\n  "
                + unexplained.map(\.description).joined(separator: "\n  ")
        }
    }

    /// Values must be unique in the history. O(n log n) for the histories that servers with revisions give, exponential
    /// in the number of operations under way at the same time at worst; `limits` bounds that.
    public static func check(_ history: [KeyOperation], limits: Limits = Limits()) -> Verdict {
        let keys = Dictionary(grouping: history, by: \.key).sorted { $0.key < $1.key }
        var undecided: Verdict?
        for (key, operations) in keys {
            var search = KeySearch(key: key, operations, limits)
            switch search.run() {
            case .linearizable: break
            case .gaveUp(let key, let count): undecided = undecided ?? .gaveUp(key: key, operations: count)
            // Found is found, whatever stays undecided for other keys.
            case .violation(let violation): return .violation(violation)
            }
        }
        return undecided ?? .linearizable
    }
}

/// The state of one key, as far as an order of operations determines it.
struct KeyState: Hashable {
    var value: UInt64?
    /// The store's revision is known to be at least this.
    var revision: Int64 = 0

    /// The state after `operation`, or nil if it cannot have had its answer in this state.
    /// - Parameter revision: of the change that an operation without an answer made, if somebody saw that.
    func after(_ operation: KeyOperation, seenAt revision: Int64?) -> KeyState? {
        guard let completion = operation.completion else { return changed(by: operation.action, at: revision) }
        switch completion.answer {
        case .read(let seen), .refused(let seen):
            guard seen?.value == value else { return nil }
            return unchanged(at: completion.revision)
        case .deleted(nil):
            return value == nil ? unchanged(at: completion.revision) : nil
        case .deleted(let seen?):
            return seen.value == value ? changed(by: operation.action, at: completion.revision) : nil
        case .put, .swapped:
            return changed(by: operation.action, at: completion.revision)
        }
    }

    private func unchanged(at revision: Int64?) -> KeyState? {
        guard let revision else { return self }
        return revision >= self.revision ? KeyState(value: value, revision: revision) : nil
    }

    private func changed(by action: KeyOperation.Action, at revision: Int64?) -> KeyState? {
        if let revision, revision <= self.revision { return nil }
        let revision = revision ?? self.revision
        switch action {
        case .put(let value): return KeyState(value: value, revision: revision)
        case .delete: return value == nil ? nil : KeyState(value: nil, revision: revision)
        case .compareAndSwap(let expected, let new):
            return expected == value ? KeyState(value: new, revision: revision) : nil
        case .get: return nil
        }
    }
}
