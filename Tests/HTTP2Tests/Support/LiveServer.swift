import HTTP2
import NIOCore
import NIOPosix

/// A server on a port of the system's choice, gone when the test is.
func withServer(
    _ configuration: ServerConfiguration = ServerConfiguration(),
    http1: (@Sendable (any Channel) throws -> Void)? = nil,
    _ body: (LiveServer) async throws -> Void
) async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
    let server = GRPCServer(group: group, configuration: configuration, http1: http1) { loop in
        let service = TestService(eventLoop: loop)
        service.remembersCalls = false
        return service
    }
    let channel = try await server.bind(host: "127.0.0.1", port: 0).get()
    guard let port = channel.localAddress?.port else { throw HTTP2Error.connectionClosed }
    do {
        try await body(LiveServer(group: group, server: server, port: port))
    } catch {
        await server.shutdown(drain: .zero)
        try await group.shutdownGracefully()
        throw error
    }
    await server.shutdown(drain: .zero)
    try await group.shutdownGracefully()
}

struct LiveServer {
    let group: MultiThreadedEventLoopGroup
    let server: GRPCServer
    let port: Int

    func client(_ configuration: ClientConfiguration = ClientConfiguration()) async throws -> GRPCClientConnection {
        try await .connect(host: "127.0.0.1", port: port, group: group, configuration: configuration).get()
    }
}

extension GRPCClientConnection {
    func call(
        _ method: TestService.Method, _ message: [UInt8], metadata: [(name: String, value: String)] = [],
        deadline: NIODeadline? = nil
    ) -> EventLoopFuture<[UInt8]> {
        call(path: method.path, message: message, metadata: metadata, deadline: deadline)
    }

    /// The status that the call fails with; nil when it succeeds.
    func status(_ method: TestService.Method, _ message: [UInt8], deadline: NIODeadline? = nil) async -> GRPCStatus? {
        do {
            _ = try await call(method, message, deadline: deadline).get()
            return nil
        } catch {
            return error as? GRPCStatus
        }
    }
}

/// The four bytes that make ``TestService/Method/size`` answer with `count` bytes.
func size(_ count: Int) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: count >> $0) } }
