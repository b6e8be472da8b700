public import Base
package import MVCC

/// A member's hash of its rows, as it tells others. What revision the rows go up to is not in it: that of the question.
public struct MemberHash: Sendable, Equatable {
    /// As in `KeyValueHash`.
    public var hash: UInt32
    public var compactRevision: Int64
    /// The member's newest revision when it answered.
    public var newestRevision: Int64

    public init(hash: UInt32, compactRevision: Int64, newestRevision: Int64) {
        self.hash = hash
        self.compactRevision = compactRevision
        self.newestRevision = newestRevision
    }
}

/// A member's answer to the question for its hash at a revision.
public struct PeerHash: Sendable, Equatable {
    public enum Answer: Sendable, Equatable {
        case hash(MemberHash)
        /// The revision is beyond what the member has.
        case futureRevision
        case compacted
        case otherCluster
        /// It could not be asked, or failed.
        case none(String)
    }

    /// What only a Martlet adds to any of these answers.
    public struct State: Sendable, Equatable {
        /// Its newest revision, and the last entry that it had applied then.
        public var revision: Int64
        public var applied: LogIndex
        public var isQuarantined: Bool

        public init(revision: Int64, applied: LogIndex, isQuarantined: Bool) {
            self.revision = revision
            self.applied = applied
            self.isQuarantined = isQuarantined
        }
    }

    public var member: MemberID
    public var answer: Answer
    /// nil for a member of another program.
    public var state: State?

    public init(member: MemberID, answer: Answer, state: State? = nil) {
        self.member = member
        self.answer = answer
        self.state = state
    }

    var hash: MemberHash? {
        if case .hash(let hash) = answer { hash } else { nil }
    }
}

