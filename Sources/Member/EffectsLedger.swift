public import Base
public import MVCC

/// What a member tells the others of what entries did to its data.
public struct EffectsAccount: Sendable, Equatable {
    /// The entry as of which it took its data from another member; zero if it has not since it was started.
    public var origin: LogIndex
    /// The windows of the log that it has finished, ascending by index.
    public var windows: [EffectsHash.Window]

    public init(origin: LogIndex = .zero, windows: [EffectsHash.Window] = []) {
        self.origin = origin
        self.windows = windows
    }
}

/// What the other members say of the windows of the log, held against this member's own. One that never says anything,
/// because it is no Martlet or knows no window, is never compared. docs/decisions/121-carrying-the-rolling-hash.md.
struct EffectsLedger {
    /// What each member said last, ordered by member.
    private var heard: [(member: MemberID, account: EffectsAccount)] = []
    /// See `EffectsAccount`.
    private(set) var origin = LogIndex.zero
    /// Up to where each was last seen to agree, ordered by member.
    private(set) var agreed: [(member: MemberID, through: LogIndex)] = []
    /// How often two members' windows were held against each other.
    private(set) var comparisons: UInt64 = 0
    /// The last own window that the others have been told of.
    private var told: LogIndex?
    /// Whether they have to be told that this member's state was replaced.
    private var hasStartedOver = false
    private var hasNews = false

    /// Whether a member has taken another one's data since it was last heard of.
    func hasBegunAnew(_ account: EffectsAccount, of member: MemberID) -> Bool {
        guard let former = heard.first(where: { $0.member == member }) else { return false }
        return account.origin > former.account.origin
    }

    /// A member has said something new. Its former windows are void, also when it knows none now.
    mutating func hear(_ account: EffectsAccount, of member: MemberID) {
        heard.removeAll { $0.member == member }
        let windows = Array(account.windows.suffix(EffectsHash.remembered))
        let place = heard.firstIndex { $0.member > member } ?? heard.endIndex
        heard.insert((member, EffectsAccount(origin: account.origin, windows: windows)), at: place)
        hasNews = true
    }

    /// What a member has said of its windows is void.
    mutating func forget(_ member: MemberID) {
        if let i = heard.firstIndex(where: { $0.member == member }) { heard[i].account.windows = [] }
        agreed.removeAll { $0.member == member }
    }

    /// This member's state was replaced by that of the entry at `origin`: where it agreed with others says nothing any
    /// more.
    mutating func startOver(from origin: LogIndex) {
        agreed = []
        self.origin = origin
        hasStartedOver = true
    }

    /// Compares when there is something new on either side.
    /// - Parameter own: this member's finished windows.
    /// - Returns: whether the others are to be told of `own`, and with whom it differs, ordered by member.
    mutating func update(_ own: [EffectsHash.Window]) -> (isNew: Bool, divergences: [Divergence]) {
        let isNew = hasStartedOver || own.last?.index != told
        guard isNew || hasNews else { return (false, []) }
        told = own.last?.index
        hasStartedOver = false
        hasNews = false
        return (isNew, heard.compactMap { compare(own, $0.account.windows, of: $0.member) })
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

    /// The members that have the hash of the window that ends at `index` which more than half of all have, and those
    /// who are known to have another one, both ordered by member. Nil while no hash is held by so many.
    /// - Parameter memberCount: how many members there are, this one included.
    func vote(
        at index: LogIndex, own: [EffectsHash.Window], localID: MemberID, memberCount: Int
    ) -> (majority: [MemberID], minority: [MemberID])? {
        var known = heard.compactMap { entry in
            entry.account.windows.first { $0.index == index }.map { (member: entry.member, hash: $0.hash) }
        }
        if let window = own.first(where: { $0.index == index }) { known.append((localID, window.hash)) }
        let winner = known.first { candidate in
            known.count { $0.hash == candidate.hash } * 2 > memberCount
        }
        guard let winner else { return nil }
        func members(_ isMeant: (UInt32) -> Bool) -> [MemberID] {
            known.filter { isMeant($0.hash) }.map(\.member).sorted()
        }
        return (members { $0 == winner.hash }, members { $0 != winner.hash })
    }
}
