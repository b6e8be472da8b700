internal import Base

// MARK: Proposals

extension Raft {
    /// Whether proposals are taken now.
    func checkProposable() throws(ProposalError) {
        // A leader that was removed may not know yet that nobody would count its entries.
        if !tracker.progress.contains(id) { throw .removed }
        if transferee != .none {
            debug("\(id) [term \(term)] transfer leadership to \(transferee) is in progress; dropping proposal")
            throw .transferInProgress(to: transferee)
        }
    }

    /// Appends entries to the leader's log and sends them out.
    mutating func propose(_ entries: inout [Entry]) throws(ProposalError) {
        try checkProposable()
        for i in entries.indices where entries[i].type != .normal {
            let change: ConfChangeV2?
            do { change = try ConfChangeV2.carried(by: entries[i]) } catch { throw .malformedConfChange(error) }
            guard let change else { continue }
            if let reason = refusal(of: change), !config.disableConfChangeValidation {
                info(
                    "\(id) ignoring conf change \(describe(proposed: entries[i], change)) at config \(tracker.configuration): \(reason)"
                )
                entries[i] = Entry(term: .zero, index: .zero)
            } else {
                pendingConfIndex = log.lastIndex + i + 1
            }
        }
        try admit(payload: entries.payloadSize())
        let previous = log.lastIndex
        for i in entries.indices {
            entries[i].term = term
            entries[i].index = previous + i + 1
        }
        append(entries)
        acknowledgeAppend(log.lastIndex, to: id)
        broadcastAppend()
    }

    /// The same for one normal entry, without a message or an array.
    mutating func propose(_ data: [UInt8]) throws(ProposalError) {
        try checkProposable()
        try admit(payload: UInt64(data.count))
        appendEntry(Entry(term: term, index: .zero, data: data))
        broadcastAppend()
    }

    /// Counts a payload against the limit on what is uncommitted. One proposal is always admitted, however large.
    private mutating func admit(payload: UInt64) throws(ProposalError) {
        if config.maxUncommittedSize != 0 && uncommittedSize > 0 && payload > 0
            && uncommittedSize + payload > config.maxUncommittedSize
        {
            warn("\(id) appending new entries to log would exceed uncommitted entry size limit; dropping proposal")
            throw .uncommittedSizeExceeded(limit: config.maxUncommittedSize)
        }
        uncommittedSize += payload
    }

    /// Appends one entry of this leader's term.
    mutating func appendEntry(_ entry: Entry) {
        var entry = entry
        let previous = log.lastIndex
        entry.term = term
        entry.index = previous.next()
        _ = log.prepare(from: entry.index)
        log.append(entry)
        trace(.appended(previous: previous, last: entry.index, term: term))
        acknowledgeAppend(entry.index, to: id)
    }

    /// Appends entries whose place and term are set, after cutting off what is in their way.
    /// - Parameter skipped: how many of them the log has already.
    private mutating func append(_ entries: [Entry], skipping skipped: Int = 0) {
        guard skipped < entries.count, let last = entries.last else { return }
        let first = entries[skipped]
        switch log.prepare(from: first.index) {
        case .appended: break
        case .replaced: info("replace the unstable entries from index \(first.index)")
        case .truncated: info("truncate the unstable entries before index \(first.index)")
        }
        if skipped == 0 { log.append(contentsOf: entries) } else { log.append(contentsOf: entries[skipped...]) }
        trace(.appended(previous: first.index.previous(), last: last.index, term: last.term))
    }
}

// MARK: The leader's side

extension Raft {
    /// Sends every other member what it lacks, and the commit index.
    mutating func broadcastAppend() {
        var shared = SharedEntries()
        for p in 0..<tracker.progress.count where tracker.progress.ids[p] != id {
            sendAppend(p, &shared)
        }
    }

    /// Entries cut for one peer, which the next peer that is at the same place gets as they are.
    struct SharedEntries {
        var from: LogIndex = .zero
        var entries: [Entry] = []
    }

    mutating func sendAppend(_ p: Int) {
        var shared = SharedEntries()
        sendAppend(p, &shared)
    }

