import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// A way to a member that breaks while a snapshot goes over it: it passes everything on, but of the first snapshots
/// that are posted it takes only the beginning, makes the sender wait a little, and closes the connection.
final class CuttingProxy: Sendable {
    let port: Int
    private let state: Mutex<State>
    private let listener: any Channel

    private struct State {
        var cutsLeft: Int
        var attempts: [Attempt] = []
    }

    /// A snapshot that was posted.
    struct Attempt: Sendable {
        var start: ContinuousClock.Instant
        var isCut: Bool
        /// Bytes that were let through, HTTP's own among them.
        var bytes = 0
    }

    /// - Parameters:
    ///   - cuts: how many snapshots are cut.
    ///   - count: after how many bytes nothing more is read.
    ///   - wait: how long until the connection is closed.
    static func start(to target: Int, cuts: Int, after count: Int, wait: TimeAmount) async throws -> CuttingProxy {
        let box = Mutex<CuttingProxy?>(nil)
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            // Nothing is read before there is somewhere to write it to.
            .childChannelInitializer { inbound in
                let loop = inbound.eventLoop
                return ClientBootstrap(group: loop).connect(host: "127.0.0.1", port: target).flatMapThrowing {
                    outbound in
                    let watch = Watch(box.withLock { $0 }, cutAfter: count, wait: wait)
                    try inbound.pipeline.syncOperations.addHandler(Passage(to: outbound, watch))
                    try outbound.pipeline.syncOperations.addHandler(Passage(to: inbound, nil))
                }
            }
            .bind(host: "127.0.0.1", port: LoopbackPorts.next()).get()
        let proxy = CuttingProxy(listener, cuts)
        box.withLock { $0 = proxy }
        return proxy
    }

    private init(_ listener: any Channel, _ cuts: Int) {
        self.listener = listener
        port = listener.localAddress?.port ?? 0
        state = Mutex(State(cutsLeft: cuts))
    }

    func stop() async { try? await listener.close().get() }

    var attempts: [Attempt] { state.withLock { $0.attempts } }

    /// - Returns: its number, and whether it is to be cut.
    private func begin() -> (number: Int, isCut: Bool) {
        state.withLock {
            let isCut = $0.cutsLeft > 0
            if isCut { $0.cutsLeft -= 1 }
            $0.attempts.append(Attempt(start: .now, isCut: isCut))
            return ($0.attempts.count - 1, isCut)
        }
    }

    private func count(_ bytes: Int, of number: Int) { state.withLock { $0.attempts[number].bytes += bytes } }

    /// Looks at what a connection's dialer sends.
    private struct Watch {
        private let proxy: CuttingProxy?
        private let limit: Int
        let wait: TimeAmount
        private var current: (number: Int, isCut: Bool)?
        private var bytes = 0

        init(_ proxy: CuttingProxy?, cutAfter limit: Int, wait: TimeAmount) {
            self.proxy = proxy
            self.limit = limit
            self.wait = wait
        }

        /// - Returns: whether this was the last that goes through.
        mutating func passes(_ part: ByteBuffer) -> Bool {
            // A request on a connection that had others before comes in a part of its own: they had to be answered.
            if part.readableBytesView.starts(with: "POST /raft/snapshot".utf8) {
                current = proxy?.begin()
                bytes = 0
            }
            guard let current else { return false }
            bytes += part.readableBytes
            proxy?.count(part.readableBytes, of: current.number)
            return current.isCut && bytes >= limit
        }
    }

    /// Passes on what comes from one side.
    private final class Passage: ChannelInboundHandler, @unchecked Sendable {
        // SAFETY: used on the event loop that both channels have.
        typealias InboundIn = ByteBuffer
        private let other: any Channel
        private var watch: Watch?
        private var isEnding = false

        init(to other: any Channel, _ watch: Watch?) {
            self.other = other
            self.watch = watch
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let part = unwrapInboundIn(data)
            if isEnding { return }
            let isLast = watch?.passes(part) ?? false
            other.writeAndFlush(part, promise: nil)
            guard isLast, let wait = watch?.wait else { return }
            isEnding = true
            let channel = context.channel
            channel.setOption(.autoRead, value: false).whenComplete { _ in
                channel.eventLoop.scheduleTask(in: wait) { channel.close(promise: nil) }
            }
        }

        func channelInactive(context: ChannelHandlerContext) {
            other.close(promise: nil)
            context.fireChannelInactive()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}
