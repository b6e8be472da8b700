internal import Base
internal import Platform

/// What a member knows of the others besides the log: since when they can be reached, and of which versions they are.
struct PeerRecords {
    /// When this member was started.
    let startedAt: Instant
    private var activeSince: [MemberID: Instant] = [:]
    /// The server versions of those that have answered.
    private var versions: [MemberID: String] = [:]
    /// A round of questions for versions is under way.
    var isAskingVersions = false
    /// When versions are asked for again.
    var nextVersionRound: Instant

    init(startedAt: Instant) {
        self.startedAt = startedAt
        nextVersionRound = startedAt
    }

    mutating func setActivity(of id: MemberID, since: Instant?) { activeSince[id] = since }

    /// Since when a peer has been reached without a failure; nil while it is not.
    func activity(of id: MemberID) -> Instant? { activeSince[id] }

    mutating func take(_ answers: [PeerVersions]) {
        for answer in answers { versions[answer.member] = answer.server }
    }

    /// nil when it has never answered, or did not last time.
    func version(of id: MemberID) -> String? { versions[id] }

    mutating func forget(_ id: MemberID) {
        activeSince[id] = nil
        versions[id] = nil
    }
}

/// Watches when heartbeats leave: a leader that is late with them is overloaded, or its disk is slow.
struct HeartbeatContention {
    /// The longest time between two heartbeats to one peer.
    let limit: Duration
    private var last: [MemberID: Instant] = [:]

    init(limit: Duration) { self.limit = limit }

    /// A heartbeat leaves for `peer`.
    /// - Returns: by how much it is late; nil when it is not.
    mutating func observe(_ peer: MemberID, at now: Instant) -> Duration? {
        defer { last[peer] = now }
        guard let before = last[peer], now - before > limit else { return nil }
        return now - before - limit
    }

    /// Heartbeats have begun anew: leadership has changed.
    mutating func reset() { last.removeAll() }
}
