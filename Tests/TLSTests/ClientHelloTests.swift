import Base
import NIOCore
import NIOPosix
import PlatformLinux
import Synchronization
import TLS
import TestSupport
import Testing

/// Which clients offer to resume a session, told from their first message.
@Suite(.serialized) struct ClientHelloTests {
    /// A message in one record; `parts` are extensions, by number.
    static func hello(
        sessionID: Int = 0, _ extensions: [(type: UInt16, bytes: [UInt8])]? = nil, record: Int = 1 << 14
    ) -> [UInt8] {
        var body = ByteBuffer(bytes: [3, 3] + [UInt8](repeating: 7, count: 32))
        body.writeInteger(UInt8(sessionID))
        body.writeRepeatingByte(9, count: sessionID)
        body.writeBytes([0, 2, 0x13, 1, 1, 0])
        if let extensions {
            var all = ByteBuffer()
            for (type, bytes) in extensions {
                all.writeInteger(type)
                all.writeInteger(UInt16(bytes.count))
                all.writeBytes(bytes)
            }
            body.writeInteger(UInt16(all.readableBytes))
            body.writeBuffer(&all)
        }
        var message = ByteBuffer()
        message.writeInteger(UInt32(body.readableBytes) | 1 << 24)
        message.writeBuffer(&body)
        var bytes: [UInt8] = []
        while let part = message.readBytes(length: min(record, message.readableBytes)), !part.isEmpty {
            bytes += [22, 3, 1, UInt8(part.count >> 8), UInt8(part.count & 0xFF)] + part
        }
        return bytes
    }

    private static let versions: (type: UInt16, bytes: [UInt8]) = (43, [4, 3, 4, 3, 3])
    private static let olderVersions: (type: UInt16, bytes: [UInt8]) = (43, [2, 3, 3])
    private static let name: (type: UInt16, bytes: [UInt8]) = (0, [0, 4, 0, 0, 1, 97])

    private static let cases: [(name: String, bytes: [UInt8], expected: ClientHello, withoutTLS13: ClientHello)] = [
        ("no extensions", hello(), .new, .new), ("a name", hello([name]), .new, .new),
        ("would take a ticket", hello([name, (35, [])]), .new, .new),
        ("a ticket", hello([name, (35, [1])]), .mayResume, .mayResume),
        ("TLS 1.3", hello(sessionID: 32, [versions, name]), .new, .mayResume),
        ("TLS 1.3 with a key from before", hello([versions, name, (41, [0])]), .mayResume, .mayResume),
        ("TLS 1.3 and a ticket", hello([versions, (35, [1, 2])]), .mayResume, .mayResume),
        ("a session's ID", hello(sessionID: 32, [name, olderVersions]), .mayResume, .mayResume),
        ("a session's ID alone", hello(sessionID: 1), .mayResume, .mayResume),
        ("many records", hello(sessionID: 32, [versions, name], record: 3), .new, .mayResume),
        ("many records, a ticket", hello([(35, [1])], record: 1), .mayResume, .mayResume),
        ("HTTP", Array("GET / HTTP/1.1\r\n\r\n".utf8), .mayResume, .mayResume),
        ("an alert", [21, 3, 3, 0, 2, 1, 0], .mayResume, .mayResume),
        ("another message", [22, 3, 3, 0, 4, 2, 0, 0, 0], .mayResume, .mayResume),
        ("too long", [22, 3, 3, 0, 4, 1, 0, 0x40, 1], .mayResume, .mayResume),
        ("an empty one", [22, 3, 3, 0, 4, 1, 0, 0, 0], .mayResume, .mayResume),
        ("half an extension", hello([(0, [])]).dropLast() + [1], .mayResume, .mayResume),
        (
            "no end", Array(repeatElement([22, 3, 1, 0, 0], count: TLSLimits.helloBytes / 5 + 1).joined()), .mayResume,
            .mayResume
        ),
    ]

    @Test func offers() {
        for (name, bytes, expected, withoutTLS13) in Self.cases {
            #expect(ClientHello(ByteBuffer(bytes: bytes), allowsTLS13: true) == expected, "\(name)")
            #expect(ClientHello(ByteBuffer(bytes: bytes), allowsTLS13: false) == withoutTLS13, "\(name)")
        }
    }

