import HTTP2
import NIOCore
import NIOEmbedded

/// A server connection without a socket: the test writes the client's bytes and reads the server's frames. Time stands
/// still unless the test moves it.
final class RawConnection {
    let service = TestService()
    let loop = EmbeddedEventLoop()
    let channel: EmbeddedChannel
    private let decoder = FrameDecoder()

    init(
        _ configuration: ServerConfiguration = ServerConfiguration(),
        http1: (@Sendable (any Channel) throws -> Void)? = nil
    ) throws {
        let box = NIOLoopBound(service, eventLoop: loop)
        let server = GRPCServer(group: loop, configuration: configuration, http1: http1) { _ in box.value }
        channel = EmbeddedChannel(loop: loop)
        try server.install(on: channel)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    deinit { _ = try? channel.finish(acceptAlreadyClosed: true) }

    var isOpen: Bool { channel.isActive }

    /// One read with these bytes, and what the server answers.
    func send(_ bytes: [UInt8]) throws -> [ReceivedFrame] {
        channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes))
        channel.pipeline.fireChannelReadComplete()
        loop.run()
        return try received()
    }

    /// What the server sent of its own accord.
    func received() throws -> [ReceivedFrame] {
        var frames: [ReceivedFrame] = []
        while let buffer = try channel.readOutbound(as: ByteBuffer.self) {
            frames += decoder.decode(Array(buffer.readableBytesView))
        }
        return frames
    }

    func advance(_ time: TimeAmount) throws -> [ReceivedFrame] {
        loop.advanceTime(by: time)
        return try received()
    }
}

/// What a call came to, from the frames of its stream.
struct Answer: Equatable, CustomStringConvertible {
    var http: String?
    var grpc: String?
    var text: String?
    var body: [UInt8] = []
    var reset: UInt32?

    init(_ frames: [ReceivedFrame], stream: UInt32 = 1) {
        for frame in frames where frame.stream == stream {
            switch frame.type {
            case 0: body += frame.payload
            case 1:
                http = frame.fields[":status"] ?? http
                grpc = frame.fields["grpc-status"] ?? grpc
                text = frame.fields["grpc-message"] ?? text
            case 3: reset = frame.payload.reduce(0) { $0 << 8 | UInt32($1) }
            default: break
            }
        }
    }

    var description: String {
        "http \(http ?? "-") grpc \(grpc ?? "-") '\(text ?? "-")' \(body.count) bytes, "
            + "reset \(reset.map(String.init) ?? "-")"
    }
}

extension [ReceivedFrame] {
    /// The error code and text of the last GOAWAY.
    var goAway: (error: UInt32, text: String)? {
        guard let frame = last(where: { $0.type == 7 }), frame.payload.count >= 8 else { return nil }
        return (
            frame.payload[4..<8].reduce(0) { $0 << 8 | UInt32($1) },
            String(decoding: frame.payload[8...], as: UTF8.self)
        )
    }
}
