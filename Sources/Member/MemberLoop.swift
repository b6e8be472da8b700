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

/// A running member: a thread that owns the member's state, one that writes its log, and one that writes its backend
/// file. All calls may come from any thread.
public final class MemberLoop: PeerHost {
    private let worker: WorkerThread<LoopEvent>
    private let stopped: any Parking
    public let memberID: MemberID
    public let clusterID: ClusterID

    /// Opens the data directory and starts the threads.
    /// - Parameters:
    ///   - network: the way to the other members; nil for a cluster that has none.
    ///   - onReady: called once on the member's thread when the member has published itself: clients may be served.
    ///   - onFailure: called once on the member's thread when it cannot go on; the process should end.
    ///   - onRemoved: called once on the member's thread when it is no part of its cluster any more: it should be
    ///     stopped.
    /// - Throws: why the member cannot start.
    public static func start(
        _ configuration: MemberConfiguration, on platform: MemberPlatform, network: (any PeerNetwork)? = nil,
        logger: Logger, onReady: @escaping @Sendable () -> Void, onFailure: @escaping @Sendable (MemberError) -> Void,
        onRemoved: @escaping @Sendable () -> Void = {}
    ) throws(MemberError) -> MemberLoop {
        let opened = try open(configuration, platform, logger)
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

    private static func open(
        _ configuration: MemberConfiguration, _ platform: MemberPlatform, _ logger: Logger
    ) throws(MemberError) -> (restored: RestoredMember, files: OpenFiles) {
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
                return (result.0, result.1)
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
        let stopped = platform.threads.makeParker()
        self.stopped = stopped
        let core = MemberCore(
            restored, configuration: configuration, now: platform.clock.now(),
            unixMilliseconds: platform.clock.unixMilliseconds())
        let inbox = LateMailbox()
        // SAFETY: nobody but the member's thread uses the driver from here on.
        nonisolated(unsafe) let driver = try MemberDriver(
            core, files, configuration, platform, logger, network: network, inbox: inbox, onReady: onReady,
            onFailure: onFailure, onRemoved: onRemoved, onStopped: { stopped.unpark() })
        worker = try WorkerThread(
            named: "member", limit: MemberLimits.mailboxEvents, threads: platform.threads, clock: platform.clock
        ) { batch in driver.turn(&batch) }
        inbox.set(worker.mailbox)
    }

    /// Posts requests, all of them or none; answers go to `sink` on the member's thread.
    /// - Returns: false when the mailbox is full: the caller refuses them with `EtcdError.tooManyRequests`.
    public func submit(_ requests: [ClientRequest], sink: any ResponseSink) -> Bool {
        worker.mailbox.post(.requests(requests, sink: sink))
    }

    /// Asks for the member's figures; `body` is called on the member's thread.
    /// - Returns: false when the mailbox is full or the member has stopped; `body` is then never called.
    @discardableResult
    public func withStatistics(_ body: @escaping @Sendable (MemberStatistics) -> Void) -> Bool {
        worker.mailbox.post(.member(.statistics(body)))
    }

    /// Takes what the network has from or about the other members.
    /// - Returns: false when the mailbox is full or the member has stopped.
    @discardableResult
    public func report(_ report: PeerReport) -> Bool {
        worker.mailbox.post(.member(.peer(report)))
    }

    /// Hands leadership over, finishes what is in the mailbox, syncs the log, commits the backend file and closes both.
    /// To be called once.
    public func stop() {
        if worker.mailbox.post(.stop) { stopped.park(until: nil) }
        worker.stop()
    }
}

/// What comes into the loop's mailbox.
enum LoopEvent: Sendable {
    case requests([ClientRequest], sink: any ResponseSink)
    case member(MemberEvent)
    case stop
    /// Follows `stop` when the other threads have ended and their last completions are in the mailbox.
    case finish
}

/// The loop's own mailbox, known only after its thread exists.
final class LateMailbox: Sendable {
    private let mailbox = Mutex<Mailbox<LoopEvent>?>(nil)

    func set(_ mailbox: Mailbox<LoopEvent>) { self.mailbox.withLock { $0 = mailbox } }

    /// What a thread of the member reports is never refused for lack of room: it is bounded by the work it was given.
    func post(_ event: LoopEvent) { mailbox.withLock { $0 }?.post(event) }
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
