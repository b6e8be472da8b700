import EtcdProto
import HTTP2
import Logging
import NIOCore
import NIOPosix
import PlatformLinux
import TLS
import TestSupport

/// A connection to a server under test, for unary calls as `async` functions. Usable from any number of tasks at once.
struct UnaryClient: Sendable {
    private let connection: GRPCClientConnection

    static func connect(to server: ServerProcess) async throws -> UnaryClient {
        try await connect(to: server.options)
    }

    /// Connects to the server that the options describe, from within its network if it has one.
    static func connect(to options: ServerProcess.Options) async throws -> UnaryClient {
        try await connect(
            host: options.host, port: options.clientPort, security: options.security, network: options.network)
    }

    /// - Parameters:
    ///   - security: nil for a port without TLS.
    ///   - network: where `host` is, if not on this machine's own loopback.
    static func connect(
        host: String = "127.0.0.1", port: Int, security: TestSecurity?, network: TestNetwork? = nil
    ) async throws -> UnaryClient {
        var configuration = ClientConfiguration()
        if let security {
            var settings = TLSSettings()
            settings.certificateFile = security.client.certificate
            settings.keyFile = security.client.key
            settings.trustedCAFile = security.authority
            let tls = try ClientTLS(
                settings, offering: ["h2"], disk: LinuxDisk(),
                logger: Logger(label: "client") { _ in SwiftLogNoOpLogHandler() })
            configuration.secure = { try tls.install(on: $0, host: host) }
        }
        let loop: any EventLoop
        if let network {
            loop = try await NetworkLoops.loop(in: network)
        } else {
            loop = MultiThreadedEventLoopGroup.singleton.any()
        }
        let settings = configuration
        // The socket is made by the thread that asks for it.
        let connection = try await loop.flatSubmit {
            GRPCClientConnection.connect(host: host, port: port, group: loop, configuration: settings)
        }.get()
        return UnaryClient(connection: connection)
    }

    /// - Parameter timeout: nil to wait for the server, whatever it takes.
    func call(
        _ path: String, _ message: [UInt8], metadata: [(name: String, value: String)] = [],
        timeout: TimeAmount? = .seconds(20)
    ) async throws -> Answer {
        do {
            return .message(
                try await connection.call(
                    path: path, message: message, metadata: metadata, deadline: timeout.map { .now() + $0 }
                ).get())
        } catch let status as GRPCStatus {
            return .failure(GRPCCode(rawValue: status.code) ?? .unknown, status.message)
        }
    }

    /// What the server answers to a client that tells it a deadline and does not give up by itself.
    /// - Parameters:
    ///   - told: the deadline as `grpc-timeout` has it, such as `3S`; nil to tell none.
    ///   - limit: when the connection is closed, which counts as UNAVAILABLE.
    /// - Returns: with the time that it took.
    func outcome(
        _ path: String, _ message: [UInt8], metadata: [(name: String, value: String)] = [], told: String?,
        limit: TimeAmount = .seconds(40)
    ) async throws -> (answer: Answer, after: Duration) {
        let end = connection.eventLoop.scheduleTask(in: limit) { _ = connection.close() }
        defer { end.cancel() }
        let start = ContinuousClock.now
        let answer = try await call(
            path, message, metadata: metadata + (told.map { [("grpc-timeout", $0)] } ?? []), timeout: nil)
        return (answer, ContinuousClock.now - start)
    }

    func call(_ request: KVRequest) async throws -> KVAnswer {
        try await KVAnswer(call(request.path, request.bytes()), to: request)
    }

    func close() async { try? await connection.close().get() }
}
