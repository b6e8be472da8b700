internal import Base
package import Platform
internal import RaftCore
package import SnapshotStore
package import WAL

/// Carries out work on the log: owned by the log's thread, or by the simulator.
package final class LogWriter {
    private let log: WriteAheadLog
    private let snapshots: Snapshotter
    private let disk: any Disk
    private let clock: any Clock
    private let keptSegments: Int
    private let keptSnapshots: Int

    /// - Parameters:
    ///   - keptSegments, keptSnapshots: how many old files may stay; 0 for all.
    package init(
        log: WriteAheadLog, snapshots: Snapshotter, disk: any Disk, clock: any Clock, keptSegments: Int,
        keptSnapshots: Int
    ) {
        self.disk = disk
        self.log = log
        self.snapshots = snapshots
        self.clock = clock
        self.keptSegments = keptSegments
        self.keptSnapshots = keptSnapshots
    }

    /// Makes the next segment ahead of need; may be called on any thread.
    package var pipeline: SegmentPipeline { log.pipeline }

    /// Does all work of a batch, appends merged into as few writes and syncs as their order allows.
    /// - Parameters:
    ///   - completed: told of each step as soon as it is durable.
    ///   - cut: told when a new segment was begun, so that the one after it can be made.
    package func perform(
        _ batch: [LogWork], completed: (LogCompletion) -> Void, cut: () -> Void
    ) throws(MemberError) {
        var merged = MergedAppend()
        for work in batch {
            if case .append(let sequence, let hardState, let entries, let sync) = work {
                if merged.merge(sequence: sequence, hardState: hardState, entries: entries, sync: sync) { continue }
                try append(&merged, completed, cut)
                let taken = merged.merge(sequence: sequence, hardState: hardState, entries: entries, sync: sync)
                precondition(taken, "an empty merge takes everything")
                continue
            }
            try append(&merged, completed, cut)
            switch work {
            case .append: break
            case .snapshot(let sequence, let snapshot): try save(snapshot, sequence, completed)
            case .received(let sequence, let snapshot, let hardState, let entries):
                try receive(snapshot, hardState, entries, sequence, completed, cut)
            }
        }
        try append(&merged, completed, cut)
    }

    private func append(
        _ merged: inout MergedAppend, _ completed: (LogCompletion) -> Void, _ cut: () -> Void
    ) throws(MemberError) {
        guard !merged.isEmpty else { return }
        var completion = LogCompletion(sequence: merged.sequence)
        do {
            let saved = try log.save(hardState: merged.hardState, entries: merged.entries, sync: merged.sync)
            completion.file = log.tailPath
            completion.bytes = saved.bytes
            completion.writeSeconds = saved.writeDuration.inSeconds
            completion.syncSeconds = saved.syncDuration?.inSeconds
            if saved.isCut { cut() }
        } catch {
            throw MemberError(.disk, "cannot write the log: \(error)")
        }
        merged = MergedAppend()
        completed(completion)
    }

    /// The snapshot's file first, then its record, and only then may older segments go.
    private func save(
        _ snapshot: Snapshot, _ sequence: UInt64, _ completed: (LogCompletion) -> Void
    ) throws(MemberError) {
        let start = clock.now()
        try record(snapshot)
        try releaseLocks(of: snapshot)
        var completion = LogCompletion(sequence: sequence)
        completion.file = log.tailPath
        completion.snapshot = .init(
            index: snapshot.metadata.index, totalSeconds: (clock.now() - start).inSeconds)
        completed(completion)
        try purge()
    }

    private func record(_ snapshot: Snapshot) throws(MemberError) {
        let metadata = snapshot.metadata
        do {
            try snapshots.save(snapshot)
        } catch {
            throw MemberError(.disk, "cannot save the snapshot at \(metadata.index): \(error)")
        }
        do {
            try log.saveSnapshot(
                WALSnapshot(index: metadata.index, term: metadata.term, confState: metadata.confState))
        } catch {
            throw MemberError(.disk, "cannot record the snapshot at \(metadata.index): \(error)")
        }
    }

    private func releaseLocks(of snapshot: Snapshot) throws(MemberError) {
        do { try log.releaseLocks(upTo: snapshot.metadata.index) } catch {
            throw MemberError(.disk, "cannot release segments of the log: \(error)")
        }
    }

    /// A leader's snapshot replaces the log up to its index: its record first, then what follows it.
    private func receive(
        _ snapshot: Snapshot, _ hardState: HardState?, _ entries: [Entry], _ sequence: UInt64,
        _ completed: (LogCompletion) -> Void, _ cut: () -> Void
    ) throws(MemberError) {
        try record(snapshot)
        do {
            if try log.save(hardState: hardState, entries: entries, sync: true).isCut { cut() }
        } catch {
            throw MemberError(.disk, "cannot write the log: \(error)")
        }
        try releaseLocks(of: snapshot)
        var completion = LogCompletion(sequence: sequence)
        completion.file = log.tailPath
        completion.received = snapshot
        completed(completion)
        try purge()
    }

    private func purge() throws(MemberError) {
        do {
            if keptSegments > 0 {
                _ = try WriteAheadLog.purge(on: disk, directory: log.directory, keeping: keptSegments)
            }
            if keptSnapshots > 0 { _ = try snapshots.purge(keeping: keptSnapshots) }
        } catch {
            throw MemberError(.disk, "cannot remove old files: \(error)")
        }
    }

    /// Syncs and closes the log.
    package func close() throws(MemberError) {
        do { try log.close() } catch { throw MemberError(.disk, "cannot close the log: \(error)") }
    }
}
