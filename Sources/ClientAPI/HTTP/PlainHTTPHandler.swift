internal import NIOCore
internal import NIOHTTP1
internal import TLS

/// Serves one HTTP/1.1 connection: one request after the other, bodies read and passed over.
///
/// Used on the channel's event loop only.
final class PlainHTTPHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// A connection without traffic for so long is closed.
    private static let idleLimit = TimeAmount.minutes(5)

    private let endpoints: PlainEndpoints
    private let probe: any MemberProbe
    private let isSecure: Bool
    private var head: HTTPRequestHead?

    /// Completes the pipeline of a connection whose bytes are HTTP/1.
    static func install(on channel: any Channel, endpoints: PlainEndpoints, probe: any MemberProbe) throws {
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(IdleStateHandler(allTimeout: idleLimit))
        try pipeline.configureHTTPServerPipeline(withErrorHandling: true)
        try pipeline.addHandler(
            PlainHTTPHandler(endpoints: endpoints, probe: probe, isSecure: TLSPeer.isSecure(channel)))
    }

    private init(endpoints: PlainEndpoints, probe: any MemberProbe, isSecure: Bool) {
        self.isSecure = isSecure
        self.endpoints = endpoints
        self.probe = probe
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): self.head = head
        case .body: break
        case .end:
            guard let head = head.take() else { return }
            let request = PlainRequest(
                method: head.method.rawValue, target: head.uri, host: head.headers.first(name: "Host"),
                origin: head.headers.first(name: "Origin"), isSecure: isSecure)
            let isHead = head.method == .HEAD
            let keepAlive = head.isKeepAlive
            let version = head.version
            let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
            endpoints.answer(request, probe).assumeIsolated().whenSuccess { response in
                self.write(response, version: version, isHead: isHead, keepAlive: keepAlive, bound.value)
            }
        }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is IdleStateHandler.IdleStateEvent { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    /// The client went away, or sent what is no HTTP.
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func write(
        _ response: PlainResponse, version: HTTPVersion, isHead: Bool, keepAlive: Bool, _ context: ChannelHandlerContext
    ) {
        // The client may have gone while the member was asked.
        guard context.channel.isActive else { return }
        var headers = HTTPHeaders(response.headers.map { ($0.name, $0.value) })
        headers.add(name: "Content-Length", value: String(response.body.utf8.count))
        if !keepAlive { headers.add(name: "Connection", value: "close") }
        let head = HTTPResponseHead(
            version: version, status: HTTPResponseStatus(statusCode: response.status), headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        if !isHead && !response.body.isEmpty {
            context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: response.body)))), promise: nil)
        }
        let done = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: done)
        if keepAlive { return }
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        done.futureResult.whenComplete { _ in bound.value.close(promise: nil) }
    }
}
