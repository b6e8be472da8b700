/// How a lessor keeps time.
public struct LessorSettings: Sendable {
    /// What a new leader adds to every lease, because nobody could renew one during the election: the election timeout.
    public var grace: Duration
    /// Shorter leases, which only a file can hold that was written under other settings, last this many seconds.
    public var minimumTTL: Int64
    /// How often the time that is left of a lease is told to all members, so that the next leader need not begin it
    /// anew; nil for never. Leases that are shorter are left out.
    public var checkpointInterval: Duration?

    public init(grace: Duration, minimumTTL: Int64, checkpointInterval: Duration? = nil) {
        self.grace = grace
        self.minimumTTL = minimumTTL
        self.checkpointInterval = checkpointInterval
    }
}

/// What bounds the work of a lessor; etcd's values but for the last.
public enum LessorLimits {
    /// How often it looks for what is due.
    public static let passInterval: Duration = .milliseconds(500)
    /// Leases that are revoked after one look.
    public static let revocationsPerPass = 500
    /// Leases that may be under revocation.
    public static let revocationsUnderWay = 500
    /// A revocation that has not been applied by then is asked for again.
    public static let revocationRetry: Duration = .seconds(3)
    /// A new leader lets no more than this many leases end in a second, if there are many.
    public static let endsPerSecond = 750
    /// As many leases are many.
    public static let crowd = 1000
    /// Leases longer than this, in seconds, are not granted, and are cut down to it.
    public static let maximumTTL: Int64 = 9_000_000_000
    public static let checkpointInterval: Duration = .seconds(300)
    /// Checkpoints in one request.
    public static let checkpointsPerRequest = 1000
    /// Requests with checkpoints after one look.
    public static let checkpointRequestsPerPass = 16
}