/// Which members differ from the others, given what they answered. Which answers may be compared is as in etcd:
/// docs/formats/backend.md, "Hashes"; what follows from them, docs/decisions/123-corruption-checks.md.
package enum CorruptionCheck {
    /// A member that differs.
    package struct Finding: Sendable, Equatable {
        /// `.none` when it cannot be told which of the members it is.
        package var member: MemberID
        /// Whether a quorum of all members agree on something else; otherwise the member is only suspected.
        package var isProven: Bool
        package var reason: String

        package init(_ member: MemberID, isProven: Bool, _ reason: String) {
            self.member = member
            self.isProven = isProven
            self.reason = reason
        }
    }

    /// A member's own hash and where it stood.
    package struct Own: Sendable, Equatable {
        package var member: MemberID
        package var hash: KeyValueHash
        /// The last entry that had been applied when the hash's revision was the newest.
        package var applied: LogIndex

        package init(_ member: MemberID, _ hash: KeyValueHash, applied: LogIndex) {
            self.member = member
            self.hash = hash
            self.applied = applied
        }

        var revision: Int64 { hash.revision }
    }

    private static func quorum(of members: Int) -> Int { members / 2 + 1 }

    /// Members by the hash that they have, of those that are seen through the same compaction as one's own; each group
    /// and the groups among each other ordered by member.
    private static func groups(_ own: Own, _ answers: [PeerHash]) -> [(hash: UInt32, members: [MemberID])] {
        var groups = [(hash: own.hash.hash, members: [own.member])]
        for answer in answers {
            guard let hash = answer.hash, hash.compactRevision == own.hash.compactRevision else { continue }
            if let i = groups.firstIndex(where: { $0.hash == hash.hash }) {
                groups[i].members.append(answer.member)
            } else {
                groups.append((hash.hash, [answer.member]))
            }
        }
        return groups.map { ($0.hash, $0.members.sorted()) }.sorted { $0.members[0] < $1.members[0] }
    }

    /// The group that a quorum belongs to, and those outside of it; nil when there is no such group.
    private static func vote(
        _ own: Own, _ answers: [PeerHash], members: Int
    ) -> (majority: [MemberID], minority: [Finding])? {
        let groups = groups(own, answers)
        guard let majority = groups.first(where: { $0.members.count >= quorum(of: members) }) else { return nil }
        let minority = groups.filter { $0.hash != majority.hash }.flatMap { group in
            group.members.map { member in
                Finding(
                    member, isProven: true,
                    "hash \(group.hash) at revision \(own.revision), compacted at \(own.hash.compactRevision); "
                        + "\(majority.members.count) of \(members) members have \(majority.hash)")
            }
        }
        return (majority.members, minority.sorted { $0.member < $1.member })
    }

    /// Before a member serves anybody: the peers whose data differ from its own. Only these keep it from starting.
    package static func initial(_ own: MemberHash, _ answers: [PeerHash]) -> [MemberID] {
        answers.filter { answer in
            guard let hash = answer.hash else { return false }
            return hash.compactRevision == own.compactRevision && hash.hash != own.hash
        }.map(\.member)
    }

    /// The leader's check of all members.
    /// - Parameters:
    ///   - own: before the others were asked, for the newest revision.
    ///   - later: after they answered, and after this member was confirmed as the leader once more.
    ///   - members: how many the cluster has, this one included.
    /// - Returns: every member that a quorum proves wrong; without a quorum the first that is suspected.
    package static func periodic(
        _ own: Own, later: Own, _ answers: [PeerHash], members: Int
    ) -> [Finding] {
        if later.revision == own.revision, later.hash.compactRevision == own.hash.compactRevision,
            later.hash.hash != own.hash.hash
        {
            return [
                Finding(
                    own.member, isProven: false,
                    "its hash at revision \(own.revision) was \(own.hash.hash), and then \(later.hash.hash)")
            ]
        }
        if let minority = vote(own, answers, members: members)?.minority, !minority.isEmpty { return minority }
        for answer in answers {
            guard let hash = answer.hash else { continue }
            if hash.newestRevision > later.revision {
                return [
                    Finding(
                        answer.member, isProven: false,
                        "its revision \(hash.newestRevision) is beyond the leader's, \(later.revision)")
                ]
            }
            if hash.compactRevision > later.hash.compactRevision {
                return [
                    Finding(
                        answer.member, isProven: false,
                        "it is compacted at \(hash.compactRevision), beyond the leader, at "
                            + "\(later.hash.compactRevision)")
                ]
            }
            if hash.compactRevision == own.hash.compactRevision, hash.hash != own.hash.hash {
                return [
                    Finding(
                        answer.member, isProven: false,
                        "hash \(hash.hash) at revision \(own.revision); the leader has \(own.hash.hash)")
                ]
            }
        }
        return []
    }

    /// What follows from the hashes that a compaction recorded.
    package enum CompactionVerdict: Sendable, Equatable {
        /// All members have the same.
        case agreed
        /// Those who could be compared have; an older compaction may say more.
        case inconclusive
        /// One finding with member `.none` if no quorum agrees.
        case differ([Finding])
    }

    /// The leader's check of a recorded compaction.
    package static func compaction(
        _ own: Own, _ answers: [PeerHash], members: Int
    ) -> CompactionVerdict {
        let groups = groups(own, answers)
        let compared = groups.reduce(0) { $0 + $1.members.count }
        guard groups.count > 1 else { return compared == members ? .agreed : .inconclusive }
        if let vote = vote(own, answers, members: members) { return .differ(vote.minority) }
        let list = groups.map { "\($0.hash) at \($0.members)" }.joined(separator: ", ")
        return .differ([
            Finding(.none, isProven: false, "hashes of the compaction at \(own.revision): \(list)")
        ])
    }

    /// What a member finds out about itself.
    package enum OwnVerdict: Sendable, Equatable {
        /// A quorum, this member included, has the same; with those of the others that can give their database.
        case confirmed(healthy: [MemberID])
        /// With those of the others that are right and can give their database.
        case divergent(String, healthy: [MemberID])
        case unknown
    }

    /// A member's check of itself, after somebody has said that it differs. Nobody's word is enough: a quorum of the
    /// others has to agree on something else.
    package static func own(_ own: Own, _ answers: [PeerHash], members: Int) -> OwnVerdict {
        if let vote = vote(own, answers, members: members) {
            let healthy = givers(answers, among: vote.majority)
            guard let finding = vote.minority.first(where: { $0.member == own.member }) else {
                return .confirmed(healthy: healthy)
            }
            return .divergent(finding.reason, healthy: healthy)
        }
        // Who has applied as much and has fewer revisions proves it, too.
        let behind = answers.filter { answer in
            guard let state = answer.state else { return false }
            return state.applied >= own.applied && state.revision < own.revision
        }
        guard behind.count >= quorum(of: members) else { return .unknown }
        return .divergent(
            "revision \(own.revision) after entry \(own.applied); \(behind.count) of \(members) members have fewer",
            healthy: givers(behind, among: behind.map(\.member)))
    }

    /// Those of the members that can give their database: Martlets that are not in quarantine themselves.
    private static func givers(_ answers: [PeerHash], among members: [MemberID]) -> [MemberID] {
        answers.filter { $0.state?.isQuarantined == false && members.contains($0.member) }.map(\.member)
    }
}
