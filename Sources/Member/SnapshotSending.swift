package import Base
package import Platform
package import RaftCore

/// Snapshots for peers that are too far behind for the log (docs/decisions/136-failed-snapshots.md).
///
/// What goes out is the state of the backend file after a commit, with index, term, configuration and membership as
/// they were when that commit was frozen, not the snapshot that raft asked for: it is newer, and needs no file of its
/// own.
package struct SnapshotSending {
    /// The most snapshots on their way at once (etcd's value), one for each peer.
    package static let limit = 16
    /// How long after a snapshot has arrived the log is kept for its receiver.
    package static let logRetention: Duration = .seconds(30)
    /// The pause after a snapshot that did not arrive; it doubles with each further one, up to the longest.
    package static let shortestPause: Duration = .milliseconds(500)
    package static let longestPause: Duration = .seconds(30)

    private struct Failure {
        var peer: MemberID
        var pause: Duration
        var until: Instant
    }

    /// Raft's requests that wait for the file to be in a known state.
    private var waiting: [Message] = []
    /// The state that the file is in, or will be in after the commit under way, and for whom it is copied.
    private var fixed: (messages: [Message], snapshot: Snapshot)?
    private var underWay: [MemberID] = []
    /// Of peers to which the last snapshot did not arrive.
    private var failures: [Failure] = []
    private var keepsLogUntil = Instant(nanoseconds: 0)

    package init() {}

    /// Whether a known state of the file is needed.
    package var isWaiting: Bool { !waiting.isEmpty && fixed == nil }

    /// - Returns: false when there are too many, when one is on its way to this peer, or when the last one to it has
    ///   failed a short while ago.
    package mutating func request(_ message: Message, at now: Instant) -> Bool {
        let peer = message.to
        guard underWay.count + waiting.count + (fixed?.messages.count ?? 0) < Self.limit,
            !underWay.contains(peer), !waiting.contains(where: { $0.to == peer }),
            fixed?.messages.contains(where: { $0.to == peer }) != true,
            !failures.contains(where: { $0.peer == peer && now < $0.until })
        else { return false }
        waiting.append(message)
        return true
    }

    /// The file is in this state once what the backend's thread has been given is done.
    package mutating func fix(_ snapshot: Snapshot) {
        fixed = (waiting, snapshot)
        waiting = []
    }

    /// The file has been copied.
    package mutating func copied() -> (messages: [Message], snapshot: Snapshot)? {
        defer { fixed = nil }
        underWay.append(contentsOf: fixed?.messages.map(\.to) ?? [])
        return fixed
    }

    /// It is not sent after all.
    package mutating func dropped(_ peer: MemberID) { underWay.removeAll { $0 == peer } }

    /// A snapshot has arrived at a peer, or has not.
    /// - Returns: how long none is sent to it, after a failure.
    package mutating func ended(_ peer: MemberID, failed: Bool, at now: Instant) -> Duration? {
        dropped(peer)
        let former = failures.firstIndex { $0.peer == peer }
        guard failed else {
            if let former { failures.remove(at: former) }
            keepsLogUntil = now + Self.logRetention
            return nil
        }
        let pause = former.map { min(failures[$0].pause * 2, Self.longestPause) } ?? Self.shortestPause
        let failure = Failure(peer: peer, pause: pause, until: now + pause)
        if let former { failures[former] = failure } else { failures.append(failure) }
        return pause
    }

    /// A peer is no member any more.
    package mutating func forget(_ peer: MemberID) { failures.removeAll { $0.peer == peer } }

    /// Whether the log must not be cut now.
    package func keepsLog(at now: Instant) -> Bool {
        !underWay.isEmpty || !waiting.isEmpty || fixed != nil || now < keepsLogUntil
    }
}
