/// What a read saw of a key. Every value is written by one operation only, so that it names the operation.
public struct SeenValue: Sendable, Hashable, CustomStringConvertible {
    public var value: UInt64
    /// The revision of the last change, as the server told it; nil if the history has no revisions.
    public var modRevision: Int64?

    public init(_ value: UInt64, modRevision: Int64? = nil) {
        self.value = value
        self.modRevision = modRevision
    }

    public var description: String { modRevision.map { "\(value)@\($0)" } ?? "\(value)" }
}

/// One call of a client that concerns one key, and what came of it.
public struct KeyOperation: Sendable, Hashable {
    public enum Action: Sendable, Hashable {
        case get
        case put(UInt64)
        case delete
        /// Puts `new` if the key's value is `expected` (nil: if there is no such key), and reads the key otherwise.
        case compareAndSwap(expected: UInt64?, new: UInt64)
    }

    public enum Answer: Sendable, Hashable {
        case read(SeenValue?)
        case put
        /// With what was deleted; nil if there was nothing.
        case deleted(SeenValue?)
        case swapped
        case refused(SeenValue?)
    }

    /// What the client was told, and when.
    public struct Completion: Sendable, Hashable {
        /// When the answer had come, on the clock of `KeyOperation.call`.
        public var time: Int64
        public var answer: Answer
        /// The revision in the answer's header: that of the change, or the newest when nothing was changed.
        public var revision: Int64?

        public init(time: Int64, answer: Answer, revision: Int64? = nil) {
            self.time = time
            self.answer = answer
            self.revision = revision
        }
    }

    public var client: Int
    public var key: Int
    public var action: Action
    /// When the client called, in units of one clock for the whole history.
    public var call: Int64
    /// nil: the client does not know whether it happened, which may be at any time after the call, or never.
    public var completion: Completion?

    public init(client: Int, key: Int, action: Action, call: Int64, completion: Completion? = nil) {
        self.client = client
        self.key = key
        self.action = action
        self.call = call
        self.completion = completion
    }

    /// Whether it is known to have changed the key.
    public var changedKey: Bool {
        switch completion?.answer {
        case .put, .swapped, .deleted(.some): true
        case .read, .refused, .deleted(.none), nil: false
        }
    }

    /// The value that it writes if it changes the key; nil for reads and deletes.
    public var writtenValue: UInt64? {
        switch action {
        case .put(let value), .compareAndSwap(_, let value): value
        case .get, .delete: nil
        }
    }

    /// What its answer shows of the key before it; nil if it shows nothing.
    var seen: SeenValue?? {
        switch completion?.answer {
        case .read(let value), .refused(let value), .deleted(let value): .some(value)
        case .put, .swapped, nil: nil
        }
    }

    /// The same without anything that only etcd's revisions tell.
    public var withoutRevisions: KeyOperation {
        var copy = self
        copy.completion?.revision = nil
        switch completion?.answer {
        case .read(let seen?): copy.completion?.answer = .read(SeenValue(seen.value))
        case .deleted(let seen?): copy.completion?.answer = .deleted(SeenValue(seen.value))
        case .refused(let seen?): copy.completion?.answer = .refused(SeenValue(seen.value))
        default: break
        }
        return copy
    }
}

extension KeyOperation: CustomStringConvertible {
    public var description: String {
        let what =
            switch action {
            case .get: "get"
            case .put(let value): "put \(value)"
            case .delete: "delete"
            case .compareAndSwap(let expected, let new): "swap \(expected.map(String.init) ?? "nothing") for \(new)"
            }
        guard let completion else { return "client \(client): \(what) key \(key), \(call)…: unknown" }
        func text(_ seen: SeenValue?) -> String { seen?.description ?? "nothing" }
        let answer =
            switch completion.answer {
            case .read(let seen): text(seen)
            case .put, .swapped: "done"
            case .deleted(let seen): "deleted \(text(seen))"
            case .refused(let seen): "refused, \(text(seen)) is there"
            }
        let revision = completion.revision.map { " at revision \($0)" } ?? ""
        return "client \(client): \(what) key \(key), \(call)…\(completion.time): \(answer)\(revision)"
    }
}
