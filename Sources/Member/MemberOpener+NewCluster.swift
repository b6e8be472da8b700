internal import Apply
internal import Base
internal import MVCC
internal import Membership
internal import RaftCore
internal import WAL

// `--force-new-cluster`: the last resort when most members of a cluster are lost for good.
extension MemberOpener {
    /// Ends the log at what was committed, and adds changes that leave only this member in the configuration. They
    /// count as committed: nobody else is asked.
    mutating func leaveOthers(
        _ log: inout WriteAheadLog, _ contents: inout WALContents, _ hardState: inout HardState, _ applier: Applier
    ) throws(MemberError) {
        let commit = hardState.commit
        let uncommitted = contents.entries.count { $0.index > commit }
        contents.entries.removeAll { $0.index > commit }
        if uncommitted > 0 {
            lines.append(
                LogLine(
                    .warn, "discarding uncommitted WAL entries",
                    ["entry-discarded-count": "\(uncommitted)", "commit-index": "\(commit)"]))
        }
        var replay = MembershipReplay(from: applier.cluster, learnerLimit: configuration.learnerLimit)
        for entry in contents.entries where entry.index > applier.backend.consistentIndex { replay.apply(entry) }
        let changes = lonely(replay.cluster)
        let entries = changes.enumerated().map { offset, change in
            var entry = change.entry
            entry.term = max(hardState.term, Term(1))
            entry.index = commit + (offset + 1)
            return entry
        }
        hardState.term = max(hardState.term, Term(1))
        hardState.commit = commit + entries.count
        do {
            try log.save(hardState: hardState, entries: entries, sync: true)
        } catch {
            throw MemberError(.disk, "cannot write the log: \(error)")
        }
        contents.entries.append(contentsOf: entries)
        lines.append(
            LogLine(
                .warn, "forcing a new cluster: all other members are removed",
                [
                    "cluster-id": "\(contents.metadata.clusterID)", "local-member-id": "\(contents.metadata.memberID)",
                    "commit-index": "\(hardState.commit)",
                    "removed": "\(changes.filter { $0.type == .removeNode }.map { "\($0.nodeID)" })",
                ]))
    }

    /// The changes that make the local member the only one, and a voter. It comes first: a voter is always left.
    private func lonely(_ cluster: RaftCluster) -> [ConfChange] {
        let id = cluster.localID
        var changes: [ConfChange] = []
        switch cluster.local {
        case nil:
            let member = ClusterMember(id: id, peerURLs: configuration.peerURLs)
            changes.append(
                ConfChange(type: .addNode, nodeID: id, context: Array(member.json.text.utf8)))
        case let local? where local.isLearner:
            let context = JSON.object([
                .init("id", .number("\(id.rawValue)")), .init("peerURLs", .null), .init("isPromote", .bool(true)),
            ])
            changes.append(ConfChange(type: .addNode, nodeID: id, context: Array(context.text.utf8)))
        default: break
        }
        for other in cluster.members where other.id != id {
            changes.append(ConfChange(type: .removeNode, nodeID: other.id))
        }
        return changes
    }
}
