internal import Base
internal import EtcdProto
internal import Logging
internal import MVCC
internal import Platform
internal import RaftCore
internal import WAL

/// Drives a `MemberCore`: hands it what has come in, and does what it asks. Owned by the member's thread.
final class MemberDriver {
    private let core: MemberCore
    private let clock: any Clock
    private let logger: Logger
    private let inbox: LateMailbox
    private let logThread: WorkerThread<LogWork>
    private let backendThread: WorkerThread<BackendWork>
    private let logWriter: LogWriter
    private let backendFile: BackendSlot
    private let network: (any PeerNetwork)?
    private let onReady: @Sendable () -> Void
    private let onFailure: @Sendable (MemberError) -> Void
    private let onRemoved: @Sendable () -> Void
    private let onStopped: @Sendable () -> Void

    /// The sinks by the number that the core knows them by; they live as long as the process.
    private var sinks: [any ResponseSink] = []
    private var sinkIDs: [ObjectIdentifier: SinkID] = [:]
    private var events: [MemberEvent] = []
    private var hasFailed = false
    private var hasFinished = false
    private var isLeaving = false
    private var wasRemoved = false
    /// A commit that fell due after the backend's thread had been told to end.
    private var lateCommit: CommitBatch?
    private var hasStoppedThreads = false

    /// What the backend's thread is asked for.
    private enum BackendWork: Sendable {
        case commit(CommitBatch)
        case copy
        case install(Snapshot)
        case prepareSegment
    }

    /// Batches that may wait for the backend's thread: a commit and a segment at a time.
    private static let backendWorkLimit = 64

    init(
        _ core: MemberCore, _ files: OpenFiles, _ configuration: MemberConfiguration, _ platform: MemberPlatform,
        _ logger: Logger, network: (any PeerNetwork)?, inbox: LateMailbox, onReady: @escaping @Sendable () -> Void,
        onFailure: @escaping @Sendable (MemberError) -> Void, onRemoved: @escaping @Sendable () -> Void,
        onStopped: @escaping @Sendable () -> Void
    ) throws(DiskError) {
        self.core = core
        clock = platform.clock
        self.logger = logger
        self.inbox = inbox
        self.onReady = onReady
        self.onFailure = onFailure
        self.onRemoved = onRemoved
        self.network = network
        self.onStopped = onStopped
        backendFile = BackendSlot(files.backend)
        logWriter = files.makeWriter(configuration, clock: platform.clock)
        let backend = try Self.startBackendThread(
            backendFile, SnapshotInstaller(files, core, configuration, platform.passwords),
            pipeline: logWriter.pipeline,
            platform,
            inbox)
        backendThread = backend
        logThread = try Self.startLogThread(logWriter, platform, inbox) { backend.mailbox.post(.prepareSegment) }
        backend.mailbox.post(.prepareSegment)
    }

    private static func startLogThread(
        _ writer: LogWriter, _ platform: MemberPlatform, _ inbox: LateMailbox, cut: @escaping @Sendable () -> Void
    ) throws(DiskError) -> WorkerThread<LogWork> {
        // SAFETY: until the thread has been joined only it uses the writer.
        nonisolated(unsafe) let writer = writer
        return try WorkerThread(
            named: "wal", limit: MemberLimits.logWork, threads: platform.threads, clock: platform.clock
        ) { batch in
            if batch.isEmpty { return nil }
            do throws(MemberError) {
                try writer.perform(batch, completed: { inbox.post(.member(.logged($0))) }, cut: cut)
            } catch {
                inbox.post(.member(.failed(error)))
            }
            return nil
        }
    }

