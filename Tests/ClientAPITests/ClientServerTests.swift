import Base
import ClientAPI
import EtcdProto
import HTTP2
import Member
import NIOCore
import NIOHTTP1
import NIOPosix
import Platform
import Synchronization
import Testing

/// The whole client side over real sockets, with a member that a test answers for.
@Suite struct ClientServerTests {
    /// Keeps the connections of a test together and ends them.
    private func serve(
        _ member: FakeMember, _ body: (ClientServer, any EventLoopGroup, Int) async throws -> Void
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let server = ClientServer(
            configuration: .init(), member: member, group: group, processStatistics: { ProcessStatistics() },
            logger: silent)
        let address = try await server.serveClients(at: .tcp(host: "localhost", port: 0))
        try await body(server, group, try #require(address?.port))
        await server.shutdown(drain: .milliseconds(200))
        try await group.shutdownGracefully()
    }

    private func waitForSubmissions(_ member: FakeMember, _ count: Int) async throws {
        for _ in 0..<500 where member.submissions.flatMap({ $0 }).count < count {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(member.submissions.flatMap { $0 }.count == count)
    }

    @Test func callsOverOneConnection() async throws {
        let member = FakeMember()
        try await serve(member) { _, group, port in
            let client = try await GRPCClientConnection.connect(host: "127.0.0.1", port: port, group: group).get()
            let put = client.call(path: "/etcdserverpb.KV/Put", message: keyed("a"))
            let range = client.call(path: "/etcdserverpb.KV/Range", message: keyed("a"))
            try await waitForSubmissions(member, 2)
            var answers: [(UInt64, Result<[UInt8], EtcdError>)] = []
            for request in member.submissions.flatMap({ $0 }) {
                if case .put = request.body {
                    answers.append((request.ticket, .success([1, 2, 3])))
                } else {
                    answers.append((request.ticket, .failure(.futureRevision)))
                }
            }
            member.answer(answers)
            #expect(try await put.get() == [1, 2, 3])
            await #expect(throws: GRPCStatus(code: 11, message: EtcdError.futureRevision.message)) {
                try await range.get()
            }
            for (path, message, status) in [
                ("/etcdserverpb.KV/Put", [], GRPCStatus(code: 3, message: "etcdserver: key is not provided")),
                ("/etcdserverpb.KV/Put", [0xFF], GRPCStatus(code: 13, message: EtcdError.malformedRequest.message)),
                (
                    "/etcdserverpb.KV/RangeStream", [],
                    GRPCStatus(code: 12, message: "unknown method RangeStream for service etcdserverpb.KV")
                ),
                ("/no.Such/Thing", [], GRPCStatus(code: 12, message: "unknown service no.Such")),
            ] as [(String, [UInt8], GRPCStatus)] {
                await #expect(throws: status) { try await client.call(path: path, message: message).get() }
            }
            #expect(try await client.call(path: "/grpc.health.v1.Health/Check", message: []).get() == [8, 1])
            try await client.close().get()
        }
    }

    @Test func plainHTTPOnTheSamePort() async throws {
        let member = FakeMember()
        member.state.withLock { state in
            var statistics = MemberStatistics()
            statistics.leader = MemberID(1)
            state.statistics = statistics
            state.probeAnswer = { _ in nil }
        }
        try await serve(member) { server, group, port in
            let health = try await get("/health", port: port, group)
            #expect(health.contains("HTTP/1.1 200 OK"))
            #expect(health.hasSuffix(#"{"health":"true","reason":""}"#))
            let metrics = try await get("/metrics", port: port, group)
            #expect(metrics.contains("etcd_server_has_leader 1\n"))
            // Counted on the loop of another connection.
            let client = try await GRPCClientConnection.connect(host: "127.0.0.1", port: port, group: group).get()
            _ = try await client.call(path: "/grpc.health.v1.Health/Check", message: []).get()
            let again = try await get("/metrics", port: port, group)
            #expect(
                again.contains(
                    #"grpc_server_handled_total{grpc_code="OK",grpc_method="Check","#
                        + #"grpc_service="grpc.health.v1.Health",grpc_type="unary"} 1"#))
            #expect(again.contains("etcd_server_health_success 1\n"))
            let head = try await get("/metrics", method: "HEAD", port: port, group)
            #expect(head.hasSuffix("\r\n\r\n"))

            let address = try await server.serveMetrics(at: .tcp(host: "127.0.0.1", port: 0))
            let other = try #require(address?.port)
            #expect(try await get("/metrics", port: other, group).contains("200 OK"))
            #expect(try await get("/version", port: other, group).contains("404 Not Found"))
            try await client.close().get()
        }
    }

    @Test func aPortInUse() async throws {
        let member = FakeMember()
        try await serve(member) { server, _, port in
            let words = "listen tcp 127.0.0.1:\(port): bind: address already in use"
            let address = ListenAddress.tcp(host: "localhost", port: port)
            let forClients = await #expect(throws: ListenError.self) { try await server.serveClients(at: address) }
            #expect(forClients?.description == words)
            let forMetrics = await #expect(throws: ListenError.self) { try await server.serveMetrics(at: address) }
            #expect(forMetrics?.description == words)
        }
    }

    /// Two servers on one port, as during a restart without a gap, only where both were told so.
    @Test(arguments: [true, false]) func sharesPortsWhenTold(reusesPorts: Bool) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var configuration = ClientServer.Configuration()
        configuration.reusesPorts = reusesPorts
        let servers = (0..<2).map { _ in
            ClientServer(
                configuration: configuration, member: FakeMember(), group: group,
                processStatistics: { ProcessStatistics() }, logger: silent)
        }
        let clientAddress = try await servers[0].serveClients(at: .tcp(host: "127.0.0.1", port: 0))
        let metricsAddress = try await servers[0].serveMetrics(at: .tcp(host: "127.0.0.1", port: 0))
        let (clients, metrics) = (try #require(clientAddress?.port), try #require(metricsAddress?.port))
        if reusesPorts {
            try await servers[1].serveClients(at: .tcp(host: "127.0.0.1", port: clients))
            try await servers[1].serveMetrics(at: .tcp(host: "127.0.0.1", port: metrics))
        } else {
            await #expect(throws: ListenError.self) {
                try await servers[1].serveClients(at: .tcp(host: "127.0.0.1", port: clients))
            }
            await #expect(throws: ListenError.self) {
                try await servers[1].serveMetrics(at: .tcp(host: "127.0.0.1", port: metrics))
            }
        }
        for server in servers { await server.shutdown(drain: .zero) }
        try await group.shutdownGracefully()
    }

