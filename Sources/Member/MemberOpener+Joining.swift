internal import Base
internal import MVCC
internal import Membership
internal import Platform
internal import RaftCore
internal import SnapshotStore
internal import WAL

// A member that joins a running cluster, and one that was stopped while it took a leader's snapshot over.
extension MemberOpener {
    /// The cluster to join, without members: the log or a snapshot brings them.
    func joinedCluster(_ joining: JoinedCluster) throws(MemberError) -> RaftCluster {
        let configured = try foundingMembers()
        guard configured.count == joining.members.count else {
            throw MemberError(
                .configuration, "error validating peerURLs \(describe(joining)): member count is unequal")
        }
        for member in joining.members {
            let urls = member.peerURLs.sorted()
            guard configured.contains(where: { $0.peerURLs.sorted() == urls }) else {
                throw MemberError(
                    .configuration,
                    "error validating peerURLs \(describe(joining)): unmatched member while checking PeerURLs "
                        + "(\(list(urls)))")
            }
        }
        let own = configuration.peerURLs.sorted()
        guard let local = joining.members.first(where: { $0.peerURLs.sorted() == own }) else {
            throw MemberError(
                .configuration, "couldn't find local peer URLs \(list(own)) in the cluster \(describe(joining))")
        }
        return RaftCluster(id: joining.id, localID: local.id)
    }

    private func describe(_ cluster: JoinedCluster) -> String {
        "{ClusterID:\(cluster.id) Members:["
            + cluster.members.map { "\($0.id)=\(list($0.peerURLs))" }.joined(separator: " ")
            + "]}"
    }

    /// A raft node without a log: a leader brings it up.
    func blankNode(_ cluster: RaftCluster) throws(MemberError) -> RawNode<MemoryStorage> {
        do { return try RawNode(raftConfiguration(cluster.localID), storage: MemoryStorage()) } catch {
            throw MemberError(.configuration, "cannot start raft: \(error)")
        }
    }

    /// The log may know a leader's snapshot whose database had not taken the place of the member's own yet.
    /// - Returns: the file to go on with.
    mutating func finishInstallation(
        of snapshot: WALSnapshot, in file: BackendFile
    ) throws(MemberError) -> BackendFile {
        guard snapshot.index > .zero else { return file }
        let path = snapshotter.databasePath(snapshot.index)
        do {
            guard try disk.exists(path), try Backend(file.read()).consistentIndex < snapshot.index else { return file }
            lines.append(LogLine(.info, "installing the database of a snapshot", ["path": path]))
            try file.close()
            try disk.rename(path, to: configuration.backendPath)
            try disk.syncDirectory(configuration.snapshotDirectory)
        } catch {
            throw MemberError(.disk, "cannot install the database of the snapshot at \(snapshot.index): \(error)")
        }
        return try openBackendFile()
    }
}
