internal import NIOCore

/// Decides by the first bytes of a connection whether it speaks HTTP/2 (with prior knowledge) or something that the
/// HTTP/1 side judges, installs the one or the other, and leaves. Behind TLS, too: what was agreed on by ALPN shows in
/// the first bytes, and clients that agree on nothing are served as well.
final class ProtocolDetector: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    /// The client's preface, RFC 9113 section 3.4.
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private let timeout: TimeAmount
    private let installHTTP2: (any Channel) throws -> Void
    private let installHTTP1: ((any Channel) throws -> Void)?
    private var received = ByteBuffer()
    private var decided = false
    private var timer: Scheduled<Void>?

    /// - Parameter http1: nil when nothing but HTTP/2 is served; other connections are closed then.
    init(
        timeout: TimeAmount, http2: @escaping (any Channel) throws -> Void, http1: ((any Channel) throws -> Void)?
    ) {
        self.timeout = timeout
        installHTTP2 = http2
        installHTTP1 = http1
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        timer = context.eventLoop.assumeIsolated().scheduleTask(in: timeout) { channel.close(promise: nil) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        if received.readableBytes > 0 {
            context.fireChannelRead(NIOAny(received))
            context.fireChannelReadComplete()
        }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = unwrapInboundIn(data)
        received.writeBuffer(&buffer)
        guard !decided else { return }
        let start = received.readableBytesView.prefix(Self.preface.count)
        let isHTTP2 = Self.preface.starts(with: start)
        if isHTTP2 && start.count < Self.preface.count { return }
        decided = true
        do {
            if isHTTP2 {
                try installHTTP2(context.channel)
            } else if let installHTTP1 {
                try installHTTP1(context.channel)
            } else {
                received.clear()
                context.close(promise: nil)
                return
            }
            // The handlers stand behind this one; leaving hands them what has come so far.
            context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
        } catch {
            received.clear()
            context.close(promise: nil)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {}

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
