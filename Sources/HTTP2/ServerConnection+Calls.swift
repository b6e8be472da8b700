internal import NIOCore

// What nghttp2 reports, and the way of a call from its headers to the hand-over. All of it runs inside the session, so
// it only queues.
extension ServerConnection {
    func didBeginRequest(_ stream: StreamID) {
        headSlot = -1
        guard !isSentAway else { return }
        guard openStreams < configuration.maxOpenStreams else {
            session.submitReset(stream, error: ErrorCode.refusedStream)
            return
        }
        let slot: Int
        if let free = freeSlots.popLast() {
            slot = free
        } else {
            slot = streams.count
            streams.append(ServerStream())
        }
        streams[slot].open(id: stream)
        openStreams += 1
        session.setSlot(slot, of: stream)
        head.reset()
        headSlot = slot
    }

    /// - Returns: false when the header list has grown too long; the stream is to be reset.
    func didReceiveHeader(
        name: some RandomAccessCollection<UInt8>, value: some RandomAccessCollection<UInt8>
    ) -> Bool {
        guard headSlot >= 0 else { return true }
        return head.receive(name: name, value: value, paths: loop.paths) <= configuration.maxHeaderListBytes
    }

    /// Judges the request by its headers, in grpc-go's order.
    func didEndHeaders(_ stream: StreamID) {
        let slot = headSlot
        headSlot = -1
        guard slot >= 0, streams[slot].id == stream else { return }
        if let refusal = head.protocolRefusal {
            answer(slot, refusal.status, httpStatus: refusal.httpStatus)
            return
        }
        if head.method < 0 {
            do throws(GRPCStatus) {
                head.method = try loop.paths.resolve(head.path)
            } catch {
                answer(slot, error)
                return
            }
        }
        if let refusal = head.encodingRefusal {
            answer(slot, refusal.status, httpStatus: refusal.httpStatus)
            return
        }
        let deadline = head.timeout.map { now + $0 }
        streams[slot].endHeaders(
            method: head.method, encoding: head.encoding, deadline: deadline, metadata: metadata())
        guard let deadline else { return }
        if deadline <= now {
            answer(slot, .deadlinePassed)
        } else {
            noteDeadline(deadline)
        }
    }

    /// The metadata of the request whose headers have just ended: mostly the same as that of the one before it.
    private func metadata() -> CallMetadata? {
        if head.metadata.isEmpty { return nil }
        if let lastMetadata, lastMetadata.encoded == head.metadata { return lastMetadata.value }
        let value = CallMetadata(encoded: head.metadata)
        lastMetadata = (head.metadata, value)
        return value
    }

    func didReceiveData<Bytes: RandomAccessCollection<UInt8>>(_ stream: StreamID, _ bytes: Bytes)
    where Bytes.Index == Int {
        guard !isSentAway, let slot = session.slot(of: stream) else { return }
        let action = streams[slot].receive(bytes, limit: configuration.maxMessageBytes, held: &heldRequestBytes)
        if heldRequestBytes > configuration.maxHeldRequestBytes {
            let text = "martlet: too many bytes of unfinished requests on this connection"
            answer(slot, GRPCStatus(code: GRPCStatus.resourceExhausted, message: text))
        } else {
            perform(action, slot)
        }
    }

    func didEndRequest(_ stream: StreamID) {
        guard let slot = session.slot(of: stream) else { return }
        let action = streams[slot].endRequest(limit: configuration.maxMessageBytes, held: &heldRequestBytes)
        perform(action, slot)
    }

    private func perform(_ action: ServerStream.Action, _ slot: Int) {
        switch action {
        case .nothing: break
        case .refuse(let status): answer(slot, status)
        case .handOver(let call): calls.append(call)
        }
    }

    /// Answers with trailers alone. A client that is still sending is told to stop.
    func answer(_ slot: Int, _ status: GRPCStatus, httpStatus: UInt16 = 200) {
        let stream = streams[slot].id
        if streams[slot].isStreaming {
            endStreaming(slot, status)
            return
        }
        let requestEnded = streams[slot].requestEnded
        streams[slot].finish(held: &heldRequestBytes)
        pings.noteServerSentData()
        let submitted = session.submitTrailersOnly(stream, httpStatus: httpStatus, status: status)
        if !submitted {
            session.submitReset(stream, error: ErrorCode.cancel)
        } else if !requestEnded {
            refusedEarly.append(stream)
        }
    }

