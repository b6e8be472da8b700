import Logging
import NIOCore
import NIOPosix
import Platform
import PlatformLinux
import Synchronization
import TLS

/// Answers what it gets, and notes what each connection ended with.
final class EchoServer {
    let port: Int
    let tls: ServerTLS
    private let channel: any Channel
    private let names = Notes()

    init(_ tls: ServerTLS) async throws {
        let names = names
        self.tls = tls
        channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try tls.install(on: channel)
                    try channel.pipeline.syncOperations.addHandler(Echo(names))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        port = channel.localAddress?.port ?? 0
    }

    /// What it ends the connection after.
    static let last = "bye\n"

    var commonNames: [String] { names.all.withLock { $0 } }
    func close() async { try? await channel.close() }
}

private final class Notes: Sendable {
    let all = Mutex<[String]>([])
}

private final class Echo: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let notes: Notes
    init(_ notes: Notes) { self.notes = notes }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let name = TLSPeer.isSecure(context.channel) ? TLSPeer.commonName(of: context.channel) ?? "-" : "plain"
        notes.all.withLock { $0.append(name) }
        let isLast = String(buffer: unwrapInboundIn(data)) == EchoServer.last
        context.writeAndFlush(data, promise: nil)
        if isLast { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Hands on the first bytes or the error.
private final class Receiver: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let promise: EventLoopPromise<String>
    init(_ promise: EventLoopPromise<String>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        promise.succeed(String(buffer: unwrapInboundIn(data)))
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        promise.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { promise.fail(ChannelError.eof) }
}

/// What a client gets back for what it sends.
func talk(to port: Int, _ tls: ClientTLS?, host: String = "127.0.0.1") async throws -> String {
    let loop = MultiThreadedEventLoopGroup.singleton.next()
    let promise = loop.makePromise(of: String.self)
    let connecting = ClientBootstrap(group: loop)
        .channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try tls?.install(on: channel, host: host)
                try channel.pipeline.syncOperations.addHandler(Receiver(promise))
            }
        }
        .connect(host: "127.0.0.1", port: port)
    connecting.whenFailure { promise.fail($0) }
    let channel = try await connecting.get()
    channel.writeAndFlush(ByteBuffer(string: "hello"), promise: nil)
    defer { channel.close(promise: nil) }
    return try await promise.futureResult.get()
}

func echoServer(
    _ settings: TLSSettings, system: SystemAuthorities? = nil, names: any HostNames = LinuxHostNames()
) async throws -> EchoServer {
    try await EchoServer(
        ServerTLS(settings, offering: ["h2"], disk: LinuxDisk(), system: system, names: names, logger: .silent))
}

func client(_ settings: TLSSettings, system: SystemAuthorities? = nil) throws -> ClientTLS {
    try ClientTLS(settings, disk: LinuxDisk(), system: system, logger: .silent)
}