    private static func startBackendThread(
        _ file: BackendSlot, _ installer: SnapshotInstaller, pipeline: SegmentPipeline, _ platform: MemberPlatform,
        _ inbox: LateMailbox
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
                        inbox.post(.member(.committed(BackendCompletion(result: result, seconds: seconds))))
                    case .copy:
                        inbox.post(.member(.copied(try file.file.beginCopy(named: "snapshot for a peer"))))
                    case .install(let snapshot):
                        inbox.post(.member(.installed(try installer.install(snapshot, in: file))))
                    case .prepareSegment: try pipeline.prepare()
                    }
                } catch let error as MemberError {
                    inbox.post(.member(.failed(error)))
                } catch {
                    inbox.post(.member(.failed(MemberError(.disk, "cannot write the backend: \(error)"))))
                }
            }
            return nil
        }
    }

    // MARK: Turns

    /// One turn of the loop.
    /// - Returns: when the next one is due.
    func turn(_ batch: inout [LoopEvent]) -> Instant? {
        if hasFinished { return nil }
        var finishes = false
        for event in batch {
            switch event {
            case .requests(let requests, let sink): events.append(.requests(requests, sink: number(of: sink)))
            case .member(let event): events.append(event)
            case .stop:
                isLeaving = true
                events.append(.leave)
            case .finish: finishes = true
            }
        }
        if hasFailed { return refuse(finishes) }
        let effects = core.turn(&events, now: clock.now())
        let hasLeft = effects.hasLeft
        carryOut(effects)
        if isLeaving && (hasLeft || hasFailed) {
            isLeaving = false
            stopThreads()
        }
        if finishes { finish() }
        return hasFinished ? nil : effects.wakeAt
    }

    /// After a failure nothing is done any more but to answer that.
    private func refuse(_ finishes: Bool) -> Instant? {
        let effects = core.turn(&events, now: clock.now())
        for (sink, response) in effects.responses { sinks[sink].deliver(response) }
        if isLeaving {
            isLeaving = false
            stopThreads()
        }
        if finishes {
            hasFinished = true
            onStopped()
        }
        return nil
    }

    private func number(of sink: any ResponseSink) -> SinkID {
        let key = ObjectIdentifier(sink)
        if let known = sinkIDs[key] { return known }
        sinks.append(sink)
        sinkIDs[key] = sinks.count - 1
        return sinks.count - 1
    }

    private func carryOut(_ effects: consuming MemberEffects) {
        if !effects.peers.isEmpty { network?.carry(effects.peers) }
        if !effects.log.isEmpty { logThread.mailbox.post(contentsOf: effects.log) }
        if let batch = effects.commit {
            if hasStoppedThreads { lateCommit = batch } else { backendThread.mailbox.post(.commit(batch)) }
        }
        for order in effects.copies { deliver(order) }
        if effects.copiesDatabase { backendThread.mailbox.post(.copy) }
        if let snapshot = effects.install { backendThread.mailbox.post(.install(snapshot)) }
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

    /// Begins the copy of the backend that a client has asked for. What is read of it is read elsewhere.
    private func deliver(_ order: BackendCopyOrder) {
        var batch = ResponseBatch()
        var response = ResponseBatch.Response(ticket: order.address.ticket, range: 0..<0)
        do {
            response.snapshot = BackendSnapshot(
                copy: try backendFile.file.beginCopy(named: "snapshot"), storageVersion: order.storageVersion)
        } catch {
            response.error = EtcdError(.internal, "martlet: cannot copy the backend: \(error)")
        }
        batch.responses.append(response)
        sinks[order.address.sink].deliver(batch)
    }

    // MARK: Stop

    /// Lets the other threads finish; what they still report is in the mailbox before `finish` is.
    private func stopThreads() {
        hasStoppedThreads = true
        logThread.stop()
        backendThread.stop()
        inbox.post(.finish)
    }

    /// Commits what the backend file does not hold yet, and closes the files.
    private func finish() {
        hasFinished = true
        do {
            if let batch = lateCommit {
                core.backendCommitted(BackendCompletion(result: try batch.write(to: backendFile.file), seconds: 0))
            }
            if let batch = core.lastCommit() { _ = try batch.write(to: backendFile.file) }
            try logWriter.close()
            try backendFile.file.close()
        } catch {
            logger.error("failed to close the data directory", metadata: ["error": "\(error)"])
        }
        onStopped()
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
