public import NIOCore
internal import NIOPosix

/// One HTTP/2 connection to a gRPC server, with any number of unary calls on it at once. Usable from any thread.
///
/// It does not reconnect: once it is closed every call fails with UNAVAILABLE, and the caller makes another one.
///
/// ```swift
/// let connection = try await GRPCClientConnection.connect(host: "127.0.0.1", port: 2379, group: group).get()
/// let response = try await connection.call(path: "/etcdserverpb.KV/Range", message: request).get()
/// ```
public final class GRPCClientConnection: Sendable {
    private let channel: any Channel
    private let connection: NIOLoopBound<ClientConnection>

    private init(channel: any Channel, connection: ClientConnection) {
        self.channel = channel
        self.connection = NIOLoopBound(connection, eventLoop: channel.eventLoop)
    }

    /// Connects over TCP, with prior knowledge of HTTP/2, or with TLS if the configuration says how.
    /// - Returns: fails with the system's error or NIO's connect time-out. The server's SETTINGS are not waited for.
    public static func connect(
        host: String, port: Int, group: any EventLoopGroup, configuration: ClientConfiguration = ClientConfiguration()
    ) -> EventLoopFuture<GRPCClientConnection> {
        let authority = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        return open(bootstrap(group, configuration).connect(host: host, port: port), authority, configuration)
    }

    /// Connects to a Unix domain socket.
    public static func connect(
        unixPath: String, group: any EventLoopGroup, configuration: ClientConfiguration = ClientConfiguration()
    ) -> EventLoopFuture<GRPCClientConnection> {
        open(bootstrap(group, configuration).connect(unixDomainSocketPath: unixPath), "localhost", configuration)
    }

    /// One unary call.
    /// - Parameters:
    ///   - path: `/package.Service/Method`.
    ///   - message: the encoded request.
    ///   - metadata: further headers; names in lower case.
    ///   - deadline: when to give up; it is told to the server as `grpc-timeout`, too.
    /// - Returns: the encoded response; fails with a ``GRPCStatus``.
    public func call(
        path: String, message: [UInt8], metadata: [(name: String, value: String)] = [], deadline: NIODeadline? = nil
    ) -> EventLoopFuture<[UInt8]> {
        let promise = channel.eventLoop.makePromise(of: [UInt8].self)
        let request = ClientRequestParts(path: path, message: message, metadata: metadata, deadline: deadline)
        if channel.eventLoop.inEventLoop {
            connection.value.start(request, promise)
        } else {
            channel.eventLoop.execute { self.connection.value.start(request, promise) }
        }
        return promise.futureResult
    }

    /// Closes the connection; open calls fail with UNAVAILABLE.
    public func close() -> EventLoopFuture<Void> {
        channel.close(promise: nil)
        return channel.closeFuture
    }

    /// Done when the connection is closed, by whichever side.
    public var closeFuture: EventLoopFuture<Void> { channel.closeFuture }

    public var eventLoop: any EventLoop { channel.eventLoop }

    private static func bootstrap(
        _ group: any EventLoopGroup, _ configuration: ClientConfiguration
    ) -> ClientBootstrap {
        ClientBootstrap(group: group)
            .connectTimeout(configuration.connectTimeout)
            .channelOption(.maxMessagesPerRead, value: 4)
            .channelOption(.writeBufferWaterMark, value: .init(low: 64 << 10, high: 256 << 10))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try configuration.secure?(channel) }
            }
    }

    private static func open(
        _ future: EventLoopFuture<any Channel>, _ authority: String, _ configuration: ClientConfiguration
    ) -> EventLoopFuture<GRPCClientConnection> {
        future.flatMapThrowing { channel in
            let connection = ClientConnection(authority: authority, configuration: configuration)
            try channel.pipeline.syncOperations.addHandler(connection)
            return GRPCClientConnection(channel: channel, connection: connection)
        }
    }
}

/// What a call sends.
struct ClientRequestParts: Sendable {
    var path: String
    var message: [UInt8]
    var metadata: [(name: String, value: String)]
    var deadline: NIODeadline?
}
