package import Base
internal import MVCC

// Members that have come apart from this one. Whoever finds it says so here, and whoever acts on it begins here.
extension MemberCore {
    /// What is on record, ordered by member.
    package var divergences: [Divergence] { divergenceRecords.all }

    /// Another member was found to differ from this one. Puts it on record, counts and tells it; only the first finding
    /// about a member counts until it is settled.
    package func noteDivergence(_ found: Divergence) {
        guard divergenceRecords.insert(found) else { return }
        figures.divergencesFound += 1
        log(
            .error, "members have come apart: the same entries had other effects",
            [
                "local-member-id": "\(localID)", "local-member-name": configuration.name,
                "remote-member-id": "\(found.member)", "remote-member-name": memberName(found.member),
                "agreed-through-index": found.agreedThrough.map { "\($0)" } ?? "unknown",
                "differs-at-index": "\(found.index)", "local-hash": "\(found.local.hash)",
                "remote-hash": "\(found.remote.hash)",
                "advice": "find the member that is wrong with 'etcdctl endpoint hashkv --cluster', then remove it, "
                    + "delete its data directory and add it again",
            ])
        suspectSelf()
    }

    /// The difference to another member is no more: it got its state anew, or is gone.
    package func settleDivergence(with member: MemberID) {
        // What it said is of the former state.
        effectsLedger.forget(member)
        toldSuspects.removeAll { $0 == member }
        guard divergenceRecords.remove(member) else { return }
        log(
            .info, "a member that had come apart counts as equal again",
            ["local-member-id": "\(localID)", "remote-member-id": "\(member)"])
    }

    /// This member has its state from another one now, as of the entry at `origin`; what was found about the former
    /// state is void.
    func settleAllDivergences(origin: LogIndex) {
        for divergence in divergences { settleDivergence(with: divergence.member) }
        effectsLedger.startOver(from: origin)
        toldSuspects = []
    }

    /// For the answer to a question for the status.
    var divergenceErrors: [String] {
        divergences.map { found in
            "memberID:\(localID.rawValue) differs from memberID:\(found.member.rawValue) at index:\(found.index)"
        }
    }
}
