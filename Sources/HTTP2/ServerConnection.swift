internal import Logging
public import NIOCore

/// One HTTP/2 connection of a client, on the server's side. It lives on its event loop, and everything is called there.
///
/// Calls go to the service once for each read from the socket; answers are queued and written together.
///
/// Invariants:
/// 1. A slot in `streams` is open exactly while nghttp2 knows its stream (from `didBeginRequest` to `didCloseStream`).
/// 2. `heldRequestBytes` and `queuedResponseBytes` are the sums over all open slots.
/// 3. The service hears of a call once, and of its cancellation at most once and only before it has answered.
public final class ServerConnection {
    /// Which connection this is among those of its event loop; not used again for the next 2^32 connections.
    public let id: UInt32

    let loop: ServerLoop
    let session: Session
    var streams: [ServerStream] = []
    var freeSlots: [Int] = []
    var openStreams = 0
    var heldRequestBytes = 0
    var queuedResponseBytes = 0
    /// The headers that are just coming in, and the slot of their stream; -1 when they are not wanted.
    var head = RequestHead()
    var headSlot = -1
    var lastMetadata: (encoded: [UInt8], value: CallMetadata)?
    /// What the reads since the last hand-over completed.
    var calls: [UnaryCall] = []
    var cancellations: [StreamID] = []
    /// Streamed answers of which all that was given has been sent.
    var drained: [StreamID] = []
    /// Answered before their requests had ended.
    var refusedEarly: [StreamID] = []
    /// When the bytes that are being worked on came.
    var now: NIODeadline
    var deadlineTimer = DeadlineTimer()
    var pings: PingPolicy
    var resets: TokenBucket
    var idleFrames: TokenBucket

    private var context: ChannelHandlerContext?
    private var isWriting = false
    private var isReading = false
    private var flushIsScheduled = false
    /// The last bytes are on their way, the connection closes behind them.
    private var isClosing = false
    private var lastRead: NIODeadline
    private var keepaliveTask: Scheduled<Void>?
    /// When the ping that is not answered was sent.
    private var keepalivePingSent: NIODeadline?
    private var awaitsDrainAnswer = false
    private var isDraining = false
    /// GOAWAY with an error is queued; nothing of the client is listened to any more.
    private(set) var isSentAway = false

    var configuration: ServerConfiguration { loop.configuration }

    init(id: UInt32, loop: ServerLoop, context: ChannelHandlerContext) throws(HTTP2Error) {
        self.id = id
        self.loop = loop
        self.context = context
        let configuration = loop.configuration
        now = context.eventLoop.now
        lastRead = now
        pings = PingPolicy(
            minTime: configuration.keepaliveMinTime, permitWithoutStream: configuration.keepalivePermitWithoutStream)
        resets = TokenBucket(burst: configuration.resetBurst, perSecond: configuration.resetsPerSecond, now: now)
        idleFrames = TokenBucket(
            burst: configuration.idleFrameBurst, perSecond: configuration.idleFramesPerSecond, now: now)
        session = try Session(role: .server)
        session.report(to: self)
        try session.submitSettings(
            [
                (Setting.maxConcurrentStreams, configuration.maxConcurrentStreams),
                (Setting.initialWindowSize, UInt32(configuration.streamWindow)),
                (Setting.maxHeaderListSize, UInt32(configuration.maxHeaderListBytes)),
            ], window: configuration.connectionWindow)
    }

    /// Where the client connects from.
    /// The socket behind it, which knows what the client has shown in a handshake; nil once it is closed.
    public var channel: (any Channel)? { context?.channel }

    public var remoteAddress: SocketAddress? { context?.channel.remoteAddress }

    // MARK: Answers

