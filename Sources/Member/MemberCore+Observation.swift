internal import Apply
package import Base
internal import MVCC
package import Membership
internal import Platform
internal import RaftCore

extension MemberCore {
    /// The driver says how long a turn took in which entries were applied. The core has no clock.
    package func applied(in duration: Duration) {
        guard duration > configuration.warningApplyDuration else { return }
        figures.slowApplies += 1
        log(
            .warn, "apply request took too long",
            [
                "took": "\(duration.inSeconds)s",
                "expected-duration": "\(configuration.warningApplyDuration.inSeconds)s",
                "applied-index": "\(node.applied)",
            ])
    }
}

// What tests and the simulator look at.
extension MemberCore {
    package var isLeader: Bool { node.isLeader }
    package var hasLeader: Bool { node.leader != .none }
    package var term: Term { node.term }
    package var committedIndex: LogIndex { node.committed }
    package var revision: Int64 { applier.store.currentRevision }
    package var localMember: ClusterMember? { applier.cluster.local }
    package var memberCount: Int { applier.cluster.members.count }
    /// Proposals that wait for a leader.
    package var queuedProposals: Int { proposals.count }
}
