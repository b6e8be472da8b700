import HTTP2
import NIOCore
import NIOEmbedded
import NIOHTTP1
import NIOPosix
import Testing

@Suite struct ShutdownTests {
    /// Open calls are answered, later ones refused, then the connection ends.
    @Test func drains() async throws {
        try await withServer { live in
            let client = try await live.client()
            let open = (0..<20).map { client.call(.later, [UInt8($0)]) }
            _ = try await client.call(.echo, []).get()
            let started = NIODeadline.now()
            await live.server.shutdown(drain: .seconds(10))
            #expect(NIODeadline.now() - started < .seconds(5))
            for (index, call) in open.enumerated() { #expect(try await call.get() == [UInt8(index)]) }
            try await client.closeFuture.get()
            #expect(await client.status(.echo, [1])?.code == GRPCStatus.unavailable)
            await #expect(throws: (any Error).self) { try await live.client() }
        }
    }

    @Test func cutsOffWhatDoesNotEnd() async throws {
        try await withServer { live in
            let client = try await live.client()
            let open = client.call(.hold, [1])
            _ = try await client.call(.echo, []).get()
            await live.server.shutdown(drain: .milliseconds(50))
            await #expect(throws: GRPCStatus(code: 14, message: "transport is closing")) { try await open.get() }
        }
    }

    /// The two GOAWAYs: the first takes calls that were under way, the second names the last of them.
    @Test func announcesTwice() async throws {
        let service = TestService()
        let channel = NIOAsyncTestingChannel()
        let box = try await channel.testingEventLoop.executeInContext { [service = Boxed(service)] in
            NIOLoopBound(service.value, eventLoop: channel.testingEventLoop)
        }
        let server = GRPCServer(group: channel.testingEventLoop) { _ in box.value }
        try await channel.testingEventLoop.executeInContext { try server.install(on: channel) }
        try await channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).get()
        let decoder = FrameDecoder()
        func send(_ bytes: [UInt8]) async throws -> [ReceivedFrame] {
            try await channel.writeInbound(ByteBuffer(bytes: bytes))
            var frames: [ReceivedFrame] = []
            while let buffer = try await channel.readOutbound(as: ByteBuffer.self) {
                frames += decoder.decode(Array(buffer.readableBytesView))
            }
            return frames
        }
        _ = try await send(Frame.hello + Frame.settingsAck)
        async let done: Void = server.shutdown(drain: .seconds(10))
        var frames: [ReceivedFrame] = []
        while frames.isEmpty {
            // A frame that means nothing lets the loop run.
            frames = try await send(Frame.raw(type: 0x50, flags: 0, stream: 0, []))
            try await Task.sleep(for: .milliseconds(1))
        }
        let notice = try #require(frames.first { $0.type == 7 })
        #expect(notice.payload == [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0])
        let ping = try #require(frames.first { $0.type == 6 })
        let answered = try await send(Call.unary(1, TestService.Method.echo.path, [5]))
        #expect(Answer(answered).grpc == "0")
        let last = try await send(Frame.ping(ping.payload, ack: true))
        #expect(last.goAway?.error == 0)
        #expect(last.goAway?.text == "graceful_stop")
        #expect(last.first { $0.type == 7 }?.payload.prefix(4) == [0, 0, 0, 1])
        await done
        #expect(!channel.isActive)
    }

    private final class Boxed: @unchecked Sendable {
        // SAFETY: handed to the event loop of the test's channel once, before anything else uses it.
        let value: TestService
        init(_ value: TestService) { self.value = value }
    }
}

@Suite struct DetectionTests {
    /// Answers every request with its method and path.
    private final class HTTP1Echo: ChannelInboundHandler {
        typealias InboundIn = HTTPServerRequestPart
        typealias OutboundOut = HTTPServerResponsePart

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            guard case .head(let head) = unwrapInboundIn(data) else { return }
            let body = ByteBuffer(string: "\(head.method) \(head.uri)")
            let headers: HTTPHeaders = ["content-length": "\(body.readableBytes)"]
            context.write(
                wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .ok, headers: headers))), promise: nil
            )
            context.write(wrapOutboundOut(.body(.byteBuffer(body))), promise: nil)
            context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
        }
    }

    private static let http1: @Sendable (any Channel) throws -> Void = { channel in
        try channel.pipeline.syncOperations.configureHTTPServerPipeline()
        try channel.pipeline.syncOperations.addHandler(HTTP1Echo())
    }

    @Test(arguments: [1, 3, 1000]) func passesHTTP1On(piece: Int) throws {
        let connection = try RawConnection(http1: Self.http1)
        var bytes = Array("PUT /version HTTP/1.1\r\nHost: x\r\n\r\n".utf8)[...]
        var answer = ""
        while !bytes.isEmpty {
            connection.channel.pipeline.fireChannelRead(ByteBuffer(bytes: bytes.prefix(piece)))
            connection.channel.pipeline.fireChannelReadComplete()
            bytes = bytes.dropFirst(piece)
        }
        while let part = try connection.channel.readOutbound(as: IOData.self) {
            if case .byteBuffer(let buffer) = part { answer += String(buffer: buffer) }
        }
        #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
        #expect(answer.hasSuffix("PUT /version"))
        #expect(connection.service.opened == 0)
    }

    @Test func servesBothOnOnePort() async throws {
        try await withServer(http1: Self.http1) { live in
            let client = try await live.client()
            #expect(try await client.call(.echo, [1]).get() == [1])
            try await client.close().get()
            let channel = try await ClientBootstrap(group: live.group).connect(host: "127.0.0.1", port: live.port) {
                channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
            try await channel.executeThenClose { inbound, outbound in
                try await outbound.write(ByteBuffer(string: "GET /health HTTP/1.1\r\nHost: x\r\n\r\n"))
                var answer = ""
                for try await buffer in inbound {
                    answer += String(buffer: buffer)
                    if answer.hasSuffix("GET /health") { break }
                }
                #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n"))
            }
        }
    }

    @Test func closesOtherProtocolsWithoutHTTP1() throws {
        let connection = try RawConnection()
        _ = try connection.send(Array("GET / HTTP/1.1\r\n\r\n".utf8))
        #expect(!connection.isOpen)
    }
}
