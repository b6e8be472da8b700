internal import NIOCore

/// One call on the server's side of a connection.
struct ServerStream {
    /// Where the call stands. A reset, a deadline or the loss of the connection ends it in any state.
    enum State {
        /// The slot waits for the next stream.
        case free
        case receivingHeaders
        case receivingMessage(MessageReader)
        /// The service has the call, nobody has answered it.
        case handedOver
        /// Being sent as the windows of the client allow.
        case responding(MessageWriter)
        /// Answered in full, or refused; what still comes in is dropped.
        case finished
    }

    /// What to do after an event.
    enum Action {
        case nothing
        /// Give the call to the service.
        case handOver(UnaryCall)
        case refuse(GRPCStatus)
    }

    private(set) var state = State.free
    var id: StreamID = 0
    var method = -1
    var encoding = MessageEncoding.identity
    var deadline: NIODeadline?
    var metadata: CallMetadata?
    /// Set with the client's END_STREAM.
    var requestEnded = false

    var isOpen: Bool {
        if case .free = state { false } else { true }
    }
    /// The service has been given the call and has not answered.
    var isHandedOver: Bool {
        if case .handedOver = state { true } else { false }
    }
    /// Neither answered nor refused.
    var awaitsAnswer: Bool {
        switch state {
        case .receivingMessage, .handedOver: true
        case .free, .receivingHeaders, .responding, .finished: false
        }
    }

    mutating func open(id: StreamID) {
        precondition(!isOpen)
        self.id = id
        requestEnded = false
        state = .receivingHeaders
    }

    /// The headers are complete and good.
    mutating func endHeaders(
        method: Int, encoding: MessageEncoding, deadline: NIODeadline?, metadata: CallMetadata?
    ) {
        guard case .receivingHeaders = state else { preconditionFailure("headers end in \(state)") }
        self.method = method
        self.encoding = encoding
        self.deadline = deadline
        self.metadata = metadata
        state = .receivingMessage(MessageReader())
    }

    /// - Parameter held: the bytes of unfinished requests on the connection, kept up to date here and below.
    mutating func receive<Chunk: RandomAccessCollection<UInt8>>(_ chunk: Chunk, limit: Int, held: inout Int) -> Action
    where Chunk.Index == Int {
        // Out of the enum and back in, so that the message buffer is not copied.
        switch exchange(.finished) {
        case .receivingMessage(var reader):
            held -= reader.bytes.count
            let tooLarge = reader.append(chunk, limit: limit)
            held += reader.bytes.count
            state = .receivingMessage(reader)
            if let tooLarge { return .refuse(.messageTooLarge(tooLarge, limit: limit)) }
            return .nothing
        case .finished:
            return .nothing
        case .free, .receivingHeaders, .handedOver, .responding:
            preconditionFailure("nghttp2 passed data in front of headers or behind the end")
        }
    }

    /// The client's END_STREAM.
    mutating func endRequest(limit: Int, held: inout Int) -> Action {
        requestEnded = true
        switch exchange(.finished) {
        case .receivingMessage(let reader):
            held -= reader.bytes.count
            if reader.isEmpty {
                return .refuse(GRPCStatus(code: GRPCStatus.unknown, message: "EOF"))
            }
            guard reader.isComplete else {
                return .refuse(GRPCStatus(code: GRPCStatus.unknown, message: "unexpected EOF"))
            }
            if reader.hasSurplus {
                let message = "cardinality violation: received multiple request messages for a unary call"
                return .refuse(GRPCStatus(code: GRPCStatus.internal, message: message))
            }
            do throws(GRPCStatus) {
                let message = try reader.message(encoding: encoding, limit: limit)
                state = .handedOver
                return .handOver(
                    UnaryCall(stream: id, method: method, message: message, deadline: deadline, metadata: metadata))
            } catch {
                return .refuse(error)
            }
        case .finished:
            return .nothing
        case .free, .receivingHeaders, .handedOver, .responding:
            preconditionFailure("nghttp2 ended a request in front of its headers or twice")
        }
    }

    /// The service's answer.
    mutating func respond(_ message: ArraySlice<UInt8>) {
        guard case .handedOver = state else { preconditionFailure("answered in \(state)") }
        metadata = nil
        state = .responding(MessageWriter(message: message))
    }

    /// How much of the answer fits into a DATA frame of at most `limit` bytes, and whether that is the rest.
    func nextFrame(limit: Int) -> (bytes: Int, isLast: Bool) {
        guard case .responding(let body) = state else { return (0, true) }
        return (min(limit, body.remaining), body.remaining <= limit)
    }

    /// Moves the next `count` bytes of the answer to `output`.
    mutating func write(_ count: Int, to output: inout ByteBuffer) {
        guard case .responding(var body) = exchange(.finished) else {
            preconditionFailure("a DATA frame without an answer")
        }
        body.write(count, to: &output)
        if body.remaining > 0 { state = .responding(body) }
    }

    /// Answered by trailers alone.
    mutating func finish(held: inout Int) {
        if case .receivingMessage(let reader) = exchange(.finished) { held -= reader.bytes.count }
        metadata = nil
    }

    /// The stream is gone.
    /// - Parameter queued: the bytes of answers on the connection that have not been sent, kept up to date here.
    /// - Returns: true when the service has the call and is to hear of the end.
    mutating func close(held: inout Int, queued: inout Int) -> Bool {
        metadata = nil
        deadline = nil
        switch exchange(.free) {
        case .receivingMessage(let reader):
            held -= reader.bytes.count
            return false
        case .responding(let body):
            queued -= body.remaining
            return false
        case .handedOver:
            return true
        case .free, .receivingHeaders, .finished:
            return false
        }
    }

    private mutating func exchange(_ next: State) -> State {
        var other = next
        swap(&state, &other)
        return other
    }
}