    /// - Parameters:
    ///   - p: the position of the peer's progress.
    ///   - sendIfEmpty: whether a message without entries, which conveys the commit index, is worth sending.
    /// - Returns: whether a message was sent.
    @discardableResult
    mutating func sendAppend(_ p: Int, _ shared: inout SharedEntries, sendIfEmpty: Bool = true) -> Bool {
        if tracker.progress[at: p].isPaused { return false }
        let next = tracker.progress[at: p].next
        guard let previousTerm = log.term(at: next.previous()) else { return sendSnapshot(p) }

        var entries: [Entry] = []
        // A full pipeline gets empty messages only: their answer frees it even if all that is in it was lost.
        if tracker.progress[at: p].state != .replicate || !tracker.progress[at: p].inflights.isFull {
            if shared.from == next {
                entries = shared.entries
            } else {
                guard let found = try? log.entries(from: next, maxSize: config.maxSizePerMessage) else {
                    return sendSnapshot(p)
                }
                entries = found
                shared = SharedEntries(from: next, entries: found)
            }
        }
        if entries.isEmpty && !sendIfEmpty { return false }
        tracker.progress[at: p].sentEntries(entries.count, bytes: entries.payloadSize())
        tracker.progress[at: p].sentCommit = log.committed
        send(
            Message(
                type: .append, to: tracker.progress.ids[p], logTerm: previousTerm, index: next.previous(),
                entries: entries, commit: log.committed))
        return true
    }

    /// Sends the storage's snapshot to a peer whose next entry is compacted.
    private mutating func sendSnapshot(_ p: Int) -> Bool {
        let to = tracker.progress.ids[p]
        if !tracker.progress[at: p].recentActive {
            debug("ignore sending snapshot to \(to) since it is not recently active")
            return false
        }
        let snapshot: Snapshot
        do {
            snapshot = try log.snapshot()
        } catch {
            precondition(error == .snapshotTemporarilyUnavailable, "storage: \(error)")
            debug("\(id) failed to send snapshot to \(to) because snapshot is temporarily unavailable")
            return false
        }
        precondition(!snapshot.isEmpty, "need non-empty snapshot")
        let meta = snapshot.metadata
        debug(
            "\(id) [firstindex: \(log.firstIndex), commit: \(log.committed)] sent snapshot[index: \(meta.index), term: \(meta.term)] to \(to) [\(tracker.progress[at: p])]"
        )
        tracker.progress[at: p].becomeSnapshot(meta.index)
        debug("\(id) paused sending replication messages to \(to) [\(tracker.progress[at: p])]")
        send(Message(type: .snapshot, to: to, snapshot: snapshot))
        return true
    }

    /// Sends heartbeats, with the number of the newest read that waits for confirmation.
    mutating func broadcastHeartbeat() {
        let context = readOnly.isEmpty ? [] : ReadOnly.context(readOnly.counter)
        for p in 0..<tracker.progress.count where tracker.progress.ids[p] != id {
            // Not beyond what the peer is known to have: its tail may still be another leader's.
            let match = has(.heartbeatCommitUnclamped) ? log.committed : tracker.progress[at: p].match
            let commit = min(match, log.committed)
            tracker.progress[at: p].sentCommit = commit
            send(Message(type: .heartbeat, to: tracker.progress.ids[p], commit: commit, context: context))
        }
    }

    mutating func handleAppendResponse(_ m: Message, _ p: Int) {
        tracker.progress[at: p].heard()
        if !m.reject { return acknowledged(p, to: m.index) }
        debug(
            "\(id) received MsgAppResp(rejected, hint: (index \(m.rejectHint), term \(m.logTerm))) from \(m.from) for index \(m.index)"
        )
        var probe = m.rejectHint
        // The peer's entry at the hint has this term, so nothing above it that we have in a later term can match:
        // skip those terms whole.
        if m.logTerm > .zero { probe = log.findConflict(from: probe, term: m.logTerm).index }
        guard tracker.progress[at: p].reject(m.index, hint: probe) else { return }
        debug("\(id) decreased progress of \(m.from) to [\(tracker.progress[at: p])]")
        if tracker.progress[at: p].state == .replicate { tracker.progress[at: p].becomeProbe() }
        sendAppend(p)
    }

    /// A member has everything up to `index` durably.
    mutating func acknowledged(_ p: Int, to index: LogIndex) {
        let member = tracker.progress.ids[p]
        let advanced = tracker.progress[at: p].acknowledge(index)
        // A probe that is answered with what we knew already still tells that the peer is reachable again.
        let found = tracker.progress[at: p].match == index && tracker.progress[at: p].state == .probe
        guard advanced || found else { return }
        switch tracker.progress[at: p].state {
        case .probe: tracker.progress[at: p].becomeReplicate()
        case .snapshot:
            // Whatever snapshot was under way: the peer can go on from the log.
            if tracker.progress[at: p].match.next() >= log.firstIndex {
                debug(
                    "\(id) recovered from needing snapshot, resumed sending replication messages to \(member) [\(tracker.progress[at: p])]"
                )
                tracker.progress[at: p].becomeProbe()
                tracker.progress[at: p].becomeReplicate()
            }
        case .replicate: tracker.progress[at: p].inflights.free(through: index)
        }
        if maybeCommit() {
            releasePendingReads()
            broadcastAppend()
        } else if member != id && tracker.progress[at: p].canBumpCommit(log.committed) {
            sendAppend(p)
        }
        if member != id {
            // The window may have opened by more than one message.
            var shared = SharedEntries()
            while sendAppend(p, &shared, sendIfEmpty: false) {}
        }
        if member == transferee && tracker.progress[at: p].match == log.lastIndex {
            info("\(id) sent MsgTimeoutNow to \(member) after received MsgAppResp")
            send(Message(type: .timeoutNow, to: member))
        }
    }

