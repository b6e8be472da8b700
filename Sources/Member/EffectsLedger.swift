internal import Base
internal import MVCC

/// What the other members say of the windows of the log, held against this member's own. One that never says anything,
/// because it is no Martlet or knows no window, is never compared. docs/decisions/121-carrying-the-rolling-hash.md.
struct EffectsLedger {
    /// The last windows that each member has finished, as it said last.
    private var heard: [(member: MemberID, windows: [EffectsHash.Window])] = []
    /// Up to where each was last seen to agree, ordered by member.
    private(set) var agreed: [(member: MemberID, through: LogIndex)] = []
    /// How often two members' windows were held against each other.
    private(set) var comparisons: UInt64 = 0
    /// The last own window that the others have been told of.
    private var told: LogIndex?
    private var hasNews = false

    /// A member has said something new. Its former windows are void, also when it knows none now.
    mutating func hear(_ windows: [EffectsHash.Window], of member: MemberID) {
        heard.removeAll { $0.member == member }
        guard !windows.isEmpty else { return }
        let place = heard.firstIndex { $0.member > member } ?? heard.endIndex
        heard.insert((member, Array(windows.suffix(EffectsHash.remembered))), at: place)
        hasNews = true
    }

    mutating func forget(_ member: MemberID) {
        heard.removeAll { $0.member == member }
        agreed.removeAll { $0.member == member }
    }

    /// This member's state was replaced: where it agreed with others says nothing any more.
    mutating func startOver() { agreed = [] }

    /// Compares when there is something new on either side.
    /// - Parameter own: this member's finished windows.
    /// - Returns: whether the others are to be told of `own`, and with whom it differs, ordered by member.
    mutating func update(_ own: [EffectsHash.Window]) -> (isNew: Bool, divergences: [Divergence]) {
        let isNew = own.last?.index != told
        guard isNew || hasNews else { return (false, []) }
        told = own.last?.index
        hasNews = false
        return (isNew, heard.compactMap { compare(own, $0.windows, of: $0.member) })
    }

    private mutating func compare(
        _ own: [EffectsHash.Window], _ others: [EffectsHash.Window], of member: MemberID
    ) -> Divergence? {
        switch EffectsHash.compare(own, others) {
        case .unknown: return nil
        case .agree(let through):
            comparisons += 1
            agreed.removeAll { $0.member == member }
            agreed.insert((member, through), at: agreed.firstIndex { $0.member > member } ?? agreed.endIndex)
            return nil
        case .differ(let index):
            comparisons += 1
            guard let local = own.first(where: { $0.index == index }),
                let remote = others.first(where: { $0.index == index })
            else { preconditionFailure("windows differ at \(index), which is not among them") }
            let through = own.last { window in window.index < index && others.contains(window) }?.index
            return Divergence(
                member: member, local: local, remote: remote,
                agreedThrough: through ?? agreed.first { $0.member == member }?.through)
        }
    }

    /// The hash that more than half of the members have of the window that ends at `index`, and who is known to have
    /// another one, ordered by member. Nil while no hash is held by so many.
    /// - Parameter memberCount: how many members there are, this one included.
    func minority(
        at index: LogIndex, own: [EffectsHash.Window], localID: MemberID, memberCount: Int
    ) -> [MemberID]? {
        var known = heard.compactMap { entry in
            entry.windows.first { $0.index == index }.map { (member: entry.member, hash: $0.hash) }
        }
        if let window = own.first(where: { $0.index == index }) { known.append((localID, window.hash)) }
        let majority = known.first { candidate in
            known.count { $0.hash == candidate.hash } * 2 > memberCount
        }
        guard let majority else { return nil }
        return known.filter { $0.hash != majority.hash }.map(\.member).sorted()
    }
}
