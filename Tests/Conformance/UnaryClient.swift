import EtcdProto
import HTTP2
import NIOCore
import NIOPosix
import TestSupport

/// A connection to a server under test, for unary calls as `async` functions. Usable from any number of tasks at once.
struct UnaryClient: Sendable {
    private let connection: GRPCClientConnection

    static func connect(to server: ServerProcess) async throws -> UnaryClient {
        try await connect(to: server.options)
    }

    /// Connects to the server that the options describe, from within its network if it has one.
    static func connect(to options: ServerProcess.Options) async throws -> UnaryClient {
        let loop: any EventLoop
        if let network = options.network {
            loop = try await NetworkLoops.loop(in: network)
        } else {
            loop = MultiThreadedEventLoopGroup.singleton.any()
        }
        // The socket is made by the thread that asks for it.
        let connection = try await loop.flatSubmit {
            GRPCClientConnection.connect(host: options.host, port: options.clientPort, group: loop)
        }.get()
        return UnaryClient(connection: connection)
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
