public import Base
public import EtcdProto
public import Leasing
public import MVCC
public import Membership

/// What came of an entry.
public struct AppliedEntry: Sendable, Equatable {
    public enum Outcome: Sendable, Equatable {
        /// Where the encoded response lies in the caller's buffer.
        case response(Range<Int>)
        /// The request was refused; the store is unchanged (but for a write beyond the quota, see `exceedsQuota`).
        case failure(EtcdError)
        /// Nothing to answer.
        case none
    }

    /// Under which ID the proposer waits; 0 for nobody.
    public var requestID: UInt64
    public var outcome: Outcome
    /// The answer may go out only once the compaction has removed its rows.
    public var waitsForCompaction = false
    /// The write was carried out although this member has no room for it: the member is to raise NOSPACE.
    public var exceedsQuota = false
    /// The version of the cluster went down from this one.
    public var loweredClusterVersion: SemanticVersion?
    /// What whoever keeps the time of the leases has to know.
    public var leases = LeaseChange.none

    init(requestID: UInt64, outcome: Outcome) {
        self.requestID = requestID
        self.outcome = outcome
    }

    static let nothing = AppliedEntry(requestID: 0, outcome: .none)
}

/// What an entry has done to the leases.
public enum LeaseChange: Sendable, Equatable {
    case none
    case granted(LeaseRecord)
    case revoked(LeaseID)
    case checkpointed([LeaseCheckpoint])
}

/// Why an entry cannot be applied. The member must stop: going on would make its state differ from the others'.
public enum ApplyError: Error, Equatable, Sendable, CustomStringConvertible {
    case malformed(index: LogIndex, WireError)
    /// A password in clear, as members before 3.5 logged it, and nothing to hash it with.
    case noPasswordHash(index: LogIndex)
    /// A request of a newer version.
    case unknownRequest(index: LogIndex, field: Int)
    case backend(index: LogIndex, BackendError)

    public var description: String {
        switch self {
        case .malformed(let index, let error): "entry \(index) holds no request: \(error)"
        case .noPasswordHash(let index):
            "entry \(index) holds a password that is to be hashed, and there is no bcrypt here"
        case .unknownRequest(let index, let field):
            "entry \(index) holds a request that this version does not know (field \(field))"
        case .backend(let index, let error): "entry \(index): \(error)"
        }
    }
}
