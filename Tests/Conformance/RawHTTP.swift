import NIOCore
import NIOPosix

/// One request as bytes, and what a server answers, over a connection of its own.
enum RawHTTP {
    /// An answer, taken apart.
    struct Answer: Sendable {
        var status: Int
        /// By name in lower case.
        var headers: [String: String]
        var body: String
    }

    /// The server neither closed the connection nor sent a whole answer in time.
    struct Hung: Error, CustomStringConvertible {
        /// What had come until then.
        var received: String
        var description: String { "no whole answer, and no end of the connection: \(received.debugDescription)" }
    }

    /// - Parameters:
    ///   - headers: besides `Host`, `Connection: close` and, with a body, `Content-Length`.
    ///   - body: nil for none.
    ///   - limit: how long the server may take.
    /// - Returns: nil when the server closes the connection without an answer.
    /// - Throws: `Hung`; NIO's error when there is nobody to connect to.
    static func ask(
        _ method: String, _ path: String, port: Int, headers: [(String, String)] = [], body: [UInt8]? = nil,
        within limit: TimeAmount = .seconds(10)
    ) async throws -> Answer? {
        let collector = Collector()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(collector) }
            }
            .connect(host: "127.0.0.1", port: port).get()
        var request = "\(method) \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        for (name, value) in headers { request += "\(name): \(value)\r\n" }
        if let body { request += "Content-Length: \(body.count)\r\n" }
        var bytes = ByteBuffer(string: request + "\r\n")
        bytes.writeBytes(body ?? [])
        // A server may refuse before it has read everything.
        channel.writeAndFlush(bytes, promise: nil)
        let deadline = channel.eventLoop.scheduleTask(in: limit) {
            collector.isLate = true
            channel.close(promise: nil)
        }
        try await channel.closeFuture.get()
        deadline.cancel()
        let (received, isLate) = try await channel.eventLoop.submit { (collector.bytes, collector.isLate) }.get()
        if isLate { throw Hung(received: String(buffer: received)) }
        return Answer(String(buffer: received))
    }

    private final class Collector: ChannelInboundHandler, @unchecked Sendable {
        // SAFETY: used on the channel's event loop only.
        typealias InboundIn = ByteBuffer
        var bytes = ByteBuffer()
        var isLate = false
        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            var part = unwrapInboundIn(data)
            bytes.writeBuffer(&part)
            // etcd keeps some connections that it was asked to close.
            if isComplete { context.close(promise: nil) }
        }

        /// Whether the length that the head names is there; without one the connection's end is the answer's.
        private var isComplete: Bool {
            guard let answer = Answer(String(buffer: bytes)) else { return false }
            if answer.status == 204 { return true }
            return answer.headers["content-length"].flatMap { Int($0) }.map { answer.body.utf8.count >= $0 } ?? false
        }
    }
}

extension RawHTTP.Answer {
    /// - Parameter text: nil comes of what is no answer.
    init?(_ text: String) {
        guard let end = text.firstRange(of: "\r\n\r\n") else { return nil }
        let lines = text[..<end.lowerBound].split(separator: "\r\n")
        let words = lines[0].split(separator: " ")
        guard words.count > 1, let status = Int(words[1]) else { return nil }
        self.status = status
        headers = [:]
        for line in lines.dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...]
            headers[line[..<colon].lowercased()] = String(value.drop { $0 == " " })
        }
        body = String(text[end.upperBound...])
    }
}