    /// What has come in part is no answer, wherever it breaks off; what comes behind changes none.
    @Test func parts() {
        for it in Self.cases where it.bytes.first == 22 && it.bytes.count < 1 << 10 {
            for count in 0..<it.bytes.count {
                let answer = ClientHello(ByteBuffer(bytes: it.bytes.prefix(count)), allowsTLS13: true)
                #expect(
                    answer == .incomplete || (answer == it.expected && answer == .mayResume), "\(it.name), \(count)")
            }
            let more = ClientHello(ByteBuffer(bytes: it.bytes + [22, 3, 3]), allowsTLS13: true)
            #expect(more == it.expected, "\(it.name)")
        }
    }

    @Test(arguments: [1, 2, 3]) func anyBytesAreTaken(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var answers: Set<String> = []
        for _ in 0..<2_000 {
            var bytes = Self.hello(
                sessionID: 4, [Self.versions, Self.name], record: Int.random(in: 1...90, using: &random))
            for _ in 0..<Int.random(in: 0...2, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let cut = Bool.random(using: &random) ? bytes.count : Int.random(in: 0...bytes.count, using: &random)
            answers.insert("\(ClientHello(ByteBuffer(bytes: bytes.prefix(cut)), allowsTLS13: true))")
        }
        #expect(answers.count == 3, "seed \(seed)")
    }

    /// Cuts what is sent into single bytes.
    private final class Cutter: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            var bytes = unwrapOutboundIn(data)
            while bytes.readableBytes > 1, let byte = bytes.readSlice(length: 1) {
                context.writeAndFlush(wrapOutboundOut(byte), promise: nil)
            }
            context.write(wrapOutboundOut(bytes), promise: promise)
        }
    }

    /// Greets who connects, before anything has come from there.
    private final class Greeter: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        func channelActive(context: ChannelHandlerContext) {
            context.write(NIOAny(ByteBuffer(string: "wel")), promise: nil)
            context.writeAndFlush(NIOAny(ByteBuffer(string: "come")), promise: nil)
            context.fireChannelActive()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    private final class Collector: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let promise: EventLoopPromise<String>
        private var text = ""

        init(_ promise: EventLoopPromise<String>) { self.promise = promise }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            text += String(buffer: unwrapInboundIn(data))
            if text.count >= 7 { promise.succeed(text) }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { promise.fail(error) }
        func channelInactive(context: ChannelHandlerContext) { promise.fail(ChannelError.eof) }
    }

    /// The first message may come in any pieces, and what the server writes before it is for the client alone.
    @Test func nothingIsLostAroundTheFirstMessage() async throws {
        try await TLSFiles.with("the first message of TLS") { files in
            let tls = try ServerTLS(
                files.settings(), offering: [], disk: LinuxDisk(), names: LinuxHostNames(), logger: .silent)
            let secure = Mutex<[Bool]>([])
            let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try tls.install(on: channel)
                        secure.withLock { $0.append(TLSPeer.isSecure(channel)) }
                        try channel.pipeline.syncOperations.addHandler(Greeter())
                    }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            let port = try #require(server.localAddress?.port)
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            let promise = loop.makePromise(of: String.self)
            let client = try client(files.settings())
            let channel = try await ClientBootstrap(group: loop)
                .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(Cutter())
                        try client.install(on: channel, host: "127.0.0.1")
                        try channel.pipeline.syncOperations.addHandler(Collector(promise))
                    }
                }
                .connect(host: "127.0.0.1", port: port).get()
            #expect(try await promise.futureResult.get() == "welcome")
            #expect(secure.withLock { $0 } == [true])
            #expect(tls.connectionsWithOwnContext == 0)
            try await channel.close()
            try await server.close()
        }
    }

    /// Writes more than may wait for a client's first message.
    private final class Flooder: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        private let written: EventLoopPromise<Void>

        init(_ written: EventLoopPromise<Void>) { self.written = written }

        func channelActive(context: ChannelHandlerContext) {
            let half = ByteBuffer(repeating: 0, count: TLSLimits.earlyBytes / 2)
            context.writeAndFlush(NIOAny(half), promise: nil)
            context.writeAndFlush(NIOAny(half), promise: nil)
            context.writeAndFlush(NIOAny(ByteBuffer(repeating: 0, count: 1)), promise: written)
            context.fireChannelActive()
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }

    /// A client that says nothing does not make the server hold what it likes; nothing of it leaves without TLS.
    @Test func earlyBytesAreLimited() async throws {
        try await TLSFiles.with("bytes before the first message") { files in
            let tls = try ServerTLS(
                files.settings(), offering: [], disk: LinuxDisk(), names: LinuxHostNames(), logger: .silent)
            let loop = MultiThreadedEventLoopGroup.singleton.next()
            let written = loop.makePromise(of: Void.self)
            let server = try await ServerBootstrap(group: loop)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try tls.install(on: channel)
                        try channel.pipeline.syncOperations.addHandler(Flooder(written))
                    }
                }
                .bind(host: "127.0.0.1", port: 0).get()
            let received = loop.makePromise(of: String.self)
            let channel = try await ClientBootstrap(group: loop)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(Collector(received))
                    }
                }
                .connect(host: "127.0.0.1", port: try #require(server.localAddress?.port)).get()
            await #expect(throws: ChannelError.ioOnClosedChannel) { try await written.futureResult.get() }
            await #expect(throws: ChannelError.eof) { try await received.futureResult.get() }
            try? await channel.close()
            try await server.close()
        }
    }
}
