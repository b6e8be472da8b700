internal import Logging
internal import NIOCore
internal import NIOSSL
internal import NIOTLS

/// Stands behind NIOSSL's handler until the handshake is done and the certificate of the other side has been found
/// good, lets no byte pass before, and leaves. Used on its event loop only.
final class HandshakeGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Side { case server, client }

    private enum State {
        case handshaking
        /// What has come in the meantime, which is one read at most: no more is asked for.
        case checking([NIOAny])
        case open
        /// Nothing passes any more, whatever still comes while the connection closes.
        case refused
    }

    private let side: Side
    private let check: CertificateCheck?
    private let chain: VerifiedChain?
    private let logger: Logger
    private var state = State.handshaking
    private var wantsRead = false
    private var timer: Scheduled<Void>?

    /// - Parameter chain: where it is noted what the certificate is verified by, if that is checked.
    init(side: Side, check: CertificateCheck?, chain: VerifiedChain? = nil, logger: Logger) {
        self.side = side
        self.check = check
        self.chain = chain
        self.logger = logger
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        timer = context.eventLoop.scheduleTask(in: .seconds(TLSLimits.handshakeSeconds)) {
            let (handler, context) = bound.value
            handler.fail("no TLS handshake in \(TLSLimits.handshakeSeconds) seconds", context)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        timer?.cancel()
        timer = nil
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case TLSUserEvent.handshakeCompleted = event, case .handshaking = state {
            begin(context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func begin(_ context: ChannelHandlerContext) {
        let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLHandler.self)
        guard let check else { return open(context, with: []) }
        guard let certificate = handler?.peerCertificate else { return fail("tls: no certificate to check", context) }
        // The last line: nothing that was not verified passes, whatever has been made of the client's first message.
        if let chain, chain.certificates.isEmpty { return fail("tls: a session was resumed", context) }
        state = .checking([])
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        check.run(
            certificate, chain?.certificates ?? [], from: context.remoteAddress, on: context.eventLoop
        ).whenComplete { result in
            let (handler, context) = bound.value
            guard case .checking(let waiting) = handler.state else { return }
            switch result {
            case .success: handler.open(context, with: waiting)
            case .failure(let error): handler.fail("\(error)", context)
            }
        }
    }

    private func open(_ context: ChannelHandlerContext, with waiting: [NIOAny]) {
        state = .open
        timer?.cancel()
        for data in waiting { context.fireChannelRead(data) }
        if !waiting.isEmpty { context.fireChannelReadComplete() }
        if wantsRead { context.read() }
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    private func fail(_ reason: String, _ context: ChannelHandlerContext) {
        switch state {
        case .handshaking, .checking: state = .refused
        case .open, .refused: return
        }
        timer?.cancel()
        if side == .server {
            logger.warning(
                "rejected connection",
                metadata: ["remote-addr": "\(Self.text(context.remoteAddress))", "error": "\(reason)"])
        }
        context.fireErrorCaught(TLSHandshakeError(reason))
        context.close(promise: nil)
    }

    /// `127.0.0.1:40000`, `[::1]:40000`; empty for a Unix socket.
    private static func text(_ address: SocketAddress?) -> String {
        guard let host = address?.ipAddress, let port = address?.port else { return "" }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch state {
        case .checking(var waiting):
            state = .refused
            waiting.append(data)
            state = .checking(waiting)
        case .open: context.fireChannelRead(data)
        case .handshaking, .refused: break
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if case .open = state { context.fireChannelReadComplete() }
    }

    func read(context: ChannelHandlerContext) {
        if case .checking = state {
            wantsRead = true
        } else {
            context.read()
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        fail(HandshakeFailure.text(error), context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        switch state {
        case .handshaking, .checking:
            state = .refused
            timer?.cancel()
            // Not logged: port scanners and health checks of load balancers come and go like this.
            context.fireErrorCaught(TLSHandshakeError("EOF"))
        case .open, .refused: break
        }
        context.fireChannelInactive()
    }
}

/// A connection that did not come to be, and why.
public struct TLSHandshakeError: Error, Equatable, CustomStringConvertible {
    public var description: String
    init(_ description: String) { self.description = description }
}

/// The library's errors in the words that operators know from etcd's log, where there are such.
enum HandshakeFailure {
    /// What BoringSSL's reason contains, and what it means.
    private static let reasons = [
        ("WRONG_VERSION_NUMBER", "tls: first record does not look like a TLS handshake"),
        ("HTTP_REQUEST", "tls: first record does not look like a TLS handshake"),
        ("HTTPS_PROXY_REQUEST", "tls: first record does not look like a TLS handshake"),
        ("PEER_DID_NOT_RETURN_A_CERTIFICATE", "tls: client didn't provide a certificate"),
        ("CERTIFICATE_VERIFY_FAILED", "tls: failed to verify certificate"),
        ("UNSUPPORTED_PROTOCOL", "tls: client offered only unsupported versions"),
        ("NO_SHARED_CIPHER", "tls: no cipher suite supported by both client and server"),
        ("UNKNOWN_CA", "remote error: tls: unknown certificate authority"),
        ("ALERT_BAD_CERTIFICATE", "remote error: tls: bad certificate"),
        ("ALERT_CERTIFICATE_EXPIRED", "remote error: tls: expired certificate"),
        ("CERTIFICATE_REQUIRED", "remote error: tls: certificate required"),
    ]

    static func text(_ error: any Error) -> String {
        let text = "\(error)"
        return reasons.first { text.contains($0.0) }?.1 ?? text
    }
}
