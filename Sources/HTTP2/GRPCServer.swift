public import NIOCore
internal import NIOPosix
internal import Synchronization

/// Serves gRPC over HTTP/2 on any number of addresses, and on the same ports passes connections that speak HTTP/1.1 on.
///
/// ```swift
/// let server = GRPCServer(group: group, configuration: ServerConfiguration()) { loop in KeyValueService(loop) }
/// let channel = try await server.bind(host: "127.0.0.1", port: 2379).get()
/// …
/// await server.shutdown(drain: .seconds(5))
/// ```
public final class GRPCServer: Sendable {
    /// Those that serve connections; a connection that comes alone goes to the first.
    private let eventLoops: [any EventLoop]
    private let configuration: ServerConfiguration
    private let makeService: @Sendable (any EventLoop) -> any GRPCService
    private let installHTTP1: (@Sendable (any Channel) throws -> Void)?
    /// For each event loop what its connections share, made with the first of them.
    private let loops: [NIOLoopBoundBox<ServerLoop?>]
    private let listeners = Mutex<[any Channel]>([])

    /// - Parameters:
    ///   - group: the event loops that serve connections; it is not shut down by the server.
    ///   - first: the one of them that takes a connection where no other has fewer; nil: the group's first.
    ///   - http1: completes the pipeline of a connection that does not start with HTTP/2's preface; called on its event
    ///     loop. Nil: such connections are closed.
    ///   - makeService: makes the service of one event loop; called on that loop, before its first connection.
    public init(
        group: any EventLoopGroup, first: (any EventLoop)? = nil,
        configuration: ServerConfiguration = ServerConfiguration(),
        http1: (@Sendable (any Channel) throws -> Void)? = nil,
        makeService: @escaping @Sendable (any EventLoop) -> any GRPCService
    ) {
        let all = Array(group.makeIterator())
        eventLoops = all.filter { $0 === first } + all.filter { $0 !== first }
        self.configuration = configuration
        self.makeService = makeService
        installHTTP1 = http1
        loops = eventLoops.map { NIOLoopBoundBox.makeEmptyBox(eventLoop: $0) }
    }

    /// Listens on a TCP port; 0 lets the system choose one, which the channel's `localAddress` tells.
    /// - Parameter secure: adds the handlers of TLS to an accepted channel, before all others; called on its loop.
    /// - Returns: a listening channel, which tells the address, but is not the only one; fails with the system's error,
    ///   for instance when the port is in use.
    public func bind(
        host: String, port: Int, secure: (@Sendable (any Channel) throws -> Void)? = nil
    ) -> EventLoopFuture<any Channel> {
        bind(secure) { $0.bind(host: host, port: port) }
    }

    /// Listens on a Unix domain socket. A file that a dead server left at `unixPath` is removed; another file is not.
    public func bind(
        unixPath: String, secure: (@Sendable (any Channel) throws -> Void)? = nil
    ) -> EventLoopFuture<any Channel> {
        bind(secure) { $0.bind(unixDomainSocketPath: unixPath, cleanupExistingSocketFile: true) }
    }

    /// Installs what serves a connection whose bytes are plain HTTP from here on: for connections that others have
    /// accepted, and for tests. Called on the channel's event loop, which must be one of the group's.
    /// - Parameter http1: what completes the pipeline for HTTP/1 instead of the server's own way.
    public func install(on channel: any Channel, http1: (@Sendable (any Channel) throws -> Void)? = nil) throws {
        let loop = serverLoop(channel.eventLoop)
        try channel.pipeline.syncOperations.addHandler(
            ProtocolDetector(
                timeout: configuration.detectionTimeout,
                http2: { try $0.pipeline.syncOperations.addHandler(ServerConnectionHandler(loop: loop)) },
                http1: http1 ?? installHTTP1))
    }

    /// Stops listening, sends every client a GOAWAY and waits until all open calls are answered; what is not by then,
    /// is cut off. HTTP/1 connections are not waited for.
    public func shutdown(drain: TimeAmount) async {
        let open = listeners.withLock { listeners in
            defer { listeners = [] }
            return listeners
        }
        // One that is closed already is none the worse for it.
        for listener in open { try? await listener.close() }
        await onEachLoop { $0.drain() }
        let end = NIODeadline.now() + drain
        while NIODeadline.now() < end {
            if await onEachLoop({ $0.connectionCount }).reduce(0, +) == 0 { return }
            try? await Task.sleep(for: .milliseconds(5))
        }
        await onEachLoop { $0.closeAll() }
    }

    /// The results of the loops that still run and have served a connection.
    @discardableResult
    private func onEachLoop<R: Sendable>(_ body: @escaping @Sendable (ServerLoop) -> R) async -> [R] {
        var results: [R] = []
        for box in loops {
            let result = try? await box.eventLoop.submit { box.value.map(body) }.get()
            if let result = result ?? nil { results.append(result) }
        }
        return results
    }

    private func bind(
        _ secure: (@Sendable (any Channel) throws -> Void)?, _ bind: (ServerBootstrap) -> EventLoopFuture<any Channel>
    ) -> EventLoopFuture<any Channel> {
        let listener = SpreadListener(loops: eventLoops)
        return listener.bind({ self.bootstrap($0, listener, secure) }, bind).map { channels in
            self.listeners.withLock { $0 += channels }
            return channels[0]
        }
    }

    private func bootstrap(
        _ eventLoop: any EventLoop, _ listener: SpreadListener, _ secure: (@Sendable (any Channel) throws -> Void)?
    ) -> ServerBootstrap {
        ServerBootstrap(group: eventLoop)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(.socketOption(.reusePort), value: configuration.reusesPort ? 1 : 0)
            .childChannelOption(.maxMessagesPerRead, value: 4)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 64 << 10, high: 256 << 10))
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    listener.count(channel)
                    try secure?(channel)
                    try self.install(on: channel)
                }
            }
    }

    private func serverLoop(_ eventLoop: any EventLoop) -> ServerLoop {
        guard let box = loops.first(where: { $0.eventLoop === eventLoop }) else {
            preconditionFailure("a channel of an event loop that is not of the server's group")
        }
        if let loop = box.value { return loop }
        let loop = ServerLoop(
            eventLoop: eventLoop, service: makeService(eventLoop), configuration: configuration)
        box.value = loop
        return loop
    }
}
