/// How often a simulation did each of its things. A test demands some of each, so that one that no longer happens
/// shows.
public struct RaftSimulationCounts: Sendable {
    public enum Event: Int, Sendable, CaseIterable {
        // Of the network.
        case messageDelivered, messageLost, messageDuplicated, messageReordered, networkSplit
        // Of the disk and the process.
        case crash, restart
        /// Writes that were under way at a crash and are gone.
        case tailLost
        /// Writes that were under way at a crash and had reached the disk.
        case tailKept
        /// A write at a crash of which the first entries had reached the disk, and the hard state had not.
        case writeTorn
        /// A commit index that was written and not synced, and is gone.
        case commitLost
        // Of the cluster.
        case leaderElected, preVoteAsked, transferCompleted, leaderForgotten
        case entryProposed, proposalRefused, entryApplied
        case changedSimply, jointEntered, jointLeft, learnerAdded, memberRemoved
        case logCompacted, snapshotSent, snapshotRestored
        case readAsked, readAnswered, readForwarded
    }

    private var counts = [Int](repeating: 0, count: Event.allCases.count)
    /// Runs by the number of their first voters.
    public private(set) var runsByVoters = [Int](repeating: 0, count: 8)
    /// Runs that ended with members that could not agree on the membership any more, as etcd's rules allow.
    public internal(set) var deadlocks = 0

    public init() {}

    public subscript(event: Event) -> Int {
        get { counts[event.rawValue] }
        set { counts[event.rawValue] = newValue }
    }

    mutating func started(voters: Int) { runsByVoters[voters] += 1 }

    public static func += (a: inout Self, b: Self) {
        for i in a.counts.indices { a.counts[i] += b.counts[i] }
        a.deadlocks += b.deadlocks
        for i in a.runsByVoters.indices { a.runsByVoters[i] += b.runsByVoters[i] }
    }

    /// One line for each event.
    public var summary: String {
        Event.allCases.map { "\($0): \(self[$0])" }.joined(separator: "\n")
    }
}
