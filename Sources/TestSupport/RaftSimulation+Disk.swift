internal import Base
internal import RaftCore

extension RaftSimulation {
    // MARK: Disk and state machine

    mutating func write(
        _ i: Int, _ hardState: HardState?, _ entries: [Entry], _ snapshot: Snapshot?, synced: Bool
    ) throws(RaftViolation) {
        if let hardState { nodes[i].raw.storage.setHardState(hardState) }
        if synced { nodes[i].syncedCommit = nodes[i].raw.storage.initialState.hardState.commit }
        if let snapshot {
            events[.snapshotRestored] += 1
            do {
                try nodes[i].raw.storage.apply(snapshot)
            } catch {
                throw Self.broken("a snapshot is newer than the storage", error)
            }
            nodes[i].machine = Machine(snapshot)
        }
        nodes[i].raw.storage.append(entries)
    }

    private mutating func write(_ i: Int, _ work: AppendWork) throws(RaftViolation) {
        try write(i, work.hardState, work.entries, work.snapshot, synced: work.mustSync)
    }

    mutating func finishAppend(_ i: Int) throws(RaftViolation) {
        guard nodes[i].isUp, !nodes[i].appends.isEmpty else { return }
        let work = nodes[i].appends.removeFirst()
        try write(i, work)
        try send(work.responses, from: i)
        nodes[i].raw.appended(work.receipt)
        try observe(i)
    }

    mutating func finishApply(_ i: Int) throws(RaftViolation) {
        guard nodes[i].isUp, !nodes[i].applies.isEmpty else { return }
        let work = nodes[i].applies.removeFirst()
        try apply(i, work.entries)
        nodes[i].raw.applied(work.receipt)
        try observe(i)
    }

    mutating func apply(_ i: Int, _ entries: [Entry]) throws(RaftViolation) {
        // What a snapshot has overtaken is in it.
        for entry in entries where entry.index > nodes[i].machine.index {
            let id = nodes[i].raw.id
            if entry.index != nodes[i].machine.index.next() {
                throw RaftViolation(
                    rule: "entries are applied in order",
                    detail: "\(id): \(entry.index) after \(nodes[i].machine.index)")
            }
            nodes[i].machine.add(entry)
            try checker.applied(entry, state: nodes[i].machine.hash, on: id)
            events[.entryApplied] += 1
            let change: ConfChangeV2?
            do { change = try ConfChangeV2.carried(by: entry) } catch { throw Self.broken("a change decodes", error) }
            guard let change else { continue }
            // A change that cannot be applied is void on every node.
            if let state = try? nodes[i].raw.applyConfChange(change) {
                let before = nodes[i].machine.confState
                try checker.configured(state, before: before, at: entry.index, on: id)
                count(state, before: before)
                nodes[i].machine.confState = state
                // A newcomer can only start from a snapshot that knows it.
                _ = try? nodes[i].raw.storage.createSnapshot(
                    at: entry.index, confState: state, data: nodes[i].machine.bytes)
            }
        }
    }

    mutating func compact(_ i: Int) throws(RaftViolation) {
        guard nodes[i].isUp else { return }
        let machine = nodes[i].machine
        guard machine.index <= nodes[i].raw.storage.lastIndex else { return }
        // A snapshot that is older than the last one is refused, which is right.
        guard
            (try? nodes[i].raw.storage.createSnapshot(
                at: machine.index, confState: machine.confState, data: machine.bytes)) != nil
        else { return }
        let keep = random.next(below: 4)
        guard machine.index > LogIndex(UInt64(keep)) else { return }
        if (try? nodes[i].raw.storage.compact(to: LogIndex(machine.index.rawValue - UInt64(keep)))) != nil {
            events[.logCompacted] += 1
        }
    }

    private mutating func count(_ state: ConfState, before: ConfState) {
        switch (before.votersOutgoing.isEmpty, state.votersOutgoing.isEmpty) {
        case (true, false): events[.jointEntered] += 1
        case (false, true): events[.jointLeft] += 1
        default: if state != before { events[.changedSimply] += 1 }
        }
        if state.learners.count > before.learners.count { events[.learnerAdded] += 1 }
        if state.voters.count < before.voters.count { events[.memberRemoved] += 1 }
    }

    // MARK: Crashes

    mutating func crashesNow() -> Bool { !isCalm && random.chance(1, in: 400) }

    mutating func crash(_ i: Int) throws(RaftViolation) {
        guard !isCalm, nodes[i].isUp else { return }
        // Of the writes that were under way the first few may have reached the disk.
        let kept = random.next(below: nodes[i].appends.count + 1)
        for work in nodes[i].appends.prefix(kept) { try write(i, work) }
        if kept > 0 { events[.tailKept] += 1 }
        if kept < nodes[i].appends.count {
            events[.tailLost] += 1
            try tear(i, nodes[i].appends[kept])
        }
        crashed(i)
    }

    /// The entries of a write reach the disk from the first on, and its hard state after them.
    private mutating func tear(_ i: Int, _ work: AppendWork) throws(RaftViolation) {
        guard work.snapshot == nil, !work.entries.isEmpty, random.chance(1, in: 2) else { return }
        events[.writeTorn] += 1
        let part = Array(work.entries.prefix(1 + random.next(below: work.entries.count)))
        try write(i, nil, part, nil, synced: false)
    }

    mutating func crashed(_ i: Int) {
        events[.crash] += 1
        var hardState = nodes[i].raw.storage.initialState.hardState
        if hardState.commit > nodes[i].syncedCommit && random.chance(1, in: 2) {
            events[.commitLost] += 1
            hardState.commit = nodes[i].syncedCommit
            nodes[i].raw.storage.setHardState(hardState)
        }
        nodes[i].appends = []
        nodes[i].applies = []
        nodes[i].isUp = false
    }

    mutating func restartOne() throws(RaftViolation) {
        let down = nodes.indices.filter { !nodes[$0].isUp }
        if !isCalm && !down.isEmpty { try restart(down[random.next(below: down.count)]) }
    }

    mutating func restart(_ i: Int) throws(RaftViolation) {
        events[.restart] += 1
        let side = nodes[i].side
        nodes[i] = try start(nodes[i].raw.id, nodes[i].raw.storage)
        nodes[i].side = side
    }
}
