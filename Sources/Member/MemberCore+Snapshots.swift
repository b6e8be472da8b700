internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership
internal import Platform
internal import RaftCore

/// The state that came with a leader's snapshot, opened and read on the backend's thread.
package struct InstalledSnapshot: @unchecked Sendable {
    // SAFETY: made on the backend's thread, which keeps no reference, and used in the member's turns from then on.
    let applier: Applier
    let index: LogIndex

    init(applier: Applier, index: LogIndex) {
        self.applier = applier
        self.index = index
    }
}

extension MemberCore {
    // MARK: Sending

    /// Raft wants a peer to get a snapshot. It goes out when the backend file is in a known state.
    func prepareSnapshot(_ message: Message) {
        // One in quarantine has nothing to give.
        guard corruption.quarantine == nil, sendingSnapshots.request(message, at: now) else {
            return node.reportSnapshot(to: message.to, failed: true)
        }
    }

    /// The applied state as a snapshot, without the database.
    private func appliedState() -> Snapshot? {
        let backend = applier.backend
        guard backend.consistentIndex > .zero else { return nil }
        do {
            let term = try node.term(at: backend.consistentIndex)
            return Snapshot(
                data: applier.cluster.v2StoreSnapshot,
                metadata: SnapshotMetadata(confState: confState, index: backend.consistentIndex, term: term))
        } catch {
            fail(
                MemberError(
                    .corruption, "the term of the applied entry \(backend.consistentIndex) is unknown: \(error)"))
            return nil
        }
    }

    /// Asks for a copy of the file for the peers that need a snapshot, if its state is known: a commit of everything
    /// has just been handed out, or there is nothing to commit.
    /// - Returns: whether the file is to be copied behind the commit.
    func copyForPeers(isCommitting: Bool) -> Bool {
        guard sendingSnapshots.isWaiting else { return false }
        let backend = applier.backend
        guard isCommitting || (!backend.isCommitting && !backend.hasChanges), let state = appliedState() else {
            return false
        }
        sendingSnapshots.fix(state)
        return true
    }

    func databaseCopied(_ copy: BackendCopy) {
        guard let (messages, snapshot) = sendingSnapshots.copied() else {
            preconditionFailure("nobody asked for a copy of the database")
        }
        send(messages, with: snapshot, copy)
    }

    /// The network says how a snapshot went.
    func snapshotSent(to peer: MemberID, failed: Bool) {
        if let pause = sendingSnapshots.ended(peer, failed: failed, at: now) {
            log(
                .warn, "a database snapshot did not arrive; it is not sent again before the pause is over",
                ["remote-peer-id": "\(peer)", "pause": "\(pause.inSeconds)s"])
        }
        node.reportSnapshot(to: peer, failed: failed)
    }

    private func send(_ messages: [Message], with snapshot: Snapshot, _ database: BackendCopy) {
        for var message in messages {
            message.snapshot = snapshot
            // A term may have passed since raft asked; the receiver would ignore an old one.
            message.term = node.term
            guard node.isLeader, corruption.quarantine == nil else {
                sendingSnapshots.dropped(message.to)
                node.reportSnapshot(to: message.to, failed: true)
                continue
            }
            outgoing.snapshots.append(OutgoingSnapshot(message: message, database: database))
        }
    }

    // MARK: Receiving

    /// What the backend's thread is to open, once.
    func takeInstallation() -> Snapshot? {
        guard let snapshot = installing, !isInstallationRequested else { return nil }
        isInstallationRequested = true
        log(
            .info, "applying snapshot",
            [
                "current-snapshot-index": "\(snapshotIndex)", "current-applied-index": "\(node.applied)",
                "incoming-leader-snapshot-index": "\(snapshot.metadata.index)",
                "incoming-leader-snapshot-term": "\(snapshot.metadata.term)",
            ])
        return snapshot
    }

    /// The state of a leader's snapshot takes the place of this member's own.
    func take(_ installed: InstalledSnapshot) {
        guard let snapshot = installing, snapshot.metadata.index == installed.index else {
            preconditionFailure("no snapshot at \(installed.index) is being installed")
        }
        installing = nil
        isInstallationRequested = false
        let former = applier.cluster
        applier = installed.applier
        restartHashes()
        restartRanges()
        confState = snapshot.metadata.confState
        snapshotIndex = snapshot.metadata.index
        snapshotUnderWay = snapshotUnderWay?.stage == .saving ? snapshotUnderWay : nil
        for answer in compactions.removeAll() { outbox.refuse(answer.address, .timeout) }
        if applier.backend.consistentIndex <= snapshot.metadata.index {
            applier.backend.setConsistentIndex(snapshot.metadata.index, term: snapshot.metadata.term)
        }
        membershipReplaced(former)
        settleAllDivergences(origin: installed.index)
        corruption.quarantine = nil
        abandonResync()
        restoreQuarantine()
        send(node.snapshotInstalled(snapshot.metadata.index))
        log(
            .info, "applied snapshot",
            [
                "incoming-leader-snapshot-index": "\(snapshot.metadata.index)",
                "current-rev": "\(applier.store.currentRevision)",
            ])
    }
}