    /// Queues a successful answer. A call that was cancelled in the meantime is passed over.
    /// - Parameter message: the encoded response message; its storage is shared until it has been sent.
    public func respond(_ stream: StreamID, message: ArraySlice<UInt8>) {
        guard let slot = handedOverSlot(stream) else { return }
        let bytes = message.count + MessageReader.prefixBytes
        guard queuedResponseBytes + bytes <= configuration.maxQueuedResponseBytes, message.count <= UInt32.max else {
            let text = "martlet: the client does not take the answers on this connection"
            answer(slot, GRPCStatus(code: GRPCStatus.resourceExhausted, message: text))
            return
        }
        queuedResponseBytes += bytes
        streams[slot].respond(message)
        if !session.submitResponse(stream, slot: slot) { session.submitReset(stream, error: ErrorCode.cancel) }
    }

    /// Queues a successful answer that lies in a larger array.
    public func respond(_ stream: StreamID, bytes: [UInt8], range: Range<Int>) {
        respond(stream, message: bytes[range])
    }

    /// Queues an error as the answer. A call that was cancelled in the meantime is passed over.
    public func fail(_ stream: StreamID, code: UInt8, message: String) {
        guard let slot = streamingSlot(stream) else { return }
        answer(slot, GRPCStatus(code: code, message: message))
    }

    /// Sends what was queued outside ``GRPCService/receive(_:on:)``: once for everything that is queued in this turn of
    /// the event loop, however often it is called.
    public func flush() {
        if flushIsScheduled || isReading { return }
        flushIsScheduled = true
        loop.scheduleFlush(self)
    }

    private func handedOverSlot(_ stream: StreamID) -> Int? {
        guard context != nil, let slot = session.slot(of: stream), streams[slot].isHandedOver else { return nil }
        return slot
    }

    /// The slot of a call that awaits its answer or is being given a streamed one.
    func streamingSlot(_ stream: StreamID) -> Int? {
        guard context != nil, let slot = session.slot(of: stream) else { return nil }
        return streams[slot].isHandedOver || streams[slot].isStreaming ? slot : nil
    }

    // MARK: The channel's events

    func open() {
        scheduleKeepalive(in: configuration.keepaliveInterval)
        loop.service.connectionOpened(self)
        write()
    }

    func receive(_ buffer: ByteBuffer) {
        guard let context, !isClosing, !isSentAway else { return }
        isReading = true
        now = context.eventLoop.now
        lastRead = now
        keepalivePingSent = nil
        do {
            try session.receive(buffer)
        } catch {
            close()
        }
    }

    func endOfRead() {
        isReading = false
        guard context != nil else { return }
        withdrawCancelledCalls()
        reportCancellations()
        if !calls.isEmpty {
            // Answers that are given at once are written below, so they need no flush.
            isReading = true
            var batch: [UnaryCall] = []
            swap(&batch, &calls)
            loop.service.receive(&batch, on: self)
            isReading = false
            batch.removeAll(keepingCapacity: true)
            if context != nil { swap(&batch, &calls) }
        }
        write()
    }

    func flushNow() {
        flushIsScheduled = false
        write()
    }

    /// Hands everything that may be sent to the channel, as long as it takes it.
    func write() {
        guard let context, !isWriting, !isClosing else { return }
        isWriting = true
        defer { isWriting = false }
        do throws(HTTP2Error) {
            var more = true
            while more && context.channel.isWritable && context.channel.isActive {
                loop.output.clear()
                more = try session.fill(&loop.output, limit: configuration.maxWriteBytes)
                if loop.output.readableBytes > 0 { context.writeAndFlush(NIOAny(loop.output), promise: nil) }
                if !more { more = resetRefusedStreams() }
            }
            if loop.output.capacity > 2 * configuration.maxWriteBytes { loop.output = ByteBuffer() }
            if session.isFinished || (isSentAway && !more) {
                closeBehindOutput()
            } else if isSentAway {
                // It does not read either.
                close()
            }
        } catch {
            close()
        }
        reportCancellations()
        reportDrained()
    }

