// Answers of many messages.
extension ServerConnection {
    /// Queues one message of a streamed answer. A call that was cancelled in the meantime is passed over.
    ///
    /// Whoever produces more than fits into memory gives one message, or a few, and waits for
    /// ``GRPCService/drained(_:on:)`` before it gives more.
    /// - Parameter message: the encoded response message; its storage is shared until it has been sent.
    public func send(_ stream: StreamID, message: ArraySlice<UInt8>) {
        guard let slot = streamingSlot(stream) else { return }
        let bytes = message.count + MessageReader.prefixBytes
        guard queuedResponseBytes + bytes <= configuration.maxQueuedResponseBytes, message.count <= UInt32.max else {
            let text = "martlet: the client does not take the answers on this connection"
            cancellations.append(stream)
            answer(slot, GRPCStatus(code: GRPCStatus.resourceExhausted, message: text))
            return
        }
        queuedResponseBytes += bytes
        if streams[slot].send(message) {
            if !session.submitResponse(stream, slot: slot) { session.submitReset(stream, error: ErrorCode.cancel) }
        } else if streams[slot].takeDeferral() {
            session.resumeBody(stream)
        }
    }

    /// Ends a streamed answer in success, behind what has been queued. ``fail(_:code:message:)`` ends it with an error
    /// at once.
    public func end(_ stream: StreamID) {
        guard let slot = streamingSlot(stream) else { return }
        if streams[slot].isStreaming { endStreaming(slot, .success) } else { answer(slot, .success) }
    }

    func endStreaming(_ slot: Int, _ status: GRPCStatus) {
        streams[slot].endStreaming(status, queued: &queuedResponseBytes)
        if streams[slot].takeDeferral() { session.resumeBody(streams[slot].id) }
    }

    /// Tells the service whose answers have been sent as far as they were given.
    func reportDrained() {
        if drained.isEmpty { return }
        var streams: [StreamID] = []
        swap(&streams, &drained)
        for stream in streams where streamingSlot(stream) != nil { loop.service.drained(stream, on: self) }
    }
}
