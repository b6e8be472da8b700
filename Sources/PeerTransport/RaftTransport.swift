internal import Base
public import Logging
public import Member
public import NIOCore
internal import NIOHTTP1
public import NIOPosix
public import Platform
internal import Synchronization
public import TLS

/// The transport between the members of a cluster: raft messages, snapshots and questions over HTTP/1.1, as etcd's
/// members speak it. Format: docs/formats/peer.md.
///
/// ```swift
/// let transport = RaftTransport(settings, eventLoop: group.next(), logger: logger)
/// let member = try MemberLoop.start(configuration, on: platform, network: transport, …)
/// try await transport.start(identity, host: member, listeningAt: ["http://127.0.0.1:2380"])
/// ```
///
/// All of it runs on one event loop. What the member sends before `start` waits.
public final class RaftTransport: PeerNetwork {
    public struct Settings: Sendable {
        public var disk: any Disk
        public var clock: any Clock
        /// Where databases that a leader sends are stored: the directory of raft's snapshots.
        public var snapshotDirectory: String
        public var diskThreads: NIOThreadPool
        public var electionTimeout: Duration
        /// How long a question to a peer or to the member may take.
        public var requestTimeout: Duration
        /// Bytes a second of all databases that are sent to peers; 0 is no limit.
        public var snapshotBytesPerSecond: UInt64
        /// For `https` URLs of this member; nil: it cannot listen at such.
        public var listenTLS: ServerTLS?
        /// For `https` URLs of other members; nil: they cannot be dialled.
        public var dialTLS: ClientTLS?

        public init(
            disk: any Disk, clock: any Clock, snapshotDirectory: String, diskThreads: NIOThreadPool,
            electionTimeout: Duration = .milliseconds(1000), requestTimeout: Duration = .seconds(7),
            snapshotBytesPerSecond: UInt64 = 0, listenTLS: ServerTLS? = nil, dialTLS: ClientTLS? = nil
        ) {
            self.snapshotBytesPerSecond = snapshotBytesPerSecond
            self.disk = disk
            self.clock = clock
            self.snapshotDirectory = snapshotDirectory
            self.diskThreads = diskThreads
            self.electionTimeout = electionTimeout
            self.requestTimeout = requestTimeout
            self.listenTLS = listenTLS
            self.dialTLS = dialTLS
        }
    }

    private let settings: Settings
    private let eventLoop: any EventLoop
    private let logger: Logger
    private let core: NIOLoopBoundBox<TransportCore?>
    private let work: Mailbox<PeerWork>
    private let listeners = Mutex<[any Channel]>([])
    private let divider = Mutex<ConnectionDivider?>(nil)

    public init(_ settings: Settings, eventLoop: any EventLoop, logger: Logger) {
        self.settings = settings
        self.eventLoop = eventLoop
        self.logger = logger
        core = NIOLoopBoundBox<TransportCore?>.makeEmptyBox(valueType: TransportCore.self, eventLoop: eventLoop)
        work = Mailbox(limit: PeerLimits.queuedWork, wake: {})
    }

    public func carry(_ work: consuming PeerWork) {
        switch self.work.put(contentsOf: CollectionOfOne(work)) {
        case .first:
            eventLoop.execute { [work = self.work, core] in
                // Before the start it waits: the core takes it then.
                if let core = core.value { Self.carryOut(work, core) }
            }
        // Full only when the event loop has stopped working; raft copes with what is lost.
        case .behindOthers, .refused: break
        }
    }

    public func attend() {
        guard !work.isEmpty, eventLoop.inEventLoop, let core = core.value else { return }
        Self.carryOut(work, core)
    }

    private static func carryOut(_ work: Mailbox<PeerWork>, _ core: TransportCore) {
        var batch: [PeerWork] = []
        work.drain(into: &batch)
        for work in batch { core.carry(out: work) }
    }

