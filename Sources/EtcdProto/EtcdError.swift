/// The status codes of gRPC.
public enum GRPCCode: UInt8, Sendable, Hashable {
    case ok = 0
    case cancelled = 1
    case unknown = 2
    case invalidArgument = 3
    case deadlineExceeded = 4
    case notFound = 5
    case alreadyExists = 6
    case permissionDenied = 7
    case resourceExhausted = 8
    case failedPrecondition = 9
    case aborted = 10
    case outOfRange = 11
    case unimplemented = 12
    case `internal` = 13
    case unavailable = 14
    case dataLoss = 15
    case unauthenticated = 16
}

/// An error of etcd's API: clients tell them apart by the text, so it is part of the protocol.
public struct EtcdError: Error, Hashable, Sendable, CustomStringConvertible {
    public var code: GRPCCode
    public var message: String

    public init(_ code: GRPCCode, _ message: String) {
        self.code = code
        self.message = message
    }

    public var description: String { message }
}

extension EtcdError {
    public static let emptyKey = EtcdError(.invalidArgument, "etcdserver: key is not provided")
    public static let keyNotFound = EtcdError(.invalidArgument, "etcdserver: key not found")
    public static let valueProvided = EtcdError(.invalidArgument, "etcdserver: value is provided")
    public static let leaseProvided = EtcdError(.invalidArgument, "etcdserver: lease is provided")
    public static let tooManyOps = EtcdError(.invalidArgument, "etcdserver: too many operations in txn request")
    public static let duplicateKey = EtcdError(.invalidArgument, "etcdserver: duplicate key given in txn request")
    public static let invalidClientAPIVersion = EtcdError(
        .invalidArgument, "etcdserver: invalid client api version")
    public static let invalidSortOption = EtcdError(.invalidArgument, "etcdserver: invalid sort option")
    public static let compacted = EtcdError(
        .outOfRange, "etcdserver: mvcc: required revision has been compacted")
    public static let futureRevision = EtcdError(
        .outOfRange, "etcdserver: mvcc: required revision is a future revision")
    public static let noSpace = EtcdError(.resourceExhausted, "etcdserver: mvcc: database space exceeded")
    public static let leaseNotFound = EtcdError(.notFound, "etcdserver: requested lease not found")
    public static let leaseExists = EtcdError(.failedPrecondition, "etcdserver: lease already exists")
    public static let leaseTTLTooLarge = EtcdError(.outOfRange, "etcdserver: too large lease TTL")
    /// Of a member that does not lead, when it is asked about the time of a lease.
    public static let notPrimaryLessor = EtcdError(.unknown, "not a primary lessor")
    public static let requestTooLarge = EtcdError(.invalidArgument, "etcdserver: request is too large")
    /// Declared RESOURCE_EXHAUSTED in etcd's list, but its servers send UNKNOWN.
    public static let tooManyRequests = EtcdError(.unknown, "etcdserver: too many requests")
    public static let noLeader = EtcdError(.unavailable, "etcdserver: no leader")
    public static let notLeader = EtcdError(.failedPrecondition, "etcdserver: not leader")
    public static let leaderChanged = EtcdError(.unavailable, "etcdserver: leader changed")
    public static let stopped = EtcdError(.unavailable, "etcdserver: server stopped")
    public static let timeout = EtcdError(.unavailable, "etcdserver: request timed out")
    public static let timeoutDueToLeaderFailure = EtcdError(
        .unavailable, "etcdserver: request timed out, possibly due to previous leader failure")
    public static let timeoutDueToConnectionLost = EtcdError(
        .unavailable, "etcdserver: request timed out, possibly due to connection lost")
    public static let corrupt = EtcdError(.dataLoss, "etcdserver: corrupt cluster")
    public static let notSupportedForLearner = EtcdError(
        .failedPrecondition, "etcdserver: rpc not supported for learner")
    public static let memberNotFound = EtcdError(.notFound, "etcdserver: member not found")
    public static let memberExists = EtcdError(.failedPrecondition, "etcdserver: member ID already exist")
    public static let peerURLExists = EtcdError(.failedPrecondition, "etcdserver: Peer URLs already exists")
    /// Declared FAILED_PRECONDITION in etcd's list, but its servers send UNKNOWN.
    public static let notEnoughStartedMembers = EtcdError(
        .unknown, "etcdserver: re-configuration failed due to not enough started members")
    public static let badMemberURLs = EtcdError(.invalidArgument, "etcdserver: given member URLs are invalid")
    public static let memberNotLearner = EtcdError(
        .failedPrecondition, "etcdserver: can only promote a learner member")
    public static let learnerNotReady = EtcdError(
        .failedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader")
    public static let tooManyLearners = EtcdError(
        .failedPrecondition, "etcdserver: too many learner members in cluster")
    public static let unhealthy = EtcdError(.unavailable, "etcdserver: unhealthy cluster")
    public static let badLeaderTransferee = EtcdError(.failedPrecondition, "etcdserver: bad leader transferee")
    /// Not in etcd's list of errors with a code, so its servers send UNKNOWN.
    public static let leaderTransferTimeout = EtcdError(
        .unknown, "etcdserver: request timed out, leader transfer took too long")
    public static let wrongDowngradeVersionFormat = EtcdError(
        .invalidArgument, "etcdserver: wrong downgrade target version format")
    public static let invalidDowngradeTarget = EtcdError(
        .invalidArgument, "etcdserver: invalid downgrade target version")
    public static let clusterVersionUnavailable = EtcdError(
        .failedPrecondition, "etcdserver: cluster version not found during downgrade")
    public static let downgradeInProgress = EtcdError(
        .failedPrecondition, "etcdserver: cluster has a downgrade job in progress")
    public static let unknownMethod = EtcdError(.unknown, "etcdserver: unknown method")
    public static let canceled = EtcdError(.cancelled, "etcdserver: request canceled")
    /// As the Go library words the end of a call's own deadline.
    public static let deadlineExceeded = EtcdError(.deadlineExceeded, "context deadline exceeded")
}
