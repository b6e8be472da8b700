public import Base

/// Who is in the cluster: its members by ID, the IDs that were removed and can never come back, and the version that
/// all members speak. A value without I/O; `RaftCluster+Backend.swift` keeps it on disk.
///
/// Invariants: an ID is never both a member and removed; no two members share a peer URL.
public struct RaftCluster: Sendable, Equatable {
    /// The most learners a cluster may have at once (etcd's `--max-learners`).
    public static let defaultLearnerLimit = 1

    public let id: ClusterID
    public let localID: MemberID
    /// Ascending by ID.
    public private(set) var members: [ClusterMember]
    /// Ascending.
    public private(set) var removed: [MemberID]
    /// Agreed through raft; nil before the first decision.
    public private(set) var version: SemanticVersion?
    /// Likewise; not in the v2 store.
    public private(set) var downgrade = DowngradeInfo.none

    public init(
        id: ClusterID, localID: MemberID, members: [ClusterMember] = [], removed: [MemberID] = [],
        version: SemanticVersion? = nil
    ) {
        self.id = id
        self.localID = localID
        self.members = members.sorted { $0.id < $1.id }
        self.removed = removed.sorted()
        self.version = version
    }

    /// O(log members).
    public subscript(id: MemberID) -> ClusterMember? {
        let i = position(of: id)
        return i < members.count && members[i].id == id ? members[i] : nil
    }

    public var local: ClusterMember? { self[localID] }

    public func isRemoved(_ id: MemberID) -> Bool { removed.contains(id) }

    /// Where this membership names others than another one, or at other addresses, for the log; empty where they agree.
    /// What members publish of themselves is left out: a restore does not write it to the v2 store.
    public func differences(from other: RaftCluster) -> [String] {
        func known(_ member: ClusterMember) -> ClusterMember {
            ClusterMember(id: member.id, peerURLs: member.peerURLs, isLearner: member.isLearner)
        }
        var differences: [String] = []
        for member in members.map(known) {
            guard let theirs = other[member.id].map(known) else {
                differences.append("\(member.id) is a member")
                continue
            }
            if theirs != member { differences.append("\(member.id) is \(member.json.text), not \(theirs.json.text)") }
        }
        for member in other.members where self[member.id] == nil { differences.append("\(member.id) is no member") }
        for id in removed where !other.isRemoved(id) { differences.append("\(id) was removed") }
        for id in other.removed where !isRemoved(id) { differences.append("\(id) was never removed") }
        return differences
    }

    private func position(of id: MemberID) -> Int {
        var low = 0
        var high = members.count
        while low < high {
            let middle = (low + high) / 2
            if members[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low
    }
}

// MARK: - Changes

/// A change of the membership, decoded from a configuration change entry.
public enum MembershipChange: Sendable, Equatable {
    case add(ClusterMember)
    /// Makes a learner a voter.
    case promote(MemberID)
    case remove(MemberID)
    case updatePeerURLs(MemberID, [String])
}

extension RaftCluster {
    /// Why a change cannot be made, as etcd checks it both before proposing and when applying.
    public func validate(_ change: MembershipChange, learnerLimit: Int = defaultLearnerLimit) throws(MembershipError) {
        let subject: MemberID =
            switch change {
            case .add(let member): member.id
            case .promote(let id), .remove(let id), .updatePeerURLs(let id, _): id
            }
        if isRemoved(subject) { throw .idRemoved }
        switch change {
        case .add(let member):
            guard self[member.id] == nil else { throw .idExists }
            guard !isPeerURLTaken(member.peerURLs, except: member.id) else { throw .peerURLExists }
            if member.isLearner, members.count(where: \.isLearner) + 1 > learnerLimit { throw .tooManyLearners }
        case .promote(let id):
            guard let member = self[id] else { throw .idNotFound }
            guard member.isLearner else { throw .memberNotLearner }
        case .remove(let id):
            guard self[id] != nil else { throw .idNotFound }
        case .updatePeerURLs(let id, let urls):
            guard self[id] != nil else { throw .idNotFound }
            guard !isPeerURLTaken(urls, except: id) else { throw .peerURLExists }
        }
    }

    private func isPeerURLTaken(_ urls: [String], except id: MemberID) -> Bool {
        members.contains { member in member.id != id && member.peerURLs.contains(where: urls.contains) }
    }

    /// Makes a change that `validate` has accepted; traps on one that it refuses.
    public mutating func apply(_ change: MembershipChange) {
        switch change {
        case .add(let member):
            let i = position(of: member.id)
            precondition(i == members.count || members[i].id != member.id, "member \(member.id) exists")
            members.insert(member, at: i)
        case .promote(let id):
            modify(id) { $0.isLearner = false }
        case .remove(let id):
            let i = position(of: id)
            precondition(i < members.count && members[i].id == id, "member \(id) is unknown")
            members.remove(at: i)
            removed.append(id)
            removed.sort()
        case .updatePeerURLs(let id, let urls):
            modify(id) { $0.peerURLs = urls }
        }
    }

    private mutating func modify(_ id: MemberID, _ body: (inout ClusterMember) -> Void) {
        let i = position(of: id)
        precondition(i < members.count && members[i].id == id, "member \(id) is unknown")
        body(&members[i])
    }

    /// What a member published of itself. Ignored, as etcd does, when the member has been removed.
    /// - Returns: whether anything was changed.
    @discardableResult
    public mutating func updateAttributes(of id: MemberID, name: String, clientURLs: [String]) throws(MembershipError)
        -> Bool
    {
        guard self[id] != nil else {
            if isRemoved(id) { return false }
            throw .idNotFound
        }
        modify(id) {
            $0.name = name
            $0.clientURLs = clientURLs
        }
        return true
    }

    public mutating func setVersion(_ version: SemanticVersion) { self.version = version }

    public mutating func setDowngrade(_ info: DowngradeInfo) { downgrade = info }
}
