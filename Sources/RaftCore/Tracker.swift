internal import Base

/// The membership that is in force on a node.
public struct Configuration: Sendable, Hashable {
    /// Who votes.
    public internal(set) var voters = JointConfig()
    /// Whether the joint configuration is left by itself once it is applied.
    public internal(set) var autoLeave = false
    /// Members that receive the log and do not vote. Never voters of either half.
    public internal(set) var learners = MajorityConfig()
    /// Voters of the outgoing half that become learners when the joint configuration is left.
    public internal(set) var learnersNext = MajorityConfig()

    /// A configuration without members.
    public init() {}

    /// In the form of snapshots.
    public var confState: ConfState {
        ConfState(
            voters: voters.incoming.ids, learners: learners.ids, votersOutgoing: voters.outgoing.ids,
            learnersNext: learnersNext.ids, autoLeave: autoLeave)
    }
}

/// The membership together with what is known about each member and the votes of the current election.
package struct Tracker: Sendable {
    package var configuration = Configuration()
    package var progress = ProgressMap()
    /// In the order of arrival; the first answer of a member counts.
    private var votes: [(id: MemberID, granted: Bool)] = []
    let maxInflightMessages: Int
    let maxInflightBytes: UInt64

    package init(maxInflightMessages: Int, maxInflightBytes: UInt64) {
        self.maxInflightMessages = maxInflightMessages
        self.maxInflightBytes = maxInflightBytes
    }

    var newInflights: Inflights { Inflights(maxCount: maxInflightMessages, maxBytes: maxInflightBytes) }

    /// Whether exactly one node decides.
    var isSingleton: Bool { configuration.voters.incoming.count == 1 && !configuration.voters.isJoint }

    /// The highest index that a quorum has.
    func committedIndex() -> LogIndex {
        configuration.voters.committedIndex { id in
            guard let p = progress.position(id) else { return nil }
            return progress[at: p].match
        }
    }

    /// Whether the members heard from since the last check make a quorum.
    var quorumActive: Bool {
        configuration.voters.voteResult { id in
            guard let p = progress.position(id), !progress[at: p].isLearner else { return nil }
            return progress[at: p].recentActive
        } == .won
    }

    /// Whether those that have been silent for less than `limit` ticks make a quorum.
    func quorumAnswers(within limit: Int) -> Bool {
        configuration.voters.voteResult { id in
            guard let p = progress.position(id), !progress[at: p].isLearner else { return nil }
            return progress[at: p].silentTicks < limit
        } == .won
    }

    mutating func resetVotes() { votes.removeAll(keepingCapacity: true) }

    mutating func recordVote(_ id: MemberID, granted: Bool) {
        if votes.contains(where: { $0.id == id }) { return }
        votes.append((id, granted))
    }

    /// How the voting stands; the counts are those of members that vote.
    func tally() -> (granted: Int, rejected: Int, result: VoteResult) {
        var granted = 0
        var rejected = 0
        for vote in votes {
            guard let p = progress.position(vote.id), !progress[at: p].isLearner else { continue }
            if vote.granted { granted += 1 } else { rejected += 1 }
        }
        let result = configuration.voters.voteResult { id in votes.first { $0.id == id }?.granted }
        return (granted, rejected, result)
    }
}
