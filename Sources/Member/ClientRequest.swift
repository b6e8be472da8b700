public import Auth
public import Base
public import EtcdProto
public import MVCC
public import Platform

/// What a client asks of a member. The caller has checked what can be checked without state (empty keys, number of
/// operations, duplicates); the member checks the rest.
public struct ClientRequest: Sendable {
    public enum Body: Sendable {
        /// `RangeRequest`, encoded.
        case range([UInt8])
        /// `PutRequest`, encoded.
        case put([UInt8])
        /// `DeleteRangeRequest`, encoded.
        case deleteRange([UInt8])
        /// `TxnRequest`, encoded, and what kind of path it takes.
        case txn([UInt8], TxnPath)
        /// `CompactionRequest`, encoded.
        case compaction([UInt8])
        /// `AlarmRequest`, encoded; reads of the list go through raft too, as in etcd.
        case alarm([UInt8])
        /// A copy of the backend that holds all that has been applied so far; it comes with the answer.
        case snapshot
        /// Nothing to do: the backend's file shortens itself. Answered at once.
        case defragment
        /// `HashKVRequest`, encoded.
        case hashKV([UInt8])
        /// `StatusRequest` (no fields).
        case status
        case memberList(linearizable: Bool)
        case memberAdd(peerURLs: [String], isLearner: Bool)
        case memberRemove(MemberID)
        case memberUpdate(MemberID, peerURLs: [String])
        /// - forwarded: another member asks; only the leader knows whether the learner is ready, and nobody asks on.
        case memberPromote(MemberID, forwarded: Bool)
        case moveLeader(to: MemberID)
        /// `DowngradeRequest`, encoded.
        case downgrade([UInt8])
        /// `LeaseGrantRequest`, encoded. One without an ID gets one.
        case leaseGrant([UInt8])
        case leaseRevoke(LeaseID)
        /// All leases that this member knows.
        case leases
        /// The leader answers; a question of a client is passed on to it. The answer is an encoded
        /// `LeaseKeepAliveResponse` or `LeaseTimeToLiveResponse`.
        case lease(LeaseQuestion)
        /// A linearizable or serializable read of nothing in particular: `/health`, `/livez`, `/readyz`. The answer is
        /// empty.
        case probe(linearizable: Bool)
    }

    /// Which way a transaction goes.
    public enum TxnPath: Sendable {
        /// Contains a change, or a nested transaction: through raft.
        case write
        /// Only ranges, at least one of them linearizable.
        case linearizableRead
        /// Only ranges, all serializable; or nothing at all.
        case serializableRead
    }

    /// The caller's own mark; it comes back with the answer.
    public var ticket: UInt64
    public var body: Body
    /// When the caller gives up; nil for the member's request timeout (5 s + 2 × election timeout), which is also the
    /// longest; a change of the membership and a move of leadership may take up to `MemberLimits.membershipWait`.
    public var deadline: Instant?
    /// The client asked (metadata `hasleader: true`) for an error at once when no leader is known.
    public var requiresLeader: Bool
    /// How old the state may be that a range or a read-only transaction is answered from; zero is linearizable. It
    /// counts more than the read's being serializable. Nothing else looks at it.
    public var maxStaleness: Duration?
    /// On whose behalf; only looked at while authentication is on.
    public var identity: ClientIdentity
    /// Another member asks: it needs no rights, and learners answer it, too.
    public var isFromPeer: Bool

    public init(
        ticket: UInt64, body: Body, deadline: Instant? = nil, requiresLeader: Bool = false,
        identity: ClientIdentity = .nobody, isFromPeer: Bool = false, maxStaleness: Duration? = nil
    ) {
        self.maxStaleness = maxStaleness
        self.identity = identity
        self.isFromPeer = isFromPeer
        self.ticket = ticket
        self.body = body
        self.deadline = deadline
        self.requiresLeader = requiresLeader
    }
}

/// Answers to requests of one sink, in the order in which they became ready: the encoded response messages one behind
/// the other in `bytes`.
public struct ResponseBatch: Sendable {
    public struct Response: Sendable {
        public var ticket: UInt64
        /// Where the encoded response message lies in `bytes`; empty when `error` is set.
        public var range: Range<Int>
        public var error: EtcdError?
        /// Set in the answer to `ClientRequest.Body.snapshot`.
        public var snapshot: BackendSnapshot?
        /// Set in the answer to a bounded read: whoever passes it on looks at the clock once more.
        public var age: StateAge?

        public init(
            ticket: UInt64, range: Range<Int>, error: EtcdError? = nil, snapshot: BackendSnapshot? = nil,
            age: StateAge? = nil
        ) {
            self.age = age
            self.ticket = ticket
            self.range = range
            self.error = error
            self.snapshot = snapshot
        }
    }

    public var bytes: [UInt8] = []
    public var responses: [Response] = []

    public init() {}
}

/// A copy of the backend, for whoever asked for it to read and close.
public struct BackendSnapshot: Sendable {
    public var copy: BackendCopy
    /// The version of the backend's schema, such as `3.7.0`; empty where it tells none.
    public var storageVersion: String

    public init(copy: BackendCopy, storageVersion: String) {
        self.copy = copy
        self.storageVersion = storageVersion
    }
}

/// Where answers go: one for each event loop of the server.
public protocol ResponseSink: AnyObject, Sendable {
    /// Called in a turn of the member, at most once for each; must neither block nor call the member. That may be on
    /// the sink's own thread while it calls the member, and the turn is over before that call returns.
    func deliver(_ batch: consuming ResponseBatch)
}