    mutating func handleHeartbeatResponse(_ m: Message, _ p: Int) {
        tracker.progress[at: p].heard()
        if config.repeatsProbesEmpty && tracker.progress[at: p].state == .probe && tracker.progress[at: p].isPaused {
            repeatProbe(p)
            return confirmReads(m)
        }
        tracker.progress[at: p].flowPaused = false
        if tracker.progress[at: p].match < log.lastIndex || tracker.progress[at: p].state == .probe {
            sendAppend(p)
        }
        confirmReads(m)
    }

    /// Asks a peer once more whether its log goes on where the last probe said. The probe's entries may still be on
    /// their way; if they are lost, the answer to this lets all that the peer lacks be sent ahead.
    private mutating func repeatProbe(_ p: Int) {
        let previous = tracker.progress[at: p].next.previous()
        guard let previousTerm = log.term(at: previous) else {
            tracker.progress[at: p].flowPaused = false
            return sendAppend(p)
        }
        tracker.progress[at: p].sentCommit = log.committed
        send(
            Message(
                type: .append, to: tracker.progress.ids[p], logTerm: previousTerm, index: previous,
                commit: log.committed))
    }

    private var committedIndex: LogIndex {
        if has(.ignoreOutgoingVoters) {
            return tracker.configuration.voters.incoming.committedIndex { tracker.progress[$0]?.match }
        }
        if has(.countOwnUndurable) {
            return tracker.configuration.voters.committedIndex {
                $0 == id ? log.lastIndex : tracker.progress[$0]?.match
            }
        }
        return tracker.committedIndex()
    }

    /// Commits what a quorum has, if it is of this term: an older entry is committed only by one of this term behind it
    /// (Raft thesis, figure 3.7).
    mutating func maybeCommit() -> Bool {
        let index = committedIndex
        guard index > log.committed, index <= log.lastIndex, log.term(at: index) == term || has(.commitOlderTerm)
        else { return false }
        log.commit(to: index)
        trace(.committed(index))
        return true
    }

    /// The transport could not reach a peer: what was sent ahead may be lost.
    mutating func reportUnreachable(_ peer: MemberID) {
        guard role == .leader else { return }
        guard let p = tracker.progress.position(peer) else {
            return debug("\(id) no progress available for \(peer)")
        }
        if tracker.progress[at: p].state == .replicate { tracker.progress[at: p].becomeProbe() }
        debug("\(id) failed to send message to \(peer) because it is unreachable [\(tracker.progress[at: p])]")
    }

    /// How the sending of a snapshot ended.
    mutating func reportSnapshot(_ peer: MemberID, failed: Bool) {
        guard role == .leader else { return }
        guard let p = tracker.progress.position(peer) else {
            return debug("\(id) no progress available for \(peer)")
        }
        guard tracker.progress[at: p].state == .snapshot else { return }
        if failed { tracker.progress[at: p].pendingSnapshot = .zero }
        tracker.progress[at: p].becomeProbe()
        debug(
            "\(id) snapshot \(failed ? "failed" : "succeeded"), resumed sending replication messages to \(peer) [\(tracker.progress[at: p])]"
        )
        // Delivered is not applied: the next append waits for a sign of life.
        tracker.progress[at: p].flowPaused = true
    }
}

// MARK: The follower's side

extension Raft {
    mutating func handleAppend(_ m: Message) throws(StepError) {
        if m.index < log.committed { return acknowledgeAppend(log.committed, to: m.from) }
        let matches = log.matches(EntryID(term: m.logTerm, index: m.index))
        guard matches || (has(.skipPreviousCheck) && m.index <= log.lastIndex) else { return rejectAppend(m) }
        let last = m.index + m.entries.count
        let conflict = m.entries.firstIndex { entry in
            if has(.keepConflicts) { return entry.index > log.lastIndex }
            return !log.matches(EntryID(term: entry.term, index: entry.index))
        }
        if let conflict {
            let entry = m.entries[conflict]
            if entry.index <= log.committed {
                throw .conflictWithCommitted(index: entry.index, committed: log.committed)
            }
            if entry.index <= log.lastIndex {
                info(
                    "found conflict at index \(entry.index) [existing term: \(log.term(at: entry.index) ?? .zero), conflicting term: \(entry.term)]"
                )
            }
            append(m.entries, skipping: conflict)
        }
        commit(to: min(m.commit, last))
        acknowledgeAppend(last, to: m.from)
    }

