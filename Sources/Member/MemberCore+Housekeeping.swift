internal import Apply
internal import Base
internal import EtcdProto
package import MVCC
internal import Membership
internal import Platform
package import RaftCore

/// A raft snapshot on its way: taken, waiting for the backend file to hold its state, then for its own file.
package struct PendingSnapshot {
    package enum Stage { case awaitingBackend, saving }
    package var stage: Stage
    package var snapshot: Snapshot
}

/// The backend's thread has committed a batch.
package struct BackendCompletion: Sendable {
    package var result: CommitResult
    package var seconds: Double
    /// Readers that keep much of the file from being reused.
    package var longReaders: [BackendFile.LongReader] = []

    package init(result: CommitResult, seconds: Double) {
        self.result = result
        self.seconds = seconds
    }
}

// What a member does unasked: commits to the backend file, snapshots, compaction, publication.
extension MemberCore {
    /// The pause between two slices of a compaction, so that requests come in between.
    static let compactionPause: Duration = .milliseconds(1)

    func keepHouse(_ effects: inout MemberEffects) {
        compactHistory()
        workOnHashes()
        workOnRanges()
        watchCorruption()
        clearNoSpaceAlarm()
        if now >= nextVersionCheck {
            nextVersionCheck = now + Self.versionCheckInterval
            followClusterVersion()
        }
        takeSnapshot()
        commitBackend(&effects)
        giveCopies(&effects)
        saveSnapshot(&effects)
        effects.install = takeInstallation()
        effects.replace = corruption.replacement.take()
        swap(&effects.unwantedDatabases, &corruption.unwanted)
    }

    // MARK: Backend

    private func commitBackend(_ effects: inout MemberEffects) {
        let isDue = now >= nextCommit
        if isDue { nextCommit = now + configuration.backendBatchInterval }
        // The file is about to be replaced; commits that would go to the old one are pointless.
        guard installing == nil, !isReplacingDatabase else { return }
        let backend = applier.backend
        let isAwaited =
            snapshotUnderWay?.stage == .awaitingBackend || sendingSnapshots.isWaiting || compactions.awaitCommit
            || !copies.isEmpty
        if isDue || backend.needsCommit || isAwaited, let batch = backend.freeze() {
            effects.commit = batch
            if let work = node.releaseHeldState() { effects.log.append(work) }
        }
        effects.copiesDatabase = copyForPeers(isCommitting: effects.commit != nil)
    }

    func backendCommitted(_ completion: BackendCompletion) {
        figures.backendCommit.observe(completion.seconds)
        applier.backend.committed(completion.result)
        report(completion.longReaders)
        for answer in compactions.takeCommitted(applier.backend.commits) {
            outbox.answer(answer.address, with: answer.message[...])
        }
    }

    private func report(_ readers: [BackendFile.LongReader]) {
        guard !readers.isEmpty, now >= nextReaderReport else { return }
        nextReaderReport = now + MemberLimits.readerReportInterval
        for reader in readers {
            log(
                .warn, "a long read keeps pages of the backend from being reused",
                [
                    "reader": reader.name, "versions-behind": "\(reader.versionsBehind)",
                    "held-bytes": "\(reader.heldBytes)",
                ])
        }
    }

    // MARK: Compaction

    private func compactHistory() {
        guard applier.store.isCompacting, now >= nextCompactionSlice else { return }
        nextCompactionSlice = now + Self.compactionPause
        do throws(StoreError) {
            guard case .finished(let revision) = try applier.store.compactStep() else {
                return
            }
            log(.info, "finished scheduled compaction", ["compact-revision": "\(revision)"])
            compactions.historyRemoved(before: applier.backend.nextCommit)
        } catch {
            _ = clientError(error)
        }
    }

    // MARK: Publication

    func ownProposalApplied(_ proposal: PendingRequests.OwnProposal) {
        switch proposal {
        case .publish:
            log(
                .info, "published local member to cluster through raft",
                [
                    "local-member-id": "\(localID)", "cluster-id": "\(clusterID)",
                    "local-member-attributes": "{Name:\(configuration.name) ClientURLs:\(configuration.clientURLs)}",
                ])
            becameReady = true
            wasReady = true
        case .clusterVersion:
            isSettingVersion = false
            log(
                .info, "cluster version is updated",
                ["cluster-version": applier.cluster.version.map { "\($0)" } ?? "unknown"])
            nextVersionCheck = now
        case .alarm: isChangingAlarm = false
        case .downgradeEnd: isEndingDowngrade = false
        case .corruptAlarm: break
        }
    }

    // MARK: Snapshots

    /// Takes a snapshot of the membership when enough entries have been applied since the last one. Its state is the
    /// backend's, so it is saved only once the backend file holds everything up to its index.
    private func takeSnapshot() {
        let applied = node.applied
        // A start is not held up by it.
        guard wasReady, snapshotUnderWay == nil, installing == nil, !holdsLogForResync else { return }
        guard loweringNeedsSnapshot || applied - snapshotIndex > Int(configuration.snapshotCount) else { return }
        let term: Term
        do { term = try node.term(at: applied) } catch {
            return fail(MemberError(.corruption, "the term of the applied entry \(applied) is unknown: \(error)"))
        }
        log(
            .info, "triggering snapshot", ["local-member-id": "\(localID)", "local-member-applied-index": "\(applied)"])
        let metadata = SnapshotMetadata(confState: confState, index: applied, term: term)
        snapshotUnderWay = PendingSnapshot(
            stage: .awaitingBackend,
            snapshot: Snapshot(data: applier.cluster.v2StoreSnapshot, metadata: metadata))
    }

    private func saveSnapshot(_ effects: inout MemberEffects) {
        guard let pending = snapshotUnderWay, pending.stage == .awaitingBackend,
            applier.backend.committedIndex >= pending.snapshot.metadata.index
        else { return }
        snapshotUnderWay?.stage = .saving
        effects.log.append(.snapshot(sequence: node.nextSequence(), pending.snapshot))
    }

    func snapshotSaved(_ completion: LogCompletion.SnapshotCompletion) {
        guard let pending = snapshotUnderWay else { preconditionFailure("no snapshot is under way") }
        precondition(pending.stage == .saving && pending.snapshot.metadata.index == completion.index)
        figures.snapshotSave.observe(completion.totalSeconds)
        snapshotUnderWay = nil
        // A leader's snapshot that came in meanwhile is further.
        guard completion.index > snapshotIndex else { return }
        snapshotIndex = completion.index
        if loweringSince != nil { nextVersionCheck = now }
        // A follower that gets a snapshot now needs the entries behind it.
        let catchUp = sendingSnapshots.keepsLog(at: now) ? UInt64.max : configuration.snapshotCatchUpEntries
        do {
            try node.compact(
                at: completion.index, confState: pending.snapshot.metadata.confState,
                catchUp: catchUp)
        } catch {
            return fail(MemberError(.corruption, "the raft log cannot be compacted at \(completion.index): \(error)"))
        }
        log(.info, "saved snapshot", ["snapshot-index": "\(completion.index)"])
    }
}