    /// Takes up work and listens for peers.
    /// - Throws: when an address cannot be listened at.
    public func start(_ identity: PeerIdentity, host: any PeerHost, listeningAt urls: [String]) async throws {
        let settings = settings
        let logger = logger
        let boxed = core
        let mailbox = work
        try await eventLoop.submit { [eventLoop] in
            let core = TransportCore(settings, identity: identity, eventLoop: eventLoop, logger: logger)
            boxed.value = core
            core.start(host)
            Self.carryOut(mailbox, core)
        }.get()
        for url in urls {
            guard let address = PeerAddress(url: url) else { throw PeerListenError(url: url, reason: "no address") }
            do {
                let channel = try await bind(address)
                listeners.withLock { $0.append(channel) }
            } catch {
                throw PeerListenError(url: url, reason: "\(error)")
            }
            logger.info("serving peer traffic", metadata: ["address": "\(address.host)"])
        }
    }

    /// From here on a connection of a peer that turns out not to speak HTTP/1 is somebody else's.
    ///
    /// etcd answers gRPC on its peer ports, too: `docs/decisions/128-grpc-on-peer-ports.md`.
    /// - Parameter divide: completes the pipeline of a connection: itself, or by the closure for HTTP/1. Called on the
    ///   transport's event loop.
    public func share(_ divide: @escaping ConnectionDivider) { divider.withLock { $0 = divide } }

    private func bind(_ address: PeerAddress) async throws -> any Channel {
        let boxed = core
        let tls: ServerTLS?
        switch address {
        case .tls:
            guard let listenTLS = settings.listenTLS else { throw PeerFailure.noTLS }
            tls = listenTLS
        case .tcp, .unix: tls = nil
        }
        let bootstrap = ServerBootstrap(group: eventLoop)
            .serverChannelOption(.backlog, value: 128)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(
                .writeBufferWaterMark,
                value: .init(low: PeerLimits.streamBufferBytes / 2, high: PeerLimits.streamBufferBytes)
            )
            .childChannelInitializer { [self] channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let core = boxed.value, core.admits(channel) else { throw PeerFailure.closed }
                    try tls?.install(on: channel)
                    if let divide = divider.withLock({ $0 }) {
                        try divide(channel) { channel in
                            guard let core = boxed.value else { throw PeerFailure.closed }
                            try Self.installHTTP1(on: channel, core)
                        }
                    } else {
                        try Self.installHTTP1(on: channel, core)
                    }
                }
            }
        switch address {
        case .tcp(let host, let port), .tls(let host, let port):
            let name = host == "localhost" ? "127.0.0.1" : host
            return try await bootstrap.bind(host: name, port: port).get()
        case .unix(let path):
            return try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
        }
    }

    private static func installHTTP1(on channel: any Channel, _ core: TransportCore) throws {
        let pipeline = channel.pipeline.syncOperations
        let outlet = StreamOutlet()
        try pipeline.addHandler(outlet)
        try pipeline.addHandler(IdleStateHandler(readTimeout: PeerLimits.requestTimeout))
        try pipeline.configureHTTPServerPipeline(withPipeliningAssistance: true, withErrorHandling: true)
        try pipeline.addHandler(PeerServerHandler(core, core.endpoints, outlet: outlet))
    }

    /// Asks for what has been carried so far; `body` is called with it on the transport's event loop, not at all when
    /// that has ended.
    public func withStatistics(_ body: @escaping @Sendable (NetworkStatistics) -> Void) {
        let boxed = core
        eventLoop.execute { body(boxed.value?.statistics ?? NetworkStatistics()) }
    }

    /// Closes all connections; what the member still sends is dropped.
    public func stop() async {
        let channels = listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
        // One that is closed already is none the worse for it.
        for channel in channels { try? await channel.close() }
        let boxed = core
        try? await eventLoop.submit { boxed.value?.stop() }.get()
    }
}

/// Installs what serves a connection once its first bytes show the protocol, with HTTP/1 in the hands of the closure.
public typealias ConnectionDivider =
    @Sendable (_ channel: any Channel, _ http1: @escaping @Sendable (any Channel) throws -> Void) throws -> Void

/// An address for peers that cannot be listened at.
public struct PeerListenError: Error, CustomStringConvertible {
    public var url: String
    public var reason: String
    public var description: String { "cannot listen on \(url): \(reason)" }
}
