internal import HTTP2
public import Logging
public import NIOCore
internal import NIOPosix
public import Platform
internal import Synchronization
public import TLS

/// The client side of a member: gRPC and plain HTTP on the client addresses, metrics and health on further ones.
///
/// ```swift
/// let server = ClientServer(
///     configuration: .init(), member: member, group: group, processStatistics: { .current() }, logger: logger)
/// try await server.serveClients(at: .tcp(host: "127.0.0.1", port: 2379))
/// …
/// await server.shutdown(drain: .seconds(5))
/// ```
public final class ClientServer: Sendable {
    public struct Configuration: Sendable {
        /// The largest encoded raft request; the largest message of a client may have 512 KiB more.
        public var maxRequestBytes = 1_572_864
        public var maxConcurrentStreams = UInt32.max
        /// Operations in one list of a transaction.
        public var maxTxnOperations = 128
        /// Shortest time between two pings of a client.
        public var keepaliveMinTime = Duration.seconds(5)
        /// Idle time before the server pings; zero for never.
        public var keepaliveInterval = Duration.seconds(7200)
        /// Wait for the answer to a ping; zero for ever.
        public var keepaliveTimeout = Duration.seconds(20)
        /// Slower calls are logged.
        public var slowCall = Duration.milliseconds(300)
        /// What plain HTTP waits for the member.
        public var requestTimeout = Duration.seconds(7)
        /// Empty, or with `*`: all.
        public var corsOrigins: [String] = []
        /// Empty, or with `*`: all.
        public var allowedHosts: [String] = []
        /// Whether other processes may listen on the same ports.
        public var reusesPorts = false
        /// The version of etcd's API, as `/version` and the metrics name it.
        public var serverVersion = "3.7.1"

        public init() {}
    }

    private let group: any EventLoopGroup
    private let reusesPorts: Bool
    private let clientEndpoints: PlainEndpoints
    private let metricsEndpoints: PlainEndpoints
    private let services: ServiceSet
    private let grpc: GRPCServer
    private let metricsListeners = Mutex<[any Channel]>([])

    /// - Parameters:
    ///   - group: the event loops that serve; not shut down by the server.
    ///   - first: the one that serves a client who is alone; nil: the group's first. Best the one that the member talks
    ///     with its peers on.
    ///   - processStatistics: reads the figures of the process for `/metrics`.
    public init(
        configuration: Configuration, member: any MemberHandle, group: any EventLoopGroup,
        first: (any EventLoop)? = nil,
        processStatistics: @escaping @Sendable () -> ProcessStatistics, logger: Logger
    ) {
        self.group = group
        reusesPorts = configuration.reusesPorts
        let record = HealthRecord()
        let access = AccessControl(hosts: configuration.allowedHosts, origins: configuration.corsOrigins)
        func endpoints(_ scope: PlainEndpoints.Scope) -> PlainEndpoints {
            PlainEndpoints(
                scope: scope, serverVersion: configuration.serverVersion, record: record,
                processStatistics: processStatistics, logger: logger)
        }
        let clientEndpoints = endpoints(.client(access))
        self.clientEndpoints = clientEndpoints
        metricsEndpoints = endpoints(.metrics)
        let services = ServiceSet(group: group, member: member, limits: configuration.limits, logger: logger)
        self.services = services
        grpc = GRPCServer(
            group: group, first: first, configuration: configuration.http2,
            http1: { channel in
                try PlainHTTPHandler.install(
                    on: channel, endpoints: clientEndpoints, probe: services.service(of: channel.eventLoop))
            },
            makeService: { services.service(of: $0) })
    }

    /// What is agreed on with a client by ALPN. One that takes both is a browser, `curl` or a scraper of metrics, and
    /// is served over HTTP/1.1; gRPC clients offer nothing but `h2`.
    public static let clientProtocols = ["http/1.1", "h2"]
    public static let metricsProtocols = ["http/1.1"]

    /// Listens for clients, both protocols on one port.
    /// - Parameter tls: nil for plain connections; made with ``clientProtocols``.
    /// - Returns: where it listens, which tells the port when 0 was asked for.
    @discardableResult
    public func serveClients(
        at address: ListenAddress, tls: ServerTLS? = nil
    ) async throws(ListenError) -> SocketAddress? {
        let secure = tls.map { tls in { @Sendable (channel: any Channel) in try tls.install(on: channel) } }
        do {
            switch address {
            case .tcp(let host, let port):
                return try await grpc.bind(
                    host: ListenAddress.numeric(host), port: port, secure: secure
                ).get().localAddress
            case .unix(let path):
                return try await grpc.bind(unixPath: path, secure: secure).get().localAddress
            }
        } catch {
            throw ListenError(address, error)
        }
    }

    /// Serves gRPC on a connection that somebody else has accepted on one of the group's event loops; if it does not
    /// speak HTTP/2, `http1` completes its pipeline. To be called on the channel's loop.
    public func install(on channel: any Channel, http1: @escaping @Sendable (any Channel) throws -> Void) throws {
        try grpc.install(on: channel, http1: http1)
    }

    /// Listens for those who want metrics and health alone.
    /// - Parameter tls: nil for plain connections; made with ``metricsProtocols``.
    @discardableResult
    public func serveMetrics(
        at address: ListenAddress, tls: ServerTLS? = nil
    ) async throws(ListenError) -> SocketAddress? {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 128)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.socketOption(.reusePort), value: reusesPorts ? 1 : 0)
            .childChannelInitializer { [metricsEndpoints, services] channel in
                channel.eventLoop.makeCompletedFuture {
                    try tls?.install(on: channel)
                    try PlainHTTPHandler.install(
                        on: channel, endpoints: metricsEndpoints, probe: services.service(of: channel.eventLoop))
                }
            }
        do {
            let channel: any Channel
            switch address {
            case .tcp(let host, let port):
                channel = try await bootstrap.bind(host: ListenAddress.numeric(host), port: port).get()
            case .unix(let path):
                channel = try await bootstrap.bind(unixDomainSocketPath: path, cleanupExistingSocketFile: true).get()
            }
            metricsListeners.withLock { $0.append(channel) }
            return channel.localAddress
        } catch {
            throw ListenError(address, error)
        }
    }

    /// Takes no more connections and calls, lets open calls finish for so long, then closes all.
    public func shutdown(drain: Duration) async {
        let listeners = metricsListeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
        // One that is closed already is none the worse for it.
        for listener in listeners { try? await listener.close() }
        await grpc.shutdown(drain: TimeAmount(drain))
    }
}

extension ClientServer.Configuration {
    /// What a gRPC message may have on top of a request, for its other fields.
    private static let messageOverhead = 512 << 10

    var limits: CallLimits {
        var limits = CallLimits()
        limits.txnOperations = maxTxnOperations
        limits.slowCall = TimeAmount(slowCall)
        limits.probeTimeout = TimeAmount(requestTimeout)
        return limits
    }

    var http2: HTTP2.ServerConfiguration {
        // Longer than any process runs, and far from the end of the clock.
        let never = TimeAmount.hours(24 * 365 * 100)
        var http2 = HTTP2.ServerConfiguration()
        http2.maxMessageBytes = maxRequestBytes + Self.messageOverhead
        http2.reusesPort = reusesPorts
        http2.maxConcurrentStreams = maxConcurrentStreams
        http2.keepaliveMinTime = TimeAmount(keepaliveMinTime)
        http2.keepaliveInterval = keepaliveInterval == .zero ? never : TimeAmount(keepaliveInterval)
        http2.keepaliveTimeout = keepaliveTimeout == .zero ? never : TimeAmount(keepaliveTimeout)
        return http2
    }
}
