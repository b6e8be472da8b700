import HTTP2
import NIOCore
import NIOPosix
import Synchronization
import Testing

@Suite struct SpreadListenerTests {
    @Test("The loop with the fewest connections takes the next one, of equals the first")
    func fewestFirst() {
        var loads = LoopLoads(loops: 3)
        var takers: [Int] = []
        for _ in 0..<5 {
            takers.append(loads.taker)
            loads.opened(on: loads.taker)
        }
        #expect(takers == [0, 1, 2, 0, 1])
        loads.closed(on: 1)
        loads.closed(on: 1)
        #expect(loads.taker == 1)
        // One that came in before its loop was told.
        loads.opened(on: 0)
        loads.opened(on: 1)
        #expect(loads.taker == 1)
        loads.opened(on: 1)
        #expect(loads.taker == 2)
    }

    /// The loops on which connections were accepted, in order.
    private final class Accepted: Sendable {
        let loops = Mutex<[ObjectIdentifier]>([])
        func note(_ channel: any Channel) { loops.withLock { $0.append(ObjectIdentifier(channel.eventLoop)) } }
    }

    private func withServer(
        loops: Int, first: Int, _ body: (GRPCServer, [any EventLoop], Int, Accepted) async throws -> Void
    ) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: loops)
        let eventLoops = Array(group.makeIterator())
        let accepted = Accepted()
        let server = GRPCServer(group: group, first: eventLoops[first]) { TestService(eventLoop: $0) }
        let channel = try await server.bind(host: "127.0.0.1", port: 0) { accepted.note($0) }.get()
        let port = try #require(channel.localAddress?.port)
        try await body(server, eventLoops, port, accepted)
        await server.shutdown(drain: .zero)
        try await group.shutdownGracefully()
    }

    @Test("A client that comes alone is served by the first loop, again and again")
    func aloneOnTheFirst() async throws {
        try await withServer(loops: 3, first: 1) { _, loops, port, accepted in
            for _ in 0..<6 {
                let client = try await GRPCClientConnection.connect(
                    host: "127.0.0.1", port: port, group: MultiThreadedEventLoopGroup.singleton
                ).get()
                #expect(try await client.call(.echo, [1, 2]).get() == [1, 2])
                try await client.close().get()
                // The server has heard of the end when its loop has.
                try await Task.sleep(for: .milliseconds(50))
            }
            #expect(accepted.loops.withLock { $0 } == Array(repeating: ObjectIdentifier(loops[1]), count: 6))
        }
    }

    @Test("Connections that stay are spread evenly, and all of them are served, however they come")
    func spread() async throws {
        try await withServer(loops: 3, first: 2) { server, loops, port, accepted in
            var clients: [GRPCClientConnection] = []
            let connections = (0..<60).map { _ in
                GRPCClientConnection.connect(
                    host: "127.0.0.1", port: port, group: MultiThreadedEventLoopGroup.singleton)
            }
            for connection in connections {
                let client = try await connection.get()
                clients.append(client)
                #expect(try await client.call(.echo, [7]).get() == [7])
            }
            let seen = accepted.loops.withLock { $0 }
            #expect(seen.count == 60)
            for loop in loops {
                // A loop may have taken some before it was told to stop.
                #expect((12...28).contains(seen.count { $0 == ObjectIdentifier(loop) }))
            }
            for client in clients { try await client.close().get() }
        }
    }

    /// Two loops that read at the same time both hear of one connection, and one finds none: NIO's debug builds end the
    /// process then.
    @Test("Connections that come and go in numbers are taken by one loop at a time")
    func comingAndGoing() async throws {
        try await withServer(loops: 4, first: 0) { _, _, port, accepted in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<16 {
                    group.addTask {
                        for _ in 0..<150 {
                            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                                .connect(host: "127.0.0.1", port: port).get()
                            try await channel.close()
                        }
                    }
                }
                try await group.waitForAll()
            }
            let client = try await GRPCClientConnection.connect(
                host: "127.0.0.1", port: port, group: MultiThreadedEventLoopGroup.singleton
            ).get()
            #expect(try await client.call(.echo, [3]).get() == [3])
            try await client.close().get()
            // All of them have been taken: the last one waited behind the others.
            #expect(accepted.loops.withLock { $0.count } == 16 * 150 + 1)
        }
    }

    @Test("When the server has been shut down nobody listens any more")
    func closes() async throws {
        try await withServer(loops: 2, first: 0) { server, _, port, _ in
            await server.shutdown(drain: .zero)
            await #expect(throws: (any Error).self) {
                try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                    .connect(host: "127.0.0.1", port: port).get()
            }
        }
    }
}
