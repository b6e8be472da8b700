internal import Apply
package import Base
internal import MVCC
internal import Membership

// The comparison of what entries did here with what they did elsewhere.
extension MemberCore {
    /// Tells the others of windows that were finished, and compares when anybody has finished one.
    func compareEffects() {
        let own = applier.backend.effects.finished
        let news = effectsLedger.update(own)
        if news.isNew { outgoing.effects = EffectsAccount(origin: effectsLedger.origin, windows: own) }
        for found in news.divergences {
            noteDivergence(found)
            tellSuspects(at: found.index)
        }
    }

    /// A member has finished windows, lost what it knew of them, or has another one's data now.
    func effectsHeard(_ account: EffectsAccount, of member: MemberID) {
        guard member != localID, applier.cluster[member] != nil else { return }
        if effectsLedger.hasBegunAnew(account, of: member) { settleDivergence(with: member) }
        effectsLedger.hear(account, of: member)
    }

    /// Members that are wrong by majority: more than half of all agree on a window, and they do not. Ordered by ID.
    package var divergenceSuspects: [MemberID] { toldSuspects }

    private func tellSuspects(at index: LogIndex) {
        let count = applier.cluster.members.count
        guard
            let vote = effectsLedger.vote(
                at: index, own: applier.backend.effects.finished, localID: localID, memberCount: count)
        else { return }
        for suspect in vote.minority where !toldSuspects.contains(suspect) {
            toldSuspects.append(suspect)
            toldSuspects.sort()
            log(
                .error, "a member has come apart from the majority: its data is wrong",
                [
                    "suspect-member-id": "\(suspect)", "suspect-member-name": memberName(suspect),
                    "is-local": "\(suspect == localID)", "differs-at-index": "\(index)",
                    "advice": "remove this member, delete its data directory and add it again",
                ])
            guard suspect == localID else { continue }
            if configuration.quarantinesByRollingHash {
                enterQuarantine(
                    "its entries up to \(index) had other effects than on \(vote.majority.count) of \(count) members",
                    .effects, healthy: vote.majority)
            } else {
                suspectSelf()
            }
        }
    }

    func memberName(_ member: MemberID) -> String { applier.cluster[member]?.name ?? "" }
}
