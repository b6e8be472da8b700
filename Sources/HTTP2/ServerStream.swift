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
        /// One of many messages has been given, or the end of them; sent likewise.
        case streaming(StreamedAnswer)
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
    /// The service is giving a streamed answer.
    var isStreaming: Bool {
        if case .streaming(let answer) = state { answer.status == nil } else { false }
    }
    /// Neither answered in full nor refused.
    var awaitsAnswer: Bool {
        switch state {
        case .receivingMessage, .handedOver: true
        case .streaming(let answer): answer.status == nil
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
        case .free, .receivingHeaders, .handedOver, .responding, .streaming:
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
        case .free, .receivingHeaders, .handedOver, .responding, .streaming:
            preconditionFailure("nghttp2 ended a request in front of its headers or twice")
        }
    }

    /// The service's answer.
    mutating func respond(_ message: ArraySlice<UInt8>) {
        guard case .handedOver = state else { preconditionFailure("answered in \(state)") }
        metadata = nil
        state = .responding(MessageWriter(message: message))
    }

    /// The next message of a streamed answer.
    /// - Returns: true when it is the first.
    mutating func send(_ message: ArraySlice<UInt8>) -> Bool {
        metadata = nil
        switch exchange(.finished) {
        case .handedOver:
            var answer = StreamedAnswer()
            answer.append(message)
            state = .streaming(answer)
            return true
        case .streaming(var answer):
            answer.append(message)
            state = .streaming(answer)
            return false
        case .free, .receivingHeaders, .receivingMessage, .responding, .finished:
            preconditionFailure("a message of a streamed answer in another state")
        }
    }

    /// The end of a streamed answer that has begun. An error cuts off what has not been sent.
    /// - Parameter queued: the bytes of answers on the connection that have not been sent, kept up to date here.
    mutating func endStreaming(_ status: GRPCStatus, queued: inout Int) {
        guard case .streaming(var answer) = exchange(.finished) else { preconditionFailure("no streamed answer") }
        if status.code != GRPCStatus.ok { queued -= answer.dropQueued() }
        answer.end(status)
        state = .streaming(answer)
    }

    /// Whether nghttp2 has to be told that there is more to send; asked once for each time it is true.
    mutating func takeDeferral() -> Bool {
        guard case .streaming(var answer) = exchange(.finished) else { preconditionFailure("no streamed answer") }
        let wasDeferred = answer.isDeferred
        answer.isDeferred = false
        state = .streaming(answer)
        return wasDeferred
    }

    /// What a DATA frame may take of the answer.
    enum Frame {
        /// So many bytes, and more later.
        case bytes(Int)
        /// So many bytes, the rest of it; trailers follow.
        case last(Int, GRPCStatus)
        /// Nothing for now.
        case wait
    }

    /// What the next DATA frame, of at most `limit` bytes, takes.
    mutating func nextFrame(limit: Int) -> Frame {
        switch state {
        case .responding(let body):
            return body.remaining <= limit ? .last(body.remaining, .success) : .bytes(limit)
        case .streaming(var answer):
            if let status = answer.status, answer.queued <= limit { return .last(answer.queued, status) }
            if answer.queued > 0 { return .bytes(min(limit, answer.queued)) }
            answer.isDeferred = true
            state = .streaming(answer)
            return .wait
        case .free, .receivingHeaders, .receivingMessage, .handedOver, .finished:
            return .last(0, .success)
        }
    }

    /// Moves the next `count` bytes of the answer to `output`.
    /// - Returns: true when the service may give more: the answer is streamed, and all that was given has been sent.
    mutating func write(_ count: Int, to output: inout ByteBuffer) -> Bool {
        switch exchange(.finished) {
        case .responding(var body):
            body.write(count, to: &output)
            if body.remaining > 0 { state = .responding(body) }
            return false
        case .streaming(var answer):
            answer.write(count, to: &output)
            state = .streaming(answer)
            return answer.queued == 0 && answer.status == nil
        case .free, .receivingHeaders, .receivingMessage, .handedOver, .finished:
            preconditionFailure("a DATA frame without an answer")
        }
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
        case .streaming(let answer):
            queued -= answer.queued
            return answer.status == nil
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
