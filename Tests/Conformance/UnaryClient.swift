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
        let group = MultiThreadedEventLoopGroup.singleton
        return try await connect(port: server.options.clientPort, security: server.options.security, group: group)
    }

    /// - Parameter security: nil for a port without TLS.
    static func connect(
        port: Int, security: TestSecurity?, group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
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
            configuration.secure = { try tls.install(on: $0, host: "127.0.0.1") }
        }
        return UnaryClient(
            connection: try await GRPCClientConnection.connect(
                host: "127.0.0.1", port: port, group: group, configuration: configuration
            ).get())
    }

    func call(
        _ path: String, _ message: [UInt8], metadata: [(name: String, value: String)] = [],
        timeout: TimeAmount = .seconds(20)
    ) async throws -> Answer {
        do {
            return .message(
                try await connection.call(
                    path: path, message: message, metadata: metadata, deadline: .now() + timeout
                ).get())
        } catch let status as GRPCStatus {
            return .failure(GRPCCode(rawValue: status.code) ?? .unknown, status.message)
        }
    }

    func call(_ request: KVRequest) async throws -> KVAnswer {
        try await KVAnswer(call(request.path, request.bytes()), to: request)
    }

    func close() async { try? await connection.close().get() }
}
