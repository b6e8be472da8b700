internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership
internal import Platform
internal import RaftCore

/// Snapshots for peers that are too far behind for the log.
///
/// What goes out is the state of the backend file after a commit, with index, term, configuration and membership as
/// they were when that commit was frozen, not the snapshot that raft asked for: it is newer, and needs no file of its
/// own.
struct SnapshotSending {
    /// The most snapshots on their way at once (etcd's value).
    static let limit = 16
    /// How long after a snapshot has arrived the log is kept for its receiver.
    static let logRetention: Duration = .seconds(30)

    /// Raft's requests that wait for the file to be in a known state.
    private(set) var waiting: [Message] = []
    /// The state that the file is in, or will be in after the commit under way, and for whom it is copied.
    private var fixed: (messages: [Message], snapshot: Snapshot)?
    private var underWay = 0
    private var keepsLogUntil = Instant(nanoseconds: 0)

    /// Whether a known state of the file is needed.
    var isWaiting: Bool { !waiting.isEmpty && fixed == nil }

    /// - Returns: false when there are too many already.
    mutating func request(_ message: Message) -> Bool {
        guard underWay + waiting.count + (fixed?.messages.count ?? 0) < Self.limit else { return false }
        waiting.append(message)
        return true
    }

    /// The file is in this state once what the backend's thread has been given is done.
    mutating func fix(_ snapshot: Snapshot) {
        fixed = (waiting, snapshot)
        waiting = []
    }

    /// The file has been copied.
    mutating func copied() -> (messages: [Message], snapshot: Snapshot)? {
        defer { fixed = nil }
        underWay += fixed?.messages.count ?? 0
        return fixed
    }

    mutating func ended(failed: Bool, at now: Instant) {
        underWay -= underWay > 0 ? 1 : 0
        if !failed { keepsLogUntil = now + Self.logRetention }
    }

    /// Whether the log must not be cut now.
    func keepsLog(at now: Instant) -> Bool {
        underWay > 0 || !waiting.isEmpty || fixed != nil || now < keepsLogUntil
    }
}

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
        guard sendingSnapshots.request(message) else {
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

    private func send(_ messages: [Message], with snapshot: Snapshot, _ database: BackendCopy) {
        for var message in messages {
            message.snapshot = snapshot
            // A term may have passed since raft asked; the receiver would ignore an old one.
            message.term = node.term
            guard node.isLeader else {
                sendingSnapshots.ended(failed: true, at: now)
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
        settleAllDivergences()
        send(node.snapshotInstalled(snapshot.metadata.index))
        log(
            .info, "applied snapshot",
            [
                "incoming-leader-snapshot-index": "\(snapshot.metadata.index)",
                "current-rev": "\(applier.store.currentRevision)",
            ])
    }
}
