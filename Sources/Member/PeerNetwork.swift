public import Base
public import EtcdProto
public import MVCC
public import Platform
public import RaftCore

/// The way to the other members. `PeerTransport` implements it over HTTP; the simulator passes values along.
public protocol PeerNetwork: AnyObject, Sendable {
    /// Takes what one turn of the member has for its peers. Called in the member's turn, at most once; must
    /// not block. Whatever cannot be delivered is reported, never retried: raft does that.
    func carry(_ work: consuming PeerWork)
    /// Called after turns, by the thread that took them, if it is about to wait or to sync the log: where the network
    /// lives on that thread, it sends what it was given now. Otherwise it does nothing.
    func attend()
}

/// What a member has for its peers. The changes come first: messages may go to a peer that was added with them.
public struct PeerWork: Sendable {
    public var changes: [PeerChange] = []
    public var messages: [Message] = []
    public var snapshots: [OutgoingSnapshot] = []
    /// All members are to be asked for their versions; the answer is a `PeerReport.versions`.
    public var asksVersions = false
    public var promotions: [ForwardedPromotion] = []
    /// What entries did, for the others to compare; nil when it is as before.
    public var effects: EffectsAccount?
    public var leaseQuestions: [ForwardedLeaseQuestion] = []
    /// What is asked and answered about members' data; see PeerNetwork+Corruption.swift.
    public var corruption: [CorruptionWork] = []

    public init() {}

    public var isEmpty: Bool {
        changes.isEmpty && messages.isEmpty && snapshots.isEmpty && promotions.isEmpty && leaseQuestions.isEmpty
            && corruption.isEmpty && !asksVersions && effects == nil
    }
}

/// A change of whom there is to talk to.
public enum PeerChange: Sendable, Equatable {
    /// A member of the cluster. One that is known already gets the URLs.
    case add(MemberID, peerURLs: [String])
    case remove(MemberID)
    /// A member of which the log does not tell yet: only answers go to it.
    case introduce(MemberID, peerURLs: [String])

    public var isRemoval: Bool {
        if case .remove = self { true } else { false }
    }
}

/// A promotion that the leader is to make, as it knows whether the learner has caught up.
public struct ForwardedPromotion: Sendable, Equatable {
    /// Comes back with the answer.
    public var number: UInt64
    public var learner: MemberID
    public var leader: MemberID

    public init(number: UInt64, learner: MemberID, leader: MemberID) {
        self.number = number
        self.learner = learner
        self.leader = leader
    }
}

/// A raft snapshot on its way to a peer: the message, and the backend file in exactly the state that it names.
public struct OutgoingSnapshot: Sendable {
    public var message: Message
    public var database: BackendCopy

    public init(message: Message, database: BackendCopy) {
        self.message = message
        self.database = database
    }
}

/// What the network tells a member.
public enum PeerReport: Sendable {
    /// From peers, in the order in which they came; of one event loop's turn.
    case messages([Message])
    /// Messages to a peer were dropped.
    case unreachable(MemberID)
    /// A snapshot has arrived, or has not.
    case snapshotSent(to: MemberID, failed: Bool)
    /// Since when a peer has been reached without a failure; nil while it is not.
    case activity(of: MemberID, since: Instant?)
    /// All connections with a peer are lost and its machine says that nobody listens at any of its addresses: its
    /// process has ended. Told once until it is reached again.
    case ended(MemberID)
    /// What the members answered when asked for their versions; nil for one that did not answer. Ordered by ID.
    case versions([PeerVersions])
    /// What a member says of its entries has changed.
    case effects(of: MemberID, EffectsAccount)
    case corruption(CorruptionReport)
    /// The leader has answered a forwarded promotion.
    case promoted(number: UInt64, EtcdError?)
    /// The leader has answered a question about a lease; nil when it could not be asked, or does not lead.
    case leaseAnswered(number: UInt64, LeaseAnswer?)
    /// A peer says that this member was removed from the cluster: it has to stop.
    case removedFromCluster
}

/// A member's answer to `/version`.
public struct PeerVersions: Sendable, Equatable {
    public var member: MemberID
    /// The program's version, such as `3.5.1`; nil when it did not answer.
    public var server: String?
    /// The cluster version that it knows, such as `3.5.0`.
    public var cluster: String?

    public init(member: MemberID, server: String?, cluster: String?) {
        self.member = member
        self.server = server
        self.cluster = cluster
    }
}

/// A member as the network sees it.
public protocol PeerHost: AnyObject, Sendable {
    /// May be called on any thread.
    /// - Parameter isIdle: the caller has nothing else to do, and does not mind a quick write to the disk.
    /// - Returns: false when the member takes no more now: messages are then dropped.
    @discardableResult
    func report(_ report: PeerReport, isIdle: Bool) -> Bool
    /// Hands over requests, all or none, as `MemberLoop.submit` does.
    func submit(_ requests: [ClientRequest], sink: any ResponseSink) -> Bool
    @discardableResult
    func withStatistics(_ body: @escaping @Sendable (MemberStatistics) -> Void) -> Bool
}
