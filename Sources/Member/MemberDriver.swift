internal import Base
internal import Logging
internal import MVCC
internal import Platform
internal import RaftCore
internal import WAL

/// Drives a `MemberCore`: hands it what has come in, and does what it asks. Owned by whoever takes the member's turn.
final class MemberDriver {
    private let core: MemberCore
    private let clock: any Clock
    private let logger: Logger
    let logThread: CombiningWorker<LogWriter, LogWork>
    private let backendThread: WorkerThread<BackendWork>
    private let backendFile: BackendSlot
    private let network: (any PeerNetwork)?
    private let onReady: @Sendable () -> Void
    private let onFailure: @Sendable (MemberError) -> Void
    private let onRemoved: @Sendable () -> Void
    private let onLeft: @Sendable () -> Void

    /// The sinks by the number that the core knows them by; they live as long as the process.
    private var sinks: [any ResponseSink] = []
    private var sinkIDs: [ObjectIdentifier: SinkID] = [:]
    private var events: [MemberEvent] = []
    private var hasFailed = false
    /// A commit that fell due after the backend's thread had been told to end.
    private var lateCommit: CommitBatch?
    private var hasStoppedThreads = false
    private var isLeaving = false
    private var wasRemoved = false
    private var syncPace = SyncPace()

    /// What the backend's thread is asked for.
    private enum BackendWork: Sendable {
        case commit(CommitBatch)
        case copy
        case copyForClient(BackendCopyOrder)
        case install(Snapshot)
        case replace(FetchedDatabase)
        case remove(String)
        case prepareSegment
    }

    /// Batches that may wait for the backend's thread: a commit and a segment at a time.
    private static let backendWorkLimit = 64

    init(
        _ core: MemberCore, _ files: OpenFiles, _ configuration: MemberConfiguration, _ platform: MemberPlatform,
        _ logger: Logger, network: (any PeerNetwork)?, inbox: LoopInbox, onReady: @escaping @Sendable () -> Void,
        onFailure: @escaping @Sendable (MemberError) -> Void, onRemoved: @escaping @Sendable () -> Void,
        onLeft: @escaping @Sendable () -> Void
    ) throws(DiskError) {
        self.core = core
        clock = platform.clock
        self.logger = logger
        self.onReady = onReady
        self.onFailure = onFailure
        self.onRemoved = onRemoved
        self.onLeft = onLeft
        self.network = network
        backendFile = BackendSlot(files.backend)
        // SAFETY: the worker takes the writer over, and nobody else keeps it.
        nonisolated(unsafe) let writer = files.makeWriter(configuration, clock: platform.clock)
        let backend = try Self.startBackendThread(
            backendFile,
            SnapshotInstaller(files, core, configuration, platform.passwords, threads: platform.threads),
            pipeline: writer.pipeline, platform, inbox)
        backendThread = backend
        logThread = try Self.startLogThread(writer, platform, inbox) { backend.mailbox.post(.prepareSegment) }
        backend.mailbox.post(.prepareSegment)
    }

    private static func startLogThread(
        _ writer: sending LogWriter, _ platform: MemberPlatform, _ inbox: LoopInbox, cut: @escaping @Sendable () -> Void
    ) throws(DiskError) -> CombiningWorker<LogWriter, LogWork> {
        try CombiningWorker(
            named: "wal", limit: MemberLimits.logWork, threads: platform.threads, clock: platform.clock, state: writer,
            turnsInARow: 1
        ) { writer, batch, _ in
            if batch.isEmpty { return nil }
            do throws(MemberError) {
                try writer.perform(batch, completed: { inbox.post(.member(.logged($0)), at: .here) }, cut: cut)
            } catch {
                inbox.post(.member(.failed(error)), at: .here)
            }
            return nil
        }
    }

    private static func startBackendThread(
        _ file: BackendSlot, _ installer: SnapshotInstaller, pipeline: SegmentPipeline, _ platform: MemberPlatform,
        _ inbox: LoopInbox
    ) throws(DiskError) -> WorkerThread<BackendWork> {
        let clock = platform.clock
        return try WorkerThread(
            named: "backend", limit: backendWorkLimit, threads: platform.threads, clock: clock
        ) { batch in
            for work in batch {
                do {
                    switch work {
                    case .commit(let changes):
                        let start = clock.now()
                        let result = try changes.write(to: file.file)
                        let seconds = (clock.now() - start).inSeconds
                        var completion = BackendCompletion(result: result, seconds: seconds)
                        completion.longReaders = file.file.longReaders(holding: MemberLimits.reportedReaderBytes)
                        inbox.post(.member(.committed(completion)), at: .thread)
                    case .copy:
                        let copy = try file.file.beginCopy(named: "snapshot for a peer")
                        inbox.post(.member(.copied(copy)), at: .thread)
                    case .copyForClient(let order):
                        let copy: Result<BackendCopy, BackendError> = Result { () throws(BackendError) in
                            try file.file.beginCopy(named: "snapshot for a client")
                        }
                        inbox.post(.member(.copiedForClient(order, copy)), at: .thread)
                    case .install(let snapshot):
                        inbox.post(.member(.installed(try installer.install(snapshot, in: file))), at: .thread)
                    case .replace(let fetched):
                        inbox.post(.member(.replaced(try installer.replace(with: fetched, in: file))), at: .thread)
                    case .remove(let path): installer.remove(path)
                    case .prepareSegment: try pipeline.prepare()
                    }
                } catch let error as MemberError {
                    inbox.post(.member(.failed(error)), at: .thread)
                } catch {
                    inbox.post(.member(.failed(MemberError(.disk, "cannot write the backend: \(error)"))), at: .thread)
                }
            }
            return nil
        }
    }

