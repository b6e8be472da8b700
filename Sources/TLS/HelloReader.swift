internal import NIOCore
internal import NIOSSL

/// Stands where TLS is to be until it is known whether the client offers a session, has TLS put behind itself, and
/// leaves. Used on its event loop only.
final class HelloReader: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let allowsTLS13: Bool
    private let makeHandler: (ClientHello) throws -> NIOSSLServerHandler
    private var bytes = ByteBuffer()
    /// What has been written, which is nothing but a greeting of the protocol above, and waits for TLS.
    private var written: [(data: NIOAny, promise: EventLoopPromise<Void>?)] = []
    private var writtenBytes = 0
    private var wantsFlush = false
    private var hasEnded = false

    /// - Parameter makeHandler: called once, with a message that is not `.incomplete`.
    init(allowsTLS13: Bool, makeHandler: @escaping (ClientHello) throws -> NIOSSLServerHandler) {
        self.allowsTLS13 = allowsTLS13
        self.makeHandler = makeHandler
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var more = unwrapInboundIn(data)
        guard !hasEnded else { return }
        if bytes.readableBytes == 0 { bytes = more } else { bytes.writeBuffer(&more) }
        let hello = ClientHello(bytes, allowsTLS13: allowsTLS13)
        guard hello != .incomplete else { return }
        hasEnded = true
        do {
            try context.pipeline.syncOperations.addHandler(makeHandler(hello), position: .after(self))
            passWritten(through: try context.pipeline.syncOperations.context(handlerType: HandshakeGuard.self))
        } catch {
            failWritten()
            return context.fireErrorCaught(error)
        }
        context.fireChannelRead(wrapInboundOut(bytes))
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        // Nobody behind has got anything yet, or asks for more.
        if !hasEnded { context.read() }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !hasEnded else { return context.write(data, promise: promise) }
        writtenBytes += unwrapOutboundIn(data).readableBytes
        written.append((data, promise))
        if writtenBytes > TLSLimits.earlyBytes {
            context.fireErrorCaught(TLSHandshakeError("more than \(TLSLimits.earlyBytes) bytes before the handshake"))
        }
    }

    func flush(context: ChannelHandlerContext) {
        if hasEnded { context.flush() } else { wantsFlush = true }
    }

    /// - Parameter handshake: of the handler behind that of TLS.
    private func passWritten(through handshake: ChannelHandlerContext) {
        for (data, promise) in written { handshake.write(data, promise: promise) }
        written = []
        if wantsFlush { handshake.flush() }
    }

    private func failWritten() {
        for (_, promise) in written { promise?.fail(ChannelError.ioOnClosedChannel) }
        written = []
    }

    func channelInactive(context: ChannelHandlerContext) {
        hasEnded = true
        failWritten()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { failWritten() }
}
