import NIOCore
import NIOPosix
import Testing

/// Whether the tests' own requests tell a server that hangs from one that closes the connection.
@Suite(.serialized) struct RawHTTPTests {
    private static func withServer(
        _ answer: String, closes: Bool, _ body: (Int) async throws -> Void
    ) async throws {
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Server(answer: answer, closes: closes))
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        do {
            try await body(try #require(listener.localAddress?.port))
        } catch {
            try await listener.close().get()
            throw error
        }
        try await listener.close().get()
    }

    private final class Server: ChannelInboundHandler, Sendable {
        typealias InboundIn = ByteBuffer
        let answer: String
        let closes: Bool

        init(answer: String, closes: Bool) {
            self.answer = answer
            self.closes = closes
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            context.channel.writeAndFlush(ByteBuffer(string: answer), promise: nil)
            if closes { context.close(promise: nil) }
        }
    }

    private static let answers = [
        "", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhal",
        "HTTP/1.1 200 OK\r\n\r\nall there is",
    ]

    @Test(arguments: answers) func aServerThatHangs(answer: String) async throws {
        try await Self.withServer(answer, closes: false) { port in
            await #expect(throws: RawHTTP.Hung.self) {
                try await RawHTTP.ask("GET", "/", port: port, within: .milliseconds(300))
            }
        }
    }

    @Test func aServerThatCloses() async throws {
        for part in Self.answers.prefix(2) {
            try await Self.withServer(part, closes: true) { port in
                let answer = try await RawHTTP.ask("GET", "/", port: port)
                #expect(answer?.status == nil)
            }
        }
        try await Self.withServer(Self.answers[3], closes: true) { port in
            let answer = try await RawHTTP.ask("GET", "/", port: port)
            #expect(answer?.body == "all there is")
        }
        // One that keeps the connection has answered all the same, once all that it has announced is there.
        try await Self.withServer("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall", closes: false) { port in
            let answer = try await RawHTTP.ask("GET", "/", port: port)
            #expect(answer?.body == "all")
        }
    }
}
