import EtcdProto

/// Where Martlet, which speaks etcd 3.7, must answer differently from etcd 3.5.1; the sections are those of the notes
/// on the API's behaviour. Everything that is not listed here has to be equal.
struct KnownDifference: Sendable {
    var name: String
    /// The answer that is expected from 3.7 where the case applies; nil elsewhere.
    /// - Parameter reference: what 3.5.1 answered.
    var expected: @Sendable (_ request: KVRequest, _ reference: KVAnswer) -> KVAnswer?

    static let all: [KnownDifference] = [
        KnownDifference(name: "unknown sort orders and targets are refused (3.5 ignores them)") { request, reference in
            // Section 1.3; in a transaction, 1.7.
            switch request {
            case .range(let range) where range.isSortInvalid && !range.key.isEmpty:
                .failure(EtcdError.invalidSortOption)
            case .txn(let txn):
                txn.firstRangeFault.map { .failure($0) }
            default: nil
            }
        },
        KnownDifference(name: "HashKV tells the revision that it covers (since 3.6)") { request, reference in
            // Section 7.6.
            guard case .hashKV(let request) = request, case .hashKV(var response) = reference else { return nil }
            response.hashRevision = request.revision == 0 ? response.header.revision : request.revision
            return .hashKV(response)
        },
    ]

    /// What Martlet has to answer, given what etcd 3.5.1 did.
    static func expectation(for request: KVRequest, reference: KVAnswer) -> KVAnswer {
        for difference in all {
            if let answer = difference.expected(request, reference) { return answer }
        }
        return reference
    }
}

extension KVAnswer {
    static func failure(_ error: EtcdError) -> KVAnswer { .failure(error.code, error.message) }
}

extension Etcdserverpb_RangeRequest {
    var isSortInvalid: Bool {
        if case .UNRECOGNIZED = sortOrder { return true }
        if case .UNRECOGNIZED = sortTarget { return true }
        return false
    }
}

extension Etcdserverpb_TxnRequest {
    /// The first fault of a transaction that holds a range with an invalid sort option, in the order of etcd's checks;
    /// nil if no range has one.
    fileprivate var firstRangeFault: EtcdError? {
        let ranges = (success + failure).compactMap { operation in
            if case .requestRange(let range) = operation.request { range } else { nil }
        }
        guard ranges.contains(where: \.isSortInvalid) else { return nil }
        if max(compare.count, success.count, failure.count) > 128 { return .tooManyOps }
        if compare.contains(where: \.key.isEmpty) { return .emptyKey }
        for range in ranges {
            if range.key.isEmpty { return .emptyKey }
            if range.isSortInvalid { return .invalidSortOption }
        }
        return nil
    }
}