    // MARK: Turns

    /// One turn of the loop.
    /// - Returns: when the next one is due; nil after a failure.
    func turn(_ batch: inout [LoopEvent], _ taker: TurnTaker) -> Instant? {
        for event in batch {
            switch event {
            case .requests(let requests, let sink): events.append(.requests(requests, sink: number(of: sink)))
            case .member(let event):
                if case .logged(let completion) = event, let seconds = completion.syncSeconds { syncPace.note(seconds) }
                events.append(event)
            case .leave:
                isLeaving = true
                events.append(.leave)
            }
        }
        let start = clock.now()
        var effects = core.turn(&events, now: start)
        if effects.hasApplied { core.applied(in: clock.now() - start) }
        let next = effects.wakeAt
        if isLeaving && (effects.hasLeft || effects.failure != nil || hasFailed) {
            isLeaving = false
            onLeft()
        }
        if hasFailed {
            // Nothing is done any more but to answer that.
            for (sink, response) in effects.responses { sinks[sink].deliver(response) }
            return nil
        }
        carryOut(&effects, taker)
        return next
    }

    private func number(of sink: any ResponseSink) -> SinkID {
        let key = ObjectIdentifier(sink)
        if let known = sinkIDs[key] { return known }
        sinks.append(sink)
        sinkIDs[key] = sinks.count - 1
        return sinks.count - 1
    }

    /// Takes the work for the peers out of `effects`.
    private func carryOut(_ effects: inout MemberEffects, _ taker: TurnTaker) {
        if let network, !effects.peers.isEmpty {
            var work = PeerWork()
            swap(&work, &effects.peers)
            network.carry(work)
        }
        if !effects.log.isEmpty {
            let helps = taker == .idle && syncPace.isQuick
            logThread.post(contentsOf: effects.log, at: helps ? .later : .thread)
        }
        if let batch = effects.commit {
            if hasStoppedThreads { lateCommit = batch } else { backendThread.mailbox.post(.commit(batch)) }
        }
        for order in effects.copies { backendThread.mailbox.post(.copyForClient(order)) }
        if effects.copiesDatabase { backendThread.mailbox.post(.copy) }
        if let snapshot = effects.install { backendThread.mailbox.post(.install(snapshot)) }
        if let fetched = effects.replace { backendThread.mailbox.post(.replace(fetched)) }
        for path in effects.unwantedDatabases { backendThread.mailbox.post(.remove(path)) }
        for (sink, response) in effects.responses { sinks[sink].deliver(response) }
        for (reply, value) in effects.statistics { reply(value) }
        for line in effects.lines { logger.write(line) }
        if effects.becameReady { onReady() }
        if effects.isRemoved, !wasRemoved {
            wasRemoved = true
            onRemoved()
        }
        if let failure = effects.failure {
            hasFailed = true
            onFailure(failure)
        }
    }

    // MARK: Stop

    /// Lets the other threads finish what they were given; what they report waits for a turn then.
    func stopThreads() {
        hasStoppedThreads = true
        logThread.catchUp()
        backendThread.stop()
    }

    /// Writes what log and backend file do not hold yet, and closes them.
    func finish() {
        var last = hasFailed ? (log: nil, commit: nil) : core.lastWork()
        if let work = last.log { logThread.post(work, at: .later) }
        logThread.stop(quiesce: { _ in }) { [hasFailed, logger] log in
            if hasFailed { return }
            do throws(MemberError) { try log.close() } catch {
                logger.error("failed to close the log", metadata: ["error": "\(error)"])
            }
        }
        if hasFailed { return }
        do {
            if let batch = lateCommit {
                core.backendCommitted(BackendCompletion(result: try batch.write(to: backendFile.file), seconds: 0))
                last.commit = core.lastWork().commit
            }
            if let batch = last.commit { _ = try batch.write(to: backendFile.file) }
            try backendFile.file.close()
        } catch {
            logger.error("failed to close the backend", metadata: ["error": "\(error)"])
        }
    }
}

extension Logger {
    func write(_ line: LogLine) {
        let level: Logger.Level =
            switch line.level {
            case .debug: .debug
            case .info: .info
            case .warn: .warning
            case .error: .error
            }
        var metadata: Logger.Metadata = [:]
        for field in line.fields { metadata[field.name] = "\(field.value)" }
        log(level: level, "\(line.message)", metadata: metadata)
    }
}