    /// The channel is gone: cancels what is open and lets go of everything.
    func closed() {
        guard context != nil else { return }
        context = nil
        isClosing = true
        keepaliveTask?.cancel()
        deadlineTimer.cancel()
        withdrawCancelledCalls()
        reportCancellations()
        // What was completed but not handed over is none of the service's business.
        for call in calls {
            if let slot = session.slot(of: call.stream) { streams[slot].finish(held: &heldRequestBytes) }
        }
        for slot in streams.indices where streams[slot].isHandedOver || streams[slot].isStreaming {
            streams[slot].finish(held: &heldRequestBytes)
            loop.service.cancelled(streams[slot].id, on: self)
        }
        loop.unregister(self)
        loop.service.connectionClosed(self)
        streams = []
        calls = []
    }

    /// Ends the connection at once.
    func close() {
        isClosing = true
        context?.close(promise: nil)
    }

    private func closeBehindOutput() {
        guard let context, !isClosing else { return }
        isClosing = true
        // An empty write is done when all before it are.
        let done = context.eventLoop.makePromise(of: Void.self)
        context.writeAndFlush(NIOAny(ByteBuffer()), promise: done)
        done.futureResult.assumeIsolated().whenComplete { _ in self.context?.close(promise: nil) }
    }

    /// Sends the client away, with a reason, and closes. Safe inside a callback of nghttp2: it only queues.
    func sendAway(_ reason: String) {
        guard !isSentAway else { return }
        isSentAway = true
        session.submitGoAway(error: ErrorCode.enhanceYourCalm, debug: reason)
    }

    // MARK: Shutdown

    /// The payloads of our own pings.
    private static let drainPing: UInt64 = 0x6d61_7274_6472_6169
    private static let keepalivePing: UInt64 = 0x6d61_7274_6b65_6570
    /// How long a client may take to show that it has seen the first notice.
    private static let drainNotice = TimeAmount.seconds(1)

    /// Takes no new calls as soon as the client knows, lets open ones finish, then closes.
    ///
    /// The first GOAWAY names no last stream, so that calls under way to us are not lost; the second, after one round
    /// trip, does.
    func drain() {
        guard let context, !isDraining else { return }
        isDraining = true
        session.submitShutdownNotice()
        session.submitPing(Self.drainPing)
        awaitsDrainAnswer = true
        context.eventLoop.assumeIsolated().scheduleTask(in: Self.drainNotice) {
            self.endDrainNotice()
            self.write()
        }
        write()
    }

    private func endDrainNotice() {
        guard awaitsDrainAnswer, context != nil else { return }
        awaitsDrainAnswer = false
        session.submitGoAway(error: ErrorCode.noError, debug: "graceful_stop")
    }

    // MARK: Keepalive

    func didReceivePing(_ payload: UInt64, isAnswer: Bool) {
        if isAnswer {
            if payload == Self.drainPing { endDrainNotice() }
            return
        }
        if !pings.receivePing(now: now, hasOpenCalls: openStreams > 0) { sendAway("too_many_pings") }
        didReceiveIdleFrame()
    }

    private func scheduleKeepalive(in delay: TimeAmount) {
        keepaliveTask = context?.eventLoop.assumeIsolated().scheduleTask(in: delay) { self.checkKeepalive() }
    }

    private func checkKeepalive() {
        guard let context, !isClosing else { return }
        let now = context.eventLoop.now
        let (interval, timeout) = (configuration.keepaliveInterval, configuration.keepaliveTimeout)
        if let sent = keepalivePingSent {
            if now - sent >= timeout {
                close()
            } else {
                scheduleKeepalive(in: min(interval, timeout - (now - sent)))
            }
        } else if now - lastRead < interval {
            scheduleKeepalive(in: interval - (now - lastRead))
        } else {
            keepalivePingSent = now
            session.submitPing(Self.keepalivePing)
            scheduleKeepalive(in: min(interval, timeout))
            write()
        }
    }

    /// The timer of the nearest deadline; see `ServerConnection+Calls.swift`.
    func scheduleDeadline(at deadline: NIODeadline) -> Scheduled<Void>? {
        context?.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
            guard let context = self.context else { return }
            self.expireDeadlines(now: context.eventLoop.now)
        }
    }
}