    @Test func garbageEndsItsConnectionOnly() async throws {
        let member = FakeMember()
        try await serve(member) { _, group, port in
            for garbage in [
                "\u{16}\u{03}\u{01}garbage\r\n\r\n", "GET / HTTP/9.9\r\n\r\n",
                "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxx",
            ] {
                _ = try await exchange(garbage, port: port, group)
            }
            let client = try await GRPCClientConnection.connect(host: "127.0.0.1", port: port, group: group).get()
            #expect(try await client.call(path: "/grpc.health.v1.Health/Check", message: []).get() == [8, 1])
            try await client.close().get()
        }
    }

    private func get(
        _ path: String, method: String = "GET", port: Int, _ group: any EventLoopGroup
    ) async throws -> String {
        try await exchange(
            "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", port: port, group)
    }

    /// Sends text and collects what comes back until the server closes.
    private func exchange(_ text: String, port: Int, _ group: any EventLoopGroup) async throws -> String {
        let box = Box()
        let channel = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Collector(box))
                }
            }
            .connect(host: "127.0.0.1", port: port).get()
        try await channel.writeAndFlush(ByteBuffer(string: text))
        let timeout = channel.eventLoop.scheduleTask(in: .seconds(5)) { channel.close(promise: nil) }
        try await channel.closeFuture.get()
        timeout.cancel()
        return box.text
    }
}

private final class Box: Sendable {
    private let buffer = Mutex(ByteBuffer())
    func append(_ bytes: ByteBuffer) { buffer.withLock { _ = $0.writeImmutableBuffer(bytes) } }
    var text: String { buffer.withLock { String(buffer: $0) } }
}

private final class Collector: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let box: Box
    init(_ box: Box) { self.box = box }
    func channelRead(context: ChannelHandlerContext, data: NIOAny) { box.append(unwrapInboundIn(data)) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
