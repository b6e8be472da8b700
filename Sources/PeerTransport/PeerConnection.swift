internal import Base
package import NIOCore
package import NIOHTTP1
internal import NIOPosix
internal import TLS

/// What comes back on a connection to a peer. Called on the event loop.
package protocol ResponseReceiver: AnyObject {
    func received(_ head: HTTPResponseHead)
    func received(_ body: inout ByteBuffer)
    /// The response is complete; the connection may be used again.
    func completed()
    /// Nothing more will come, whatever was under way has failed. The last call, made once.
    func closed(_ error: (any Error)?)
    /// The socket takes more again.
    func writable()
}

extension ResponseReceiver {
    package func writable() {}
}

/// Opens connections to peers and turns what they answer into calls. Used on its event loop only.
struct PeerConnector: Sendable {
    let eventLoop: any EventLoop
    let dialTimeout: TimeAmount
    /// For `https` URLs; nil: they cannot be dialled.
    let tls: ClientTLS?

    /// - Parameters:
    ///   - silence: a connection that brings nothing for so long is closed; nil for no limit.
    ///   - inlet: for a response that may become a stream.
    ///   - connected: the channel, or why there is none. Called once, on the event loop.
    func connect(
        to address: PeerAddress, receiver: any ResponseReceiver, silence: TimeAmount? = nil,
        inlet: StreamInlet? = nil, connected: @escaping (Result<any Channel, any Error>) -> Void
    ) {
        let handler = NIOLoopBound(ResponseHandler(receiver), eventLoop: eventLoop)
        let inlet = NIOLoopBound(inlet, eventLoop: eventLoop)
        let done = NIOLoopBound(connected, eventLoop: eventLoop)
        let bootstrap = ClientBootstrap(group: eventLoop)
            .connectTimeout(dialTimeout)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(
                .writeBufferWaterMark,
                value: .init(low: PeerLimits.streamBufferBytes / 2, high: PeerLimits.streamBufferBytes)
            )
            .channelInitializer { [tls] channel in
                let ready = address.isSecure ? tls?.ready(on: channel.eventLoop) : nil
                return (ready ?? channel.eventLoop.makeSucceededVoidFuture()).flatMapThrowing {
                    if case .tls(let host, _) = address {
                        guard let tls else { throw PeerFailure.noTLS }
                        try tls.install(on: channel, host: host)
                    }
                    let pipeline = channel.pipeline.syncOperations
                    if let silence { try pipeline.addHandler(IdleStateHandler(readTimeout: silence)) }
                    if let inlet = inlet.value { try pipeline.addHandler(inlet) }
                    try pipeline.addHTTPClientHandlers()
                    try pipeline.addHandler(handler.value)
                }
            }
        let future: EventLoopFuture<any Channel> =
            switch address {
            case .tcp(let host, let port), .tls(let host, let port): bootstrap.connect(host: host, port: port)
            case .unix(let path): bootstrap.connect(unixDomainSocketPath: path)
            }
        future.whenComplete { done.value($0) }
    }
}

extension Channel {
    /// From here on it brings a database. Called on the event loop.
    func widenForDatabase() {
        guard let options = syncOptions else { return }
        let allocator = FixedSizeRecvByteBufferAllocator(capacity: PeerLimits.databaseReadBytes)
        // A channel without these options is none the worse for it.
        try? options.setOption(.recvAllocator, value: allocator)
        try? options.setOption(.maxMessagesPerRead, value: PeerLimits.databaseReadsPerTurn)
    }

    /// Leaves what comes in to the socket's buffer, and the sender waiting.
    func pauseReading(_ pauses: Bool) {
        setOption(.autoRead, value: !pauses).whenFailure { _ in }
    }
}

/// Passes a response on, part by part. A request is written with `Channel.write(_:)` as `HTTPClientRequestPart`s.
private final class ResponseHandler: ChannelInboundHandler {
    typealias InboundIn = HTTPClientResponsePart

    /// nil once it has been told of the end.
    private var receiver: (any ResponseReceiver)?
    private var failure: (any Error)?

    init(_ receiver: any ResponseReceiver) { self.receiver = receiver }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): receiver?.received(head)
        case .body(var body): receiver?.received(&body)
        case .end: receiver?.completed()
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { receiver?.writable() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard event is IdleStateHandler.IdleStateEvent else { return context.fireUserInboundEventTriggered(event) }
        failure = failure ?? PeerFailure.silent
        context.close(promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failure = failure ?? error
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        let receiver = self.receiver.take()
        receiver?.closed(failure)
    }
}

/// Why an exchange with a peer has failed, besides what the sockets report.
enum PeerFailure: Error, CustomStringConvertible {
    case silent
    case noAddress(String)
    case noTLS
    case status(Int, String)
    case answerTooLarge
    case timeout
    case closed
    /// A stream of a cluster with this ID; empty when it says none.
    case otherCluster(String)
    /// A stream of a program that is older than those this member talks to.
    case oldVersion(String)

    /// Whether it will be the same again until somebody changes something: the two members do not belong together.
    var isLasting: Bool {
        switch self {
        case .otherCluster, .oldVersion: true
        case .status(let status, _): status == PeerRefusal.clusterIDMismatch.status
        case .silent, .noAddress, .noTLS, .answerTooLarge, .timeout, .closed: false
        }
    }

    /// `ECONNREFUSED` on Linux.
    private static let connectionRefused: Int32 = 111

    /// Whether the peer's machine has answered that nobody listens there.
    static func isRefusal(_ error: any Error) -> Bool {
        switch error {
        case let error as IOError: error.errnoCode == connectionRefused
        case let error as NIOConnectionError:
            !error.connectionErrors.isEmpty && error.connectionErrors.allSatisfy { isRefusal($0.error) }
        default: false
        }
    }

    var description: String {
        switch self {
        case .silent: "i/o timeout"
        case .noTLS: "TLS is not set up"
        case .noAddress(let url): "no address in the URL \"\(url)\""
        case .status(let status, let text): "unexpected http status \(status): \(text)"
        case .answerTooLarge: "answer of more than \(PeerLimits.answerBytes) bytes"
        case .timeout: "no answer in time"
        case .closed: "connection closed"
        case .otherCluster(let id): "the stream is of cluster \"\(id)\""
        case .oldVersion(let version): "the stream is of version \"\(version)\""
        }
    }
}

extension PeerIdentity {
    /// The headers that introduce this member to a peer.
    var headers: HTTPHeaders {
        HTTPHeaders([
            ("User-Agent", "martlet"),
            (PeerHeader.clusterID, clusterID.description),
            (PeerHeader.oldestVersion, oldestVersion.description),
            (PeerHeader.peerURLs, peerURLs.joined(separator: ",")),
            (PeerHeader.from, localID.description),
            (PeerHeader.version, version.description),
        ])
    }

    func headers(host: String) -> HTTPHeaders {
        var headers = HTTPHeaders([("Host", host)])
        headers.add(contentsOf: self.headers)
        return headers
    }
}
