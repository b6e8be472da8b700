public import Base

/// Why a proposal was not accepted. Nothing of it was appended; the proposer may try again.
public enum ProposalError: Error, Hashable {
    /// No leader is known, or an election is under way.
    case noLeader(term: Term)
    /// This node is no leader and may not forward.
    case forwardingDisabled(leader: MemberID)
    /// The leader has been removed from the configuration and takes no more proposals.
    case removed
    /// Leadership is being handed over.
    case transferInProgress(to: MemberID)
    /// The payload of the entries that wait for commitment would exceed the limit, in bytes.
    case uncommittedSizeExceeded(limit: UInt64)
    /// A proposal without entries.
    case empty
    /// An entry of a configuration-change type whose data is no configuration change.
    case malformedConfChange(ConfChangeDecodingError)
}

extension ProposalError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .noLeader(let term): "proposal dropped: no leader at term \(term)"
        case .forwardingDisabled(let leader):
            "proposal dropped: not the leader, and forwarding to \(leader) is disabled"
        case .removed: "proposal dropped: this leader is no longer a member"
        case .transferInProgress(let to): "proposal dropped: leadership is being transferred to \(to)"
        case .uncommittedSizeExceeded(let limit):
            "proposal dropped: uncommitted entries would exceed \(limit) bytes"
        case .empty: "proposal dropped: it has no entries"
        case .malformedConfChange(let error): "proposal dropped: \(error)"
        }
    }
}

/// Why a message was refused. The node is unharmed; the caller logs it and drops the message.
public enum StepError: Error, Hashable {
    /// A type of message that only the node itself may originate.
    case localMessage(MessageType)
    /// A response from a node that is no member of the configuration.
    case peerNotFound(MemberID)
    /// A forwarded proposal that was dropped here.
    case proposal(ProposalError)
    /// A leader says that more is committed than this log holds: the log has lost entries that it once acknowledged,
    /// or the peer is at fault. Nothing was committed.
    case commitOutOfRange(commit: LogIndex, lastIndex: LogIndex)
    /// An append would overwrite a committed entry. Nothing was appended.
    case conflictWithCommitted(index: LogIndex, committed: LogIndex)
    /// The fields contradict each other or are out of the range that any cluster can reach.
    case malformed(MessageType, from: MemberID, Defect)

    /// What is wrong with a malformed message.
    public enum Defect: Hashable, Sendable {
        /// A term is missing where the type needs one.
        case termMissing
        /// The sender or recipient is a local storage target or nobody.
        case address
        /// A term, index or commit is above 2^63 - 1.
        case numberOutOfRange
        /// The entries are not contiguous, or their terms go back or beyond the message's.
        case entries
        /// The number of entries is not the one that the type needs.
        case entryCount(Int)
        /// A response acknowledges entries that this leader does not have.
        case indexBeyondLog(index: LogIndex, lastIndex: LogIndex)
        /// The membership in the snapshot breaks the rules of a configuration.
        case confState(ConfChangeError)
    }
}

extension StepError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .localMessage(let type): "\(type.name) is local and cannot come from a peer"
        case .peerNotFound(let id): "response from \(id), which is no member"
        case .proposal(let error): error.description
        case .commitOutOfRange(let commit, let last):
            "commit \(commit) is beyond the last index \(last): was the log corrupted, truncated, or lost?"
        case .conflictWithCommitted(let index, let committed):
            "entry \(index) conflicts with a committed entry (committed \(committed))"
        case .malformed(let type, let from, let defect): "malformed \(type.name) from \(from): \(defect)"
        }
    }
}
