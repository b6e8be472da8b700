public import Base
public import MVCC

/// Another member whose entries have had other effects than here: the same log, and not the same state.
public struct Divergence: Sendable, Equatable {
    /// The other member.
    public var member: MemberID
    /// The window of the log in which they differ, as this member has it. The cause lies in it or before.
    public var local: EffectsHash.Window
    /// The same window as the other member has it.
    public var remote: EffectsHash.Window
    /// The last entry up to which the two were seen to agree; nil if they never were.
    public var agreedThrough: LogIndex?

    public init(
        member: MemberID, local: EffectsHash.Window, remote: EffectsHash.Window, agreedThrough: LogIndex? = nil
    ) {
        precondition(local.index == remote.index && local.hash != remote.hash, "no difference")
        self.member = member
        self.local = local
        self.remote = remote
        self.agreedThrough = agreedThrough
    }

    /// The last entry of the window in which the members differ.
    public var index: LogIndex { local.index }
}

/// The members that have come apart from this one, since it was started or last got its state from a leader. They stay
/// on record until somebody makes them equal: that later windows agree proves nothing about older data.
struct DivergenceRecords: Equatable {
    /// At most one for each member, ordered by member.
    private(set) var all: [Divergence] = []

    subscript(member: MemberID) -> Divergence? { all.first { $0.member == member } }

    /// - Returns: false if there is a record of that member already; it stays as it was.
    mutating func insert(_ divergence: Divergence) -> Bool {
        guard self[divergence.member] == nil else { return false }
        all.insert(divergence, at: all.firstIndex { $0.member > divergence.member } ?? all.endIndex)
        return true
    }

    /// - Returns: whether there was a record.
    @discardableResult
    mutating func remove(_ member: MemberID) -> Bool {
        let count = all.count
        all.removeAll { $0.member == member }
        return all.count < count
    }

    mutating func removeAll() { all.removeAll() }
}
