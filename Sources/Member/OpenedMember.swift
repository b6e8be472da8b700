internal import Apply
public import Base
internal import MVCC
public import Membership

/// A member whose data directory is open and locked, before it takes part in anything.
public struct OpenedMember {
    let restored: RestoredMember
    let files: OpenFiles

    public var memberID: MemberID { restored.localID }
    public var clusterID: ClusterID { restored.clusterID }
    /// As far as this member knows: nobody for one that has just been made.
    public var otherMembers: [ClusterMember] {
        restored.applier.cluster.members.filter { $0.id != restored.localID }
    }

    /// The hash of all that the store holds, up to its newest revision. O(rows).
    public func hash() throws(MemberError) -> MemberHash {
        let store = restored.applier.store
        do throws(StoreError) {
            let hash = try store.hashKV(store.currentRevision)
            return MemberHash(hash: hash.hash, compactRevision: hash.compactRevision, newestRevision: hash.revision)
        } catch {
            throw MemberError(.corruption, "the data cannot be read: \(error)")
        }
    }

    /// The peers whose data differ from this member's, by what they answered when asked at its newest revision.
    public func differing(_ answers: [PeerHash], from own: MemberHash) -> [MemberID] {
        CorruptionCheck.initial(own, answers)
    }

    /// Has the member start in quarantine if a quorum of all members proves its data wrong.
    /// - Returns: why it does; nil if nothing is proven.
    public func quarantine(_ own: MemberHash, by answers: [PeerHash]) -> String? {
        let hash = KeyValueHash(hash: own.hash, compactRevision: own.compactRevision, revision: own.newestRevision)
        let standing = CorruptionCheck.Own(memberID, hash, applied: restored.applier.backend.consistentIndex)
        guard
            case .divergent(let reason, _) = CorruptionCheck.own(standing, answers, members: otherMembers.count + 1)
        else { return nil }
        Quarantine(reason: reason, evidence: .rows).store(in: restored.applier.backend)
        return reason
    }
}
