package import NIOCore
package import NIOHTTP1

// A stream is one response whose body lasts as long as the connection. Once its head has been exchanged, HTTP's
// handlers would only wrap and unwrap each message on its way: docs/decisions/160-streams-past-http.md.

/// Sends the body of a stream's response in chunks, past the handlers of HTTP. It stands before them, behind TLS.
package final class StreamOutlet: ChannelOutboundHandler {
    package typealias OutboundIn = ByteBuffer
    package typealias OutboundOut = ByteBuffer

    private var context: ChannelHandlerContext?

    package init() {}

    package func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    package func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// Writes one chunk, ``ChunkWriter`` has put it into its form, to the socket. On the channel's event loop; the
    /// response's head must have been written, with the chunked coding. Dropped when the channel has gone.
    package func write(_ chunk: ByteBuffer) {
        context?.writeAndFlush(wrapOutboundOut(chunk), promise: nil)
    }
}

/// Takes the body of a stream's response past the handlers of HTTP to whom it concerns. It stands before them, behind
/// TLS. The response's head goes through them, and so does everything when ``divert()`` is not called.
package final class StreamInlet: ChannelInboundHandler {
    package typealias InboundIn = ByteBuffer
    package typealias InboundOut = ByteBuffer

    /// Told of the body once it is diverted.
    private let receiver: any ResponseReceiver
    private var state = State.head
    private var headEnd = HeadEnd()
    private var chunks = ChunkReader()

    private enum State {
        case head
        case passing
        case diverted
        /// The body is complete, or broken; what comes after it is nobody's.
        case over
    }

    package init(_ receiver: any ResponseReceiver) { self.receiver = receiver }

    /// The body is in chunks, and shall not go through the handlers of HTTP. Called while the head is received.
    package func divert() {
        if state == .passing { state = .diverted }
    }

    package func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard state != .passing else { return context.fireChannelRead(data) }
        var buffer = unwrapInboundIn(data)
        if state == .head {
            guard let count = headEnd.find(in: buffer.readableBytesView), let head = buffer.readSlice(length: count)
            else { return context.fireChannelRead(data) }
            state = .passing
            // Whoever receives the head calls `divert()` meanwhile.
            context.fireChannelRead(wrapInboundOut(head))
            guard buffer.readableBytes > 0 else { return }
        }
        switch state {
        case .head, .over: break
        case .passing: context.fireChannelRead(wrapInboundOut(buffer))
        case .diverted: take(&buffer, context)
        }
    }

    private func take(_ buffer: inout ByteBuffer, _ context: ChannelHandlerContext) {
        do throws(ChunkError) {
            while var piece = try chunks.next(&buffer) { receiver.received(&piece) }
        } catch {
            state = .over
            return context.fireErrorCaught(error)
        }
        if chunks.isComplete {
            state = .over
            receiver.completed()
        }
    }
}

extension HTTPResponseHead {
    /// Whether its body comes in chunks, and in nothing around them.
    package var isChunked: Bool {
        version == .http1_1 && headers[canonicalForm: "Transfer-Encoding"] == ["chunked"]
    }
}

/// Finds the empty line behind a response's head, however the head is cut into pieces.
private struct HeadEnd {
    /// Bytes of "\r\n\r\n" that the head has ended with so far.
    private var matched = 0

    /// - Returns: how many of the bytes belong to the head, when it ends within them.
    mutating func find(in bytes: ByteBufferView) -> Int? {
        for (offset, byte) in bytes.enumerated() {
            let expected: UInt8 = matched % 2 == 0 ? 0x0D : 0x0A
            matched = byte == expected ? matched + 1 : byte == 0x0D ? 1 : 0
            if matched == 4 { return offset + 1 }
        }
        return nil
    }
}
