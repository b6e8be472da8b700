// One side of TLS handshakes, for `Benchmarks/HandshakeBenchmark/run`, which starts both and reads from the system what
// the server has used:
//
//     HandshakeBenchmark serve CERTIFICATE KEY [AUTHORITIES|system]    prints its port; verifies clients with the last
//     HandshakeBenchmark load PORT CERTIFICATE KEY AUTHORITIES COUNT   prints how long COUNT connections have taken
//     HandshakeBenchmark hold PORT CERTIFICATE KEY AUTHORITIES COUNT   opens COUNT, says so, waits for a line

import Glibc
import Logging
import NIOCore
import NIOPosix
import PlatformLinux
import TLS

struct Usage: Error, CustomStringConvertible {
    var description: String { "wrong arguments; Benchmarks/HandshakeBenchmark/run starts this program" }
}

/// Sends back what comes in.
final class Echo: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { context.writeAndFlush(data, promise: nil) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

/// Tells when the first bytes have come, or that there will be none.
final class FirstAnswer: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let promise: EventLoopPromise<Bool>

    init(_ promise: EventLoopPromise<Bool>) { self.promise = promise }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { promise.succeed(true) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    func channelInactive(context: ChannelHandlerContext) { promise.succeed(false) }
}

let silent = Logger(label: "benchmark") { _ in SwiftLogNoOpLogHandler() }
let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)

/// What is left of the command line.
struct Words {
    var rest = CommandLine.arguments.dropFirst()

    mutating func next() throws -> String {
        guard let word = rest.popFirst() else { throw Usage() }
        return word
    }

    mutating func number() throws -> Int {
        guard let number = Int(try next()) else { throw Usage() }
        return number
    }

    mutating func pair() throws -> TLSSettings {
        var settings = TLSSettings()
        settings.certificateFile = try next()
        settings.keyFile = try next()
        return settings
    }
}

func say(_ words: Any...) {
    print(words.map { "\($0)" }.joined(separator: " "))
    fflush(nil)
}

func serve(_ words: Words) async throws {
    var words = words
    var settings = try words.pair()
    if let authorities = words.rest.first {
        settings.demandsClientCertificates = true
        settings.trustedCAFile = authorities == "system" ? "" : authorities
    }
    let tls = try ServerTLS(
        settings, offering: [], disk: LinuxDisk(), names: LinuxHostNames(), logger: silent)
    let channel = try await ServerBootstrap(group: group)
        .serverChannelOption(.backlog, value: 128)
        .childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture {
                try tls.install(on: channel)
                try channel.pipeline.syncOperations.addHandler(Echo())
            }
        }
        .bind(host: "127.0.0.1", port: 0).get()
    say(channel.localAddress?.port ?? 0)
    try await channel.closeFuture.get()
}

/// Connections, some at a time; those that stay open if `keeps`.
func connect(_ words: Words, keeps: Bool) async throws -> (channels: [any Channel], answered: Int, seconds: Double) {
    var words = words
    let port = try words.number()
    var settings = try words.pair()
    settings.trustedCAFile = try words.next()
    let tls = try ClientTLS(settings, disk: LinuxDisk(), logger: silent)
    let count = try words.number()
    let clock = ContinuousClock()
    let start = clock.now
    var channels: [any Channel] = []
    var answered = 0
    try await withThrowingTaskGroup(of: (any Channel, Bool).self) { tasks in
        func open() {
            tasks.addTask {
                let promise = group.next().makePromise(of: Bool.self)
                let channel = try await ClientBootstrap(group: group)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try tls.install(on: channel, host: "127.0.0.1")
                            try channel.pipeline.syncOperations.addHandler(FirstAnswer(promise))
                        }
                    }
                    .connect(host: "127.0.0.1", port: port).get()
                channel.writeAndFlush(ByteBuffer(string: "x"), promise: nil)
                let result = try await promise.futureResult.get()
                if !keeps { try? await channel.close() }
                return (channel, result)
            }
        }
        for _ in 0..<min(count, 8) { open() }
        var opened = min(count, 8)
        while let (channel, result) = try await tasks.next() {
            if result { answered += 1 }
            if keeps { channels.append(channel) }
            if opened < count {
                open()
                opened += 1
            }
        }
    }
    let took = clock.now - start
    return (channels, answered, Double(took.components.seconds) + Double(took.components.attoseconds) / 1e18)
}

var words = Words()
switch try words.next() {
case "serve": try await serve(words)
case "load":
    let result = try await connect(words, keeps: false)
    say(result.answered, result.seconds)
case "hold":
    let result = try await connect(words, keeps: true)
    say(result.answered)
    _ = readLine()
default: throw Usage()
}
