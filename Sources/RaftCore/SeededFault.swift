/// Mistakes that can be switched on in a debug build, to show that the checkers of the property tests see them.
///
/// Each is one that an implementation of Raft could plausibly make. In a release build `Raft.has(_:)` is the constant
/// false and none of this exists.
package enum SeededFault: String, Sendable, CaseIterable {
    /// Commits an entry of an older term by counting copies (Raft thesis, figure 3.7).
    case commitOlderTerm
    /// Counts the leader's own copy before it is durable.
    case countOwnUndurable
    /// Acknowledges an append before it is durable.
    case acknowledgeBeforeDurable
    /// Sends a vote before it is durable.
    case voteBeforeDurable
    /// Grants a vote though another was granted in the term.
    case voteTwice
    /// Grants a vote to a candidate whose log is behind.
    case voteForStaleLog
    /// Takes an append without checking the entry before it.
    case skipPreviousCheck
    /// Keeps conflicting entries and appends behind them.
    case keepConflicts
    /// Tells a follower in a heartbeat of commits beyond what it is known to have.
    case heartbeatCommitUnclamped
    /// Counts only the incoming half of a joint configuration.
    case ignoreOutgoingVoters
    /// Takes a configuration change while another is not applied.
    case manyPendingConfChanges
    /// Changes several voters in one step.
    case changeManyVotersAtOnce
    /// Answers a read before a quorum has confirmed the leader.
    case readWithoutQuorum
    /// Answers reads before anything of the leader's term is committed.
    case readBeforeTermCommit
    /// Sends a candidate's request at the term it had before.
    case reuseTerm
}

extension Raft {
    @inline(__always) var hasFault: Bool {
        #if DEBUG
            config.fault != nil
        #else
            false
        #endif
    }

    @inline(__always) func has(_ fault: SeededFault) -> Bool {
        #if DEBUG
            config.fault == fault
        #else
            false
        #endif
    }
}
