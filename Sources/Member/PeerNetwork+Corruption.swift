public import Base

/// What a member has found out when it was asked to compare itself with the others.
public enum SelfFinding: String, Sendable {
    /// A quorum has other data: the member serves no clients any more.
    case quarantined
    /// A quorum, the member included, has the same data.
    case confirmed
    case unknown
}

/// What a member wants of the others when their data may differ.
public enum CorruptionWork: Sendable, Equatable {
    /// All other members are asked for their hash at a revision; the answer is `CorruptionReport.hashes` with the
    /// number.
    case askHashes(number: UInt64, revision: Int64)
    /// A Martlet is asked to compare itself with the others; the answer is `CorruptionReport.accusationAnswered`.
    case accuse(MemberID)
    /// The database of the first of these members that gives it; the answer is `CorruptionReport.databaseFetched`.
    case fetchDatabase(from: [MemberID])
    /// The answer to `CorruptionReport.accused`.
    case answerAccusation(number: UInt64, SelfFinding)
}

/// What the network tells a member about differing data.
public enum CorruptionReport: Sendable {
    /// One answer of each other member that has a peer URL, ordered by ID.
    case hashes(number: UInt64, [PeerHash])
    /// Another member says that this one's data differ. It is answered under the number.
    case accused(number: UInt64)
    /// What the accused has found out; nil when it does not answer.
    case accusationAnswered(MemberID, SelfFinding?)
    /// Another member's database is on the disk, at a path in the directory of raft's snapshots whose name begins with
    /// `tmp`, so that a start removes it.
    case databaseFetched(Result<String, Failure>)

    public struct Failure: Error, CustomStringConvertible {
        public var description: String
        public init(description: String) { self.description = description }
    }
}
