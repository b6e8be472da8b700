internal import Base
public import Membership
public import RaftCore

extension MembershipChange {
    /// What a configuration change entry asks of the membership: its kind, and the member as JSON in its context.
    public init(_ change: ConfChange) throws(MembershipError) {
        let document: JSON
        do { document = change.context.isEmpty ? .null : try JSON.parse(change.context) } catch {
            throw .malformedRecord("context of a configuration change: \(error)")
        }
        switch change.type {
        case .addNode, .addLearnerNode:
            if document["isPromote"]?.bool == true {
                self = .promote(change.nodeID)
                return
            }
            var member = try ClusterMember(document)
            guard member.id == change.nodeID else {
                throw .malformedRecord("context of a change of \(change.nodeID) names \(member.id)")
            }
            member.isLearner = change.type == .addLearnerNode
            self = .add(member)
        case .removeNode: self = .remove(change.nodeID)
        case .updateNode: self = .updatePeerURLs(change.nodeID, try ClusterMember(document).peerURLs)
        }
    }
}
