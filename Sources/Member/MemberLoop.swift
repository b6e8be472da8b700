public import Base
public import Logging
internal import MVCC
public import Platform
internal import RaftCore
internal import Synchronization
internal import WAL

/// What a member runs on.
public struct MemberPlatform: Sendable {
    public var disk: any Disk
    public var clock: any Clock
    public var threads: any Threads
    public var entropy: any Entropy
    public var passwords: any Passwords

    public init(
        disk: any Disk, clock: any Clock, threads: any Threads, entropy: any Entropy, passwords: any Passwords
    ) {
        self.passwords = passwords
        self.disk = disk
        self.clock = clock
        self.threads = threads
        self.entropy = entropy
    }
}

/// A running member: its state, of which one thread at a time takes a turn, a thread that writes its log, and one that
/// writes its backend file. All calls may come from any thread, and each may take a turn of the member on it, in which
/// answers are delivered.
public final class MemberLoop: PeerHost {
    private let worker: CombiningWorker<MemberDriver, LoopEvent>
    private let log: CombiningWorker<LogWriter, LogWork>
    private let inbox: LoopInbox
    private let network: (any PeerNetwork)?
    /// Told when leadership has been handed over before the end.
    private let left: any Parking
    public let memberID: MemberID
    public let clusterID: ClusterID

    /// Opens the data directory and starts the threads.
    /// - Parameters:
    ///   - network: the way to the other members; nil for a cluster that has none.
    ///   - onReady: called once in a turn, when the member has published itself: clients may be served. Must not block.
    ///   - onFailure: called once in a turn, when it cannot go on; the process should end. Must not block.
    ///   - onRemoved: called once in a turn, when it is no part of its cluster any more: it should be stopped. Must not
    ///     block.
    /// - Throws: why the member cannot start.
    public static func start(
        _ configuration: MemberConfiguration, on platform: MemberPlatform, network: (any PeerNetwork)? = nil,
        logger: Logger, onReady: @escaping @Sendable () -> Void, onFailure: @escaping @Sendable (MemberError) -> Void,
        onRemoved: @escaping @Sendable () -> Void = {}
    ) throws(MemberError) -> MemberLoop {
        try start(
            open(configuration, on: platform, logger: logger), configuration, on: platform, network: network,
            logger: logger, onReady: onReady, onFailure: onFailure, onRemoved: onRemoved)
    }

    /// Starts the threads of a member whose data directory has been opened.
    public static func start(
        _ opened: OpenedMember, _ configuration: MemberConfiguration, on platform: MemberPlatform,
        network: (any PeerNetwork)? = nil, logger: Logger, onReady: @escaping @Sendable () -> Void,
        onFailure: @escaping @Sendable (MemberError) -> Void, onRemoved: @escaping @Sendable () -> Void = {}
    ) throws(MemberError) -> MemberLoop {
        do throws(DiskError) {
            return try MemberLoop(
                configuration, platform, network, logger, opened.restored, opened.files, onReady: onReady,
                onFailure: onFailure, onRemoved: onRemoved)
        } catch {
            throw MemberError(.disk, "cannot start a thread: \(error)")
        }
    }

    /// How long to wait for another process to give the data directory up, and how often to look.
    private static let lockPatience: Duration = .seconds(10)
    private static let lockRetryInterval: Duration = .milliseconds(50)

    /// Opens a data directory and reads the member's state; nothing runs yet.
    /// - Throws: why the member cannot start.
    public static func open(
        _ configuration: MemberConfiguration, on platform: MemberPlatform, logger: Logger
    ) throws(MemberError) -> OpenedMember {
        var raftLogger = logger
        raftLogger[metadataKey: "logger"] = "raft"
        let sink = LogSink(level: .info) { [raftLogger] level, text in
            raftLogger.log(level: level.loggerLevel, "\(text)")
        }
        var opener = MemberOpener(
            configuration, disk: platform.disk, clock: platform.clock, seed: platform.entropy.random(),
            passwords: platform.passwords, raftLog: sink)
        let deadline = platform.clock.now() + lockPatience
        let parker = platform.threads.makeParker()
        var warned = false
        while true {
            do throws(MemberError) {
                let result = try opener.open()
                for line in opener.lines { logger.write(line) }
                return OpenedMember(restored: result.0, files: result.1)
            } catch {
                guard error.kind == .inUse, platform.clock.now() < deadline else {
                    for line in opener.lines { logger.write(line) }
                    throw error
                }
                if !warned { logger.warning("waiting for the data directory", metadata: ["reason": "\(error)"]) }
                warned = true
                parker.park(until: platform.clock.now() + lockRetryInterval)
            }
        }
    }