    /// Resets the streams that were refused while their clients were still sending. nghttp2 drops headers that wait
    /// behind a reset of their stream, so this comes after they have been sent.
    /// - Returns: true when there is something to send now.
    func resetRefusedStreams() -> Bool {
        if refusedEarly.isEmpty { return false }
        for stream in refusedEarly where session.slot(of: stream) != nil {
            session.submitReset(stream, error: ErrorCode.noError)
        }
        refusedEarly.removeAll(keepingCapacity: true)
        return true
    }

    func didCloseStream(_ stream: StreamID, error: UInt32) {
        if error != ErrorCode.noError && !resets.take(now: now) { sendAway("too_many_resets") }
        guard let slot = session.slot(of: stream) else { return }
        if headSlot == slot { headSlot = -1 }
        if streams[slot].close(held: &heldRequestBytes, queued: &queuedResponseBytes) { cancellations.append(stream) }
        openStreams -= 1
        freeSlots.append(slot)
    }

    /// A frame that serves no call.
    func didReceiveIdleFrame() {
        if !idleFrames.take(now: now) { sendAway("too_many_idle_frames") }
    }

    // MARK: Bodies

    func nextFrame(slot: Int, limit: Int) -> ServerStream.Frame { streams[slot].nextFrame(limit: limit) }

    /// Writes one DATA frame.
    func writeBody(slot: Int, count: Int, frameHeader: some Collection<UInt8>) {
        pings.noteServerSentData()
        session.output.writeBytes(frameHeader)
        if streams[slot].write(count, to: &session.output) { drained.append(streams[slot].id) }
        queuedResponseBytes -= count
    }

    // MARK: Cancellation

    /// Calls that were reset in the same read that brought them never reach the service.
    func withdrawCancelledCalls() {
        guard !cancellations.isEmpty, !calls.isEmpty else { return }
        let gone = Set(cancellations)
        let pending = Set(calls.map(\.stream))
        calls.removeAll { gone.contains($0.stream) }
        cancellations.removeAll { pending.contains($0) }
    }

    func reportCancellations() {
        if cancellations.isEmpty { return }
        var streams: [StreamID] = []
        swap(&streams, &cancellations)
        for stream in streams { loop.service.cancelled(stream, on: self) }
    }

    // MARK: Deadlines

    private func noteDeadline(_ deadline: NIODeadline) {
        guard deadlineTimer.isLater(than: deadline) else { return }
        deadlineTimer.set(deadline, task: scheduleDeadline(at: deadline))
    }

    /// Answers every call whose time is over, and sets the timer for the next.
    func expireDeadlines(now: NIODeadline) {
        deadlineTimer.clear()
        var nearest: NIODeadline?
        for slot in streams.indices where streams[slot].awaitsAnswer {
            guard let deadline = streams[slot].deadline else { continue }
            if deadline <= now {
                if streams[slot].isHandedOver || streams[slot].isStreaming {
                    cancellations.append(streams[slot].id)
                }
                answer(slot, .deadlinePassed)
            } else {
                nearest = min(nearest ?? deadline, deadline)
            }
        }
        if let nearest {
            let next = max(nearest, now + DeadlineTimer.granularity)
            deadlineTimer.set(next, task: scheduleDeadline(at: next))
        }
        reportCancellations()
        write()
    }
}

/// One timer for the nearest deadline of a connection: calls with deadlines mostly end long before them, and cost
/// nothing here then. When it fires it looks through all streams, but not more often than its granularity.
struct DeadlineTimer {
    static let granularity = TimeAmount.milliseconds(5)

    private var at: NIODeadline?
    private var task: Scheduled<Void>?

    func isLater(than deadline: NIODeadline) -> Bool { at.map { $0 > deadline } ?? true }

    mutating func set(_ deadline: NIODeadline, task next: Scheduled<Void>?) {
        task?.cancel()
        at = deadline
        task = next
    }

    mutating func clear() {
        at = nil
        task = nil
    }

    mutating func cancel() {
        task?.cancel()
        clear()
    }
}

extension GRPCStatus {
    static let deadlinePassed = GRPCStatus(code: deadlineExceeded, message: "context deadline exceeded")
}
