import EtcdProto

/// A transaction in a form that tests can write down, and etcd's rules over it in their plainest form.
struct TxnModel: Sendable, CustomStringConvertible {
    indirect enum Operation: Sendable, CustomStringConvertible {
        case none
        case range(String, serializable: Bool = false)
        case put(String, value: String = "v", lease: UInt64 = 0, ignoreValue: Bool = false, ignoreLease: Bool = false)
        case delete(String, to: String = "")
        case txn(TxnModel)

        var description: String {
            switch self {
            case .none: "none"
            case .range(let key, let serializable): "range \(key.debugDescription)\(serializable ? " local" : "")"
            case .put(let key, _, _, _, _): "put \(key.debugDescription)"
            case .delete(let key, let end): "delete \(key.debugDescription) \(end.debugDescription)"
            case .txn(let txn): "txn(\(txn))"
            }
        }
    }

    var compares: [String] = []
    var success: [Operation] = []
    var failure: [Operation] = []

    var description: String { "if \(compares) then \(success) else \(failure)" }

    var encoded: [UInt8] {
        var out: [UInt8] = []
        for key in compares {
            var compare: [UInt8] = []
            if !key.isEmpty { Wire.appendBytesField(3, key.utf8, to: &compare) }
            Wire.appendBytesField(1, compare, to: &out)
        }
        for operation in success { Wire.appendBytesField(2, operation.encoded, to: &out) }
        for operation in failure { Wire.appendBytesField(3, operation.encoded, to: &out) }
        return out
    }
}

extension TxnModel.Operation {
    var encoded: [UInt8] {
        var body: [UInt8] = []
        let member: Int
        switch self {
        case .none: return []
        case .range(let key, let serializable):
            member = 1
            if !key.isEmpty { Wire.appendBytesField(1, key.utf8, to: &body) }
            if serializable { Wire.appendVarintField(7, 1, to: &body) }
        case .put(let key, let value, let lease, let ignoreValue, let ignoreLease):
            member = 2
            if !key.isEmpty { Wire.appendBytesField(1, key.utf8, to: &body) }
            if !value.isEmpty { Wire.appendBytesField(2, value.utf8, to: &body) }
            if lease != 0 { Wire.appendVarintField(3, lease, to: &body) }
            if ignoreValue { Wire.appendVarintField(5, 1, to: &body) }
            if ignoreLease { Wire.appendVarintField(6, 1, to: &body) }
        case .delete(let key, let end):
            member = 3
            if !key.isEmpty { Wire.appendBytesField(1, key.utf8, to: &body) }
            if !end.isEmpty { Wire.appendBytesField(2, end.utf8, to: &body) }
        case .txn(let txn):
            member = 4
            body = txn.encoded
        }
        var out: [UInt8] = []
        Wire.appendBytesField(member, body, to: &out)
        return out
    }
}

extension TxnModel {
    /// The overlap rule as it is told: sets of puts and lists of deletes that grow from the inside out. O(n²).
    var changesNoKeyTwice: Bool {
        Self.collect(success) != nil && Self.collect(failure) != nil
    }

    private static func collect(_ list: [Operation]) -> (puts: Set<String>, deletes: [(String, String)])? {
        var deletes: [(String, String)] = []
        var puts: Set<String> = []
        for case .delete(let key, let end) in list { deletes.append((key, end)) }
        for case .txn(let txn) in list {
            guard let success = collect(txn.success), let failure = collect(txn.failure) else { return nil }
            let nested = success.puts.union(failure.puts)
            if !nested.isDisjoint(with: puts) || nested.contains(where: { covers(deletes, $0) }) { return nil }
            puts.formUnion(nested)
            deletes += success.deletes + failure.deletes
        }
        for case .put(let key, _, _, _, _) in list {
            if covers(deletes, key) || !puts.insert(key).inserted { return nil }
        }
        return (puts, deletes)
    }

    private static func covers(_ deletes: [(String, String)], _ key: String) -> Bool {
        deletes.contains { start, end in
            end.isEmpty ? start == key : below(key, end) && !below(key, start)
        }
    }

    /// Bytewise order; that of `String` is another one.
    private static func below(_ a: String, _ b: String) -> Bool {
        a.utf8.lexicographicallyPrecedes(b.utf8)
    }
}