    private init(
        _ configuration: MemberConfiguration, _ platform: MemberPlatform, _ network: (any PeerNetwork)?,
        _ logger: Logger, _ restored: RestoredMember, _ files: OpenFiles, onReady: @escaping @Sendable () -> Void,
        onFailure: @escaping @Sendable (MemberError) -> Void, onRemoved: @escaping @Sendable () -> Void
    ) throws(DiskError) {
        memberID = restored.localID
        clusterID = restored.clusterID
        self.network = network
        let left = platform.threads.makeParker()
        self.left = left
        let core = MemberCore(
            restored, configuration: configuration, now: platform.clock.now(),
            unixMilliseconds: platform.clock.unixMilliseconds())
        let inbox = LoopInbox()
        // SAFETY: the worker takes the driver over, and nobody else keeps it.
        nonisolated(unsafe) let driver = try MemberDriver(
            core, files, configuration, platform, logger, network: network, inbox: inbox, onReady: onReady,
            onFailure: onFailure, onRemoved: onRemoved, onLeft: { left.unpark() })
        log = driver.logThread
        worker = try CombiningWorker(
            named: "member", limit: MemberLimits.mailboxEvents, threads: platform.threads, clock: platform.clock,
            state: driver
        ) { driver, batch, taker in driver.turn(&batch, taker) }
        self.inbox = inbox
        inbox.open(worker)
    }

    /// Posts requests, all of them or none; answers go to `sink`, some perhaps before the call returns.
    /// - Parameter isIdle: the caller has nothing else to do until it has the answers. Where the disk is quick the call
    ///   then also writes and syncs the log for them, which spares waking a thread for it.
    /// - Returns: false when the mailbox is full: the caller refuses them with `EtcdError.tooManyRequests`.
    public func submit(_ requests: [ClientRequest], sink: any ResponseSink, isIdle: Bool) -> Bool {
        guard isIdle else { return worker.post(.requests(requests, sink: sink)) }
        guard worker.post(.requests(requests, sink: sink), as: .idle) else { return false }
        finishAsIdle()
        return true
    }

    /// As above, for one who does not wait.
    public func submit(_ requests: [ClientRequest], sink: any ResponseSink) -> Bool {
        submit(requests, sink: sink, isIdle: false)
    }

    /// Asks for the member's figures; `body` is called in a turn, perhaps before the call returns.
    /// - Returns: false when the mailbox is full or the member has stopped; `body` is then never called.
    @discardableResult
    public func withStatistics(_ body: @escaping @Sendable (MemberStatistics) -> Void) -> Bool {
        worker.post(.member(.statistics(body)))
    }

    /// Takes what the network has from or about the other members.
    /// - Parameter isIdle: the caller has nothing else to do. Where the disk is quick the call then also writes and
    ///   syncs the log, which spares a follower waking a thread before it answers.
    /// - Returns: false when the mailbox is full or the member has stopped.
    @discardableResult
    public func report(_ report: PeerReport, isIdle: Bool) -> Bool {
        guard isIdle else { return worker.post(.member(.peer(report))) }
        guard worker.post(.member(.peer(report)), as: .idle) else { return false }
        finishAsIdle()
        return true
    }

    /// What a turn has left to a poster who has nothing else to do. Entries are on their way to the peers before this
    /// member's own sync begins, and what the sync allows to be sent does not wait for the loop's next round.
    private func finishAsIdle() {
        network?.attend()
        log.help()
        network?.attend()
    }

    /// Hands leadership over, finishes what is in the mailbox, syncs the log, commits the backend file and closes both.
    /// To be called once.
    public func stop() {
        if worker.post(.leave) { left.park(until: nil) }
        worker.stop(quiesce: { $0.stopThreads() }, finish: { $0.finish() })
        inbox.close()
    }
}

/// What comes into the loop's mailbox.
enum LoopEvent: Sendable {
    case requests([ClientRequest], sink: any ResponseSink)
    case member(MemberEvent)
    /// Leadership is to be handed over, because the member is going to stop.
    case leave
}

/// Where the member's threads report to. They run before the loop that they report to exists, so what comes early waits
/// here.
final class LoopInbox: Sendable {
    private enum State {
        case waiting([LoopEvent])
        case open(CombiningWorker<MemberDriver, LoopEvent>)
        case closed
    }

    private let state = Mutex(State.waiting([]))

    func open(_ worker: CombiningWorker<MemberDriver, LoopEvent>) {
        let early = state.withLock { state -> [LoopEvent] in
            guard case .waiting(let events) = state else { preconditionFailure("opened twice") }
            state = .open(worker)
            return events
        }
        for event in early { worker.post(event) }
    }

    func close() { state.withLock { $0 = .closed } }

    /// What a thread of the member reports is never refused for lack of room: it is bounded by the work it was given.
    func post(_ event: LoopEvent, at place: TurnPlace) {
        let worker = state.withLock { state -> CombiningWorker<MemberDriver, LoopEvent>? in
            switch state {
            case .waiting(let events):
                state = .waiting(events + [event])
                return nil
            case .open(let worker): return worker
            case .closed: return nil
            }
        }
        worker?.post(event, at: place)
    }
}

extension LogLevel {
    fileprivate var loggerLevel: Logger.Level {
        switch self {
        case .debug: .debug
        case .info: .info
        case .warning: .warning
        case .error: .error
        }
    }
}
