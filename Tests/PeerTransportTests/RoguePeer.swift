import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// Takes connections and does with requests what a test says.
final class RoguePeer {
    enum Reaction: Sendable {
        case silence
        case answer([UInt8], hangsUp: Bool)
    }

    let port = LoopbackPorts.next()
    private let channel: any Channel
    private let requests = Requests()

    private final class Requests: Sendable {
        let lines = Mutex<[String]>([])
    }

    /// - Parameter reaction: to a request, by its first line.
    init(_ reaction: @escaping @Sendable (String) -> Reaction) async throws {
        let requests = requests
        channel = try await ServerBootstrap(group: TestPeer.group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Handler(requests, reaction))
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
    }

    func stop() async throws { try await channel.close() }

    /// How many requests there were with `text` in their first line.
    func count(_ text: String) -> Int { requests.lines.withLock { $0.count { $0.contains(text) } } }

    private final class Handler: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        private let requests: Requests
        private let reaction: @Sendable (String) -> Reaction

        init(_ requests: Requests, _ reaction: @escaping @Sendable (String) -> Reaction) {
            self.requests = requests
            self.reaction = reaction
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let lines = String(buffer: unwrapInboundIn(data)).split(separator: "\r\n")
            for line in lines where line.hasSuffix(" HTTP/1.1") {
                let line = String(line)
                requests.lines.withLock { $0.append(line) }
                guard case .answer(let bytes, let hangsUp) = reaction(line) else { continue }
                let written = context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes)))
                let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
                if hangsUp { written.whenComplete { _ in bound.value.close(promise: nil) } }
            }
        }
    }
}
