internal import NIOCore

/// The client's side of a connection, as the last handler of its channel.
///
/// Invariants:
/// 1. `calls[slot]` is set exactly from `start` until nghttp2 has closed or refused its stream.
/// 2. Promises are fulfilled outside of nghttp2's callbacks, so that what hangs on them may start further calls.
final class ClientConnection: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let keepalivePing: UInt64 = 0x6d61_7274_6c65_7421

    private let authority: String
    private let configuration: ClientConfiguration
    private var context: ChannelHandlerContext?
    private var sessionIfOpen: Session?
    private var calls: [ClientCall?] = []
    private var freeSlots: [Int] = []
    private var slots: [StreamID: Int] = [:]
    private var queuedBytes = 0
    private var headSlot = -1
    private var done: [(promise: EventLoopPromise<[UInt8]>, result: Result<[UInt8], GRPCStatus>)] = []
    private var output = ByteBuffer()
    private var isWriting = false
    private var writeIsScheduled = false
    private var isGoingAway = false
    /// Why handlers in front, such as that of TLS, ended the connection.
    private var closeReason: String?
    private var lastRead = NIODeadline.uptimeNanoseconds(0)
    private var keepaliveTask: Scheduled<Void>?
    /// When the ping that is not answered was sent.
    private var pingSent: NIODeadline?

    init(authority: String, configuration: ClientConfiguration) {
        self.authority = authority
        self.configuration = configuration
    }

    // MARK: Calls

    func start(_ request: ClientRequestParts, _ promise: EventLoopPromise<[UInt8]>) {
        guard let context, let session = sessionIfOpen, !isGoingAway else {
            promise.fail(closingStatus)
            return
        }
        let bytes = request.message.count + MessageReader.prefixBytes
        guard slots.count < configuration.maxOpenCalls, queuedBytes + bytes <= configuration.maxQueuedRequestBytes,
            request.message.count <= UInt32.max
        else {
            let text = "too many calls are open on the connection"
            promise.fail(GRPCStatus(code: GRPCStatus.resourceExhausted, message: text))
            return
        }
        let now = context.eventLoop.now
        if let deadline = request.deadline, deadline <= now {
            promise.fail(GRPCStatus.deadlinePassed)
            return
        }
        let slot: Int
        let call = ClientCall(promise: promise, message: request.message)
        if let free = freeSlots.popLast() {
            slot = free
            calls[slot] = call
        } else {
            slot = calls.count
            calls.append(call)
        }
        guard let stream = session.submitRequest(fields(request, now: now), slot: slot) else {
            calls[slot] = nil
            freeSlots.append(slot)
            promise.fail(closingStatus)
            return
        }
        queuedBytes += bytes
        slots[stream] = slot
        calls[slot]?.stream = stream
        if let deadline = request.deadline {
            calls[slot]?.deadline = context.eventLoop.assumeIsolated().scheduleTask(deadline: deadline) {
                self.expire(stream)
            }
        }
        scheduleWrite()
    }

    private func fields(_ request: ClientRequestParts, now: NIODeadline) -> [([UInt8], [UInt8])] {
        var fields: [(String, String)] = [
            (":method", "POST"), (":scheme", configuration.secure == nil ? "http" : "https"), (":path", request.path),
            (":authority", authority),
            ("content-type", "application/grpc"), ("te", "trailers"), ("user-agent", configuration.userAgent),
            ("grpc-accept-encoding", "identity,gzip"),
        ]
        if let deadline = request.deadline { fields.append(("grpc-timeout", GRPCTimeout.encode(deadline - now))) }
        for (name, value) in request.metadata { fields.append((name, value)) }
        return fields.map { (Array($0.0.utf8), Array($0.1.utf8)) }
    }

    private func expire(_ stream: StreamID) {
        guard let slot = slots[stream], let call = calls[slot], !call.isAnswered else { return }
        end(slot, .failure(.deadlinePassed), reset: ErrorCode.cancel)
        write()
    }

    /// Gives the caller the result while the stream is still open, and resets that.
    private func end(_ slot: Int, _ result: Result<[UInt8], GRPCStatus>, reset error: UInt32) {
        guard let call = calls[slot], !call.isAnswered else { return }
        done.append((call.promise, result))
        call.deadline?.cancel()
        calls[slot]?.isAnswered = true
        sessionIfOpen?.submitReset(call.stream, error: error)
    }

    private func deliver() {
        while !done.isEmpty {
            var results: [(promise: EventLoopPromise<[UInt8]>, result: Result<[UInt8], GRPCStatus>)] = []
            swap(&results, &done)
            for (promise, result) in results { promise.completeWith(result.mapError { $0 }) }
        }
    }

    // MARK: What nghttp2 reports

    func didBeginHeaders(_ stream: StreamID) {
        headSlot = slots[stream] ?? -1
        if headSlot >= 0 { calls[headSlot]?.headerListBytes = 0 }
    }

    /// - Returns: false when the header list has grown too long.
    func didReceiveHeader(
        name: some RandomAccessCollection<UInt8>, value: some RandomAccessCollection<UInt8>
    ) -> Bool {
        guard headSlot >= 0, calls[headSlot] != nil else { return true }
        calls[headSlot]?.headerListBytes += name.count + value.count + 32
        if let bytes = calls[headSlot]?.headerListBytes, bytes > configuration.maxHeaderListBytes { return false }
        calls[headSlot]?.receiveHeader(name: name, value: value)
        return true
    }

    func didReceiveData<Bytes: RandomAccessCollection<UInt8>>(_ stream: StreamID, _ bytes: Bytes)
    where Bytes.Index == Int {
        guard let slot = slots[stream], calls[slot]?.isAnswered == false else { return }
        let limit = configuration.maxMessageBytes
        if let tooLarge = calls[slot]?.response.append(bytes, limit: limit) {
            end(slot, .failure(.messageTooLarge(tooLarge, limit: limit)), reset: ErrorCode.cancel)
        }
    }

    func didReceiveGoAway() { isGoingAway = true }

    func didCloseStream(_ stream: StreamID, error: UInt32) {
        guard let slot = slots.removeValue(forKey: stream), let call = calls[slot] else { return }
        if headSlot == slot { headSlot = -1 }
        calls[slot] = nil
        freeSlots.append(slot)
        queuedBytes -= call.request.remaining
        call.deadline?.cancel()
        if !call.isAnswered {
            done.append((call.promise, call.outcome(error: error, limit: configuration.maxMessageBytes)))
        }
    }

    func remainingBody(slot: Int) -> Int { calls[slot]?.request.remaining ?? 0 }

    func writeBody(slot: Int, count: Int, frameHeader: some Collection<UInt8>) {
        guard let session = sessionIfOpen else { preconditionFailure("a body without a session") }
        session.output.writeBytes(frameHeader)
        calls[slot]?.request.write(count, to: &session.output)
        queuedBytes -= count
    }

    // MARK: The channel's events

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        lastRead = context.eventLoop.now
        do throws(HTTP2Error) {
            let session = try Session(role: .client)
            session.report(to: self)
            try session.submitSettings(
                [
                    (Setting.enablePush, 0), (Setting.initialWindowSize, UInt32(configuration.streamWindow)),
                    (Setting.maxHeaderListSize, UInt32(configuration.maxHeaderListBytes)),
                ], window: configuration.connectionWindow)
            sessionIfOpen = session
        } catch {
            context.fireErrorCaught(error)
            context.close(promise: nil)
            return
        }
        if let interval = configuration.keepaliveInterval { scheduleKeepalive(in: interval) }
        write()
    }

    func handlerRemoved(context: ChannelHandlerContext) { closed() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.context != nil, let session = sessionIfOpen else { return }
        lastRead = context.eventLoop.now
        pingSent = nil
        do throws(HTTP2Error) {
            try session.receive(unwrapInboundIn(data))
        } catch {
            context.close(promise: nil)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        deliver()
        write()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { write() }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        closed()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // That the other side has closed the socket says no more than that the transport is closing.
        if closeReason == nil, !(error is IOError) { closeReason = "\(error)" }
        context.close(promise: nil)
    }

    private var closingStatus: GRPCStatus {
        closeReason.map { GRPCStatus(code: GRPCStatus.unavailable, message: "transport is closing: \($0)") }
            ?? .transportClosing
    }

    /// Calls that are started in one turn of the event loop are written together.
    private func scheduleWrite() {
        guard !writeIsScheduled, let context else { return }
        writeIsScheduled = true
        context.eventLoop.assumeIsolated().execute {
            self.writeIsScheduled = false
            self.write()
        }
    }

    private func write() {
        guard let context, let session = sessionIfOpen, !isWriting else { return }
        isWriting = true
        do throws(HTTP2Error) {
            var more = true
            while more && context.channel.isWritable && context.channel.isActive {
                output.clear()
                more = try session.fill(&output, limit: configuration.maxWriteBytes)
                if output.readableBytes > 0 { context.writeAndFlush(NIOAny(output), promise: nil) }
            }
            if output.capacity > 2 * configuration.maxWriteBytes { output = ByteBuffer() }
            if session.isFinished { context.close(promise: nil) }
        } catch {
            context.close(promise: nil)
        }
        isWriting = false
        deliver()
    }

    private func closed() {
        guard context != nil else { return }
        context = nil
        keepaliveTask?.cancel()
        for slot in calls.indices {
            guard let call = calls[slot], !call.isAnswered else { continue }
            call.deadline?.cancel()
            done.append((call.promise, .failure(closingStatus)))
        }
        calls = []
        slots = [:]
        freeSlots = []
        headSlot = -1
        deliver()
    }

    // MARK: Keepalive

    private func scheduleKeepalive(in delay: TimeAmount) {
        keepaliveTask = context?.eventLoop.assumeIsolated().scheduleTask(in: delay) { self.checkKeepalive() }
    }

    private func checkKeepalive() {
        guard let context, let interval = configuration.keepaliveInterval else { return }
        let now = context.eventLoop.now
        let timeout = configuration.keepaliveTimeout
        if let pingSent {
            if now - pingSent >= timeout {
                context.close(promise: nil)
            } else {
                scheduleKeepalive(in: min(interval, timeout - (now - pingSent)))
            }
        } else if slots.isEmpty || now - lastRead < interval {
            scheduleKeepalive(in: slots.isEmpty ? interval : interval - (now - lastRead))
        } else {
            pingSent = now
            sessionIfOpen?.submitPing(Self.keepalivePing)
            scheduleKeepalive(in: min(interval, timeout))
            write()
        }
    }
}

extension GRPCStatus {
    static let transportClosing = GRPCStatus(code: unavailable, message: "transport is closing")
}
