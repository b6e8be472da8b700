public import Base

/// What a member's transport has carried since it was started, for `/metrics`.
public struct NetworkStatistics: Sendable {
    /// The peers of now, ordered by ID.
    public var peers: [Peer] = []
    /// Snapshots that came from senders that did not say who they are, or are no peers.
    public var strangers = Peer(.none)

    public init() {}

    /// What went to and came from one peer.
    public struct Peer: Sendable {
        public var id: MemberID
        /// Whether it can be reached; nil before the first success.
        public var isActive: Bool?
        /// Times that it could be reached and then could not.
        public var disconnections: UInt64 = 0
        /// Streams, posts and databases.
        public var sentBytes: UInt64 = 0
        public var receivedBytes: UInt64 = 0
        /// Times that messages to it were dropped or not taken.
        public var sendFailures: UInt64 = 0
        /// Messages and snapshots from it that could not be read, or that this member did not take.
        public var receiveFailures: UInt64 = 0
        /// Of probes, in seconds.
        public var roundTrips = Histogram(from: 0.0001, doubling: 16)
        /// By how many seconds this member's clock is ahead of the peer's, by the last probe that was answered.
        public var clockDifference: Double?
        public var snapshotsSent = Snapshots()
        public var snapshotsReceived = Snapshots()

        public init(_ id: MemberID) { self.id = id }
    }

    /// Database snapshots in one direction.
    public struct Snapshots: Sendable {
        public var underWay = 0
        public var succeeded: UInt64 = 0
        public var failed: UInt64 = 0
        /// Of those that succeeded, in seconds.
        public var durations = Histogram(from: 0.1, doubling: 10)

        public init() {}

        public var hasBegun: Bool { underWay > 0 || succeeded > 0 || failed > 0 }

        public mutating func begin() { underWay += 1 }

        /// - Parameter seconds: what it took; nil for one that failed.
        public mutating func end(after seconds: Double?) {
            underWay -= 1
            guard let seconds else {
                failed += 1
                return
            }
            succeeded += 1
            durations.observe(seconds)
        }
    }
}