    private mutating func rejectAppend(_ m: Message) {
        debug(
            "\(id) [logterm: \(log.term(at: m.index) ?? .zero), index: \(m.index)] rejected MsgApp [logterm: \(m.logTerm), index: \(m.index)] from \(m.from)"
        )
        // The hint skips what cannot match, a term at a time.
        let hint = log.findConflict(from: min(m.index, log.lastIndex), term: m.logTerm)
        sendAfterAppend(
            Message(
                type: .appendResponse, to: m.from, term: term, logTerm: hint.term, index: m.index, reject: true,
                rejectHint: hint.index))
    }

    mutating func handleHeartbeat(_ m: Message) throws(StepError) {
        if m.commit > log.lastIndex { throw .commitOutOfRange(commit: m.commit, lastIndex: log.lastIndex) }
        commit(to: m.commit)
        send(Message(type: .heartbeatResponse, to: m.from, context: m.context))
    }

    private mutating func commit(to index: LogIndex) {
        if index <= log.committed { return }
        log.commit(to: index)
        trace(.committed(index))
    }

    mutating func handleSnapshot(_ m: Message) throws(StepError) {
        let snapshot = m.snapshot ?? Snapshot()
        let meta = snapshot.metadata
        let restored: Bool
        do { restored = try restore(snapshot) } catch { throw .malformed(m.type, from: m.from, .confState(error)) }
        info(
            "\(id) [commit: \(log.committed)] \(restored ? "restored" : "ignored") snapshot [index: \(meta.index), term: \(meta.term)]"
        )
        acknowledgeAppend(restored ? log.lastIndex : log.committed, to: m.from)
    }

    /// Replaces log and configuration with a snapshot's, if it is ahead of them.
    private mutating func restore(_ snapshot: Snapshot) throws(ConfChangeError) -> Bool {
        let meta = snapshot.metadata
        if meta.index <= log.committed { return false }
        let state = meta.confState
        // Those in `learnersNext` are in `votersOutgoing`.
        guard state.voters.contains(id) || state.learners.contains(id) || state.votersOutgoing.contains(id) else {
            warn(
                "\(id) attempted to restore snapshot but it is not in the ConfState \(state.protobufText); should never happen"
            )
            return false
        }
        if log.matches(EntryID(term: meta.term, index: meta.index)) {
            let last = log.last
            info(
                "\(id) [commit: \(log.committed), lastindex: \(last.index), lastterm: \(last.term)] fast-forwarded commit to snapshot [index: \(meta.index), term: \(meta.term)]"
            )
            commit(to: meta.index)
            return false
        }
        let fresh = Tracker(
            maxInflightMessages: config.maxInflightMessages, maxInflightBytes: config.maxInflightBytes)
        let restored = try Changer.restore(state, tracker: fresh, lastIndex: meta.index)
        info("log [\(log)] starts to restore snapshot [index: \(meta.index), term: \(meta.term)]")
        log.restore(snapshot)
        tracker = fresh
        _ = switchConfiguration(restored)
        let last = log.last
        info(
            "\(id) [commit: \(log.committed), lastindex: \(last.index), lastterm: \(last.term)] restored snapshot [index: \(meta.index), term: \(meta.term)]"
        )
        trace(.restoredSnapshot(index: meta.index, term: meta.term))
        return true
    }
}

// MARK: Reports of this node's own storage

extension Raft {
    /// The log is durable up to an entry.
    mutating func stable(_ entry: EntryID) {
        switch log.unstable.stable(to: entry.index, term: entry.term) {
        case nil: trace(.stable(entry.index))
        case .missing: info("entry at index \(entry.index) missing from unstable log; ignoring")
        case .matchesSnapshot: info("entry at index \(entry.index) matched unstable snapshot; ignoring")
        case .mismatch(let own):
            info(
                "entry at (index,term)=(\(entry.index),\(entry.term)) mismatched with entry at (\(entry.index),\(own)) in unstable log; ignoring"
            )
        }
    }

    /// The snapshot at `index` is durable, and is now the state of the application.
    mutating func snapshotApplied(_ index: LogIndex) {
        log.unstable.snapshotStable(at: index)
        applied(to: index, size: 0, payload: 0)
    }

    /// The application has applied the log up to `index`.
    /// - Parameters:
    ///   - size: the encoded bytes of the entries concerned.
    ///   - payload: the bytes of their data.
    mutating func applied(to index: LogIndex, size: UInt64, payload: UInt64) {
        let reached = max(index, log.applied)
        log.applied(to: reached, size: size)
        trace(.applied(reached))
        leaveJointIfDue()
        uncommittedSize = uncommittedSize > payload ? uncommittedSize - payload : 0
    }
}
