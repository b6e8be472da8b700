/// A change of the membership that cannot be, or a record of it that cannot be read. The texts are etcd's.
public enum MembershipError: Error, Equatable, Sendable, CustomStringConvertible {
    case idRemoved
    case idExists
    case idNotFound
    case peerURLExists
    case memberNotLearner
    case tooManyLearners
    /// A row of the backend, or the context of a configuration change, that is no member record.
    case malformedRecord(String)
    /// A version that is not `major.minor.patch`.
    case malformedVersion(String)

    public var description: String {
        switch self {
        case .idRemoved: "membership: ID removed"
        case .idExists: "membership: ID exists"
        case .idNotFound: "membership: ID not found"
        case .peerURLExists: "membership: peerURL exists"
        case .memberNotLearner: "membership: can only promote a learner member"
        case .tooManyLearners: "membership: too many learner members in cluster"
        case .malformedRecord(let what): "membership: malformed record: \(what)"
        case .malformedVersion(let what): "membership: malformed version \"\(what)\""
        }
    }
}
