import HTTP2
import NIOCore
import NIOPosix
import Testing

/// Our client against our server, over sockets.
@Suite struct ClientTests {
    @Test func calls() async throws {
        try await withServer { live in
            let client = try await live.client()
            #expect(try await client.call(.echo, [1, 2, 3]).get() == [1, 2, 3])
            #expect(try await client.call(.echo, []).get() == [])
            let failure = await client.status(.fail, [])
            #expect(failure == GRPCStatus(code: 5, message: "no key «ü» 100%\n"))
            await #expect(throws: GRPCStatus(code: 12, message: "unknown service a.B")) {
                try await client.call(path: "/a.B/C", message: []).get()
            }
            try await client.close().get()
            #expect(await client.status(.echo, [1])?.code == GRPCStatus.unavailable)
        }
    }

    @Test func callsOverUnixSocket() async throws {
        try await withServer { live in
            let path = "/tmp/martlet-http2-\(live.port).sock"
            _ = try await live.server.bind(unixPath: path).get()
            let client = try await GRPCClientConnection.connect(unixPath: path, group: live.group).get()
            #expect(try await client.call(.echo, [4]).get() == [4])
            try await client.close().get()
        }
    }

    @Test func failsToConnect() async throws {
        try await withServer { live in
            await live.server.shutdown(drain: .zero)
            await #expect(throws: (any Error).self) { try await live.client() }
        }
    }

    /// Larger than every window, both ways.
    @Test(arguments: [16_379, 65_535, 1_048_576, 2_097_152]) func movesLargeMessages(_ count: Int) async throws {
        try await withServer { live in
            let client = try await live.client()
            let message = pattern(count)
            let echoes = (0..<4).map { _ in client.call(.echo, message) }
            for echo in echoes { #expect(try await echo.get() == message) }
            let large = try await client.call(.size, size(3 * count)).get()
            #expect(large == pattern(3 * count))
            try await client.close().get()
        }
    }

    @Test func refusesLargeMessages() async throws {
        var small = ClientConfiguration()
        small.maxMessageBytes = 1000
        let configuration = small
        try await withServer { live in
            let client = try await live.client(configuration)
            #expect(try await client.call(.size, size(1000)).get().count == 1000)
            #expect(
                await client.status(.size, size(1001))
                    == GRPCStatus(code: 8, message: "grpc: received message larger than max (1001 vs. 1000)"))
            #expect(
                await client.status(.echo, [UInt8](repeating: 1, count: 2_097_153))
                    == GRPCStatus(code: 8, message: "grpc: received message larger than max (2097153 vs. 2097152)"))
            #expect(try await client.call(.echo, [1]).get() == [1])
            try await client.close().get()
        }
    }

    @Test func keepsThousandStreamsOpen() async throws {
        try await withServer { live in
            let client = try await live.client()
            let calls = (0..<1000).map { client.call(.later, [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)]) }
            for (index, call) in calls.enumerated() {
                #expect(try await call.get() == [UInt8(truncatingIfNeeded: index), UInt8(index >> 8)])
            }
            try await client.close().get()
        }
    }

    /// A server that takes few streams at a time: the rest waits its turn.
    @Test func waitsForStreams() async throws {
        var narrow = ServerConfiguration()
        narrow.maxConcurrentStreams = 3
        try await withServer(narrow) { live in
            let client = try await live.client()
            _ = try await client.call(.echo, []).get()
            let calls = (0..<200).map { client.call(.echo, [UInt8($0)]) }
            for (index, call) in calls.enumerated() { #expect(try await call.get() == [UInt8(index)]) }
            try await client.close().get()
        }
    }

    @Test func givesUpAtTheDeadline() async throws {
        try await withServer { live in
            let client = try await live.client()
            let passed = GRPCStatus(code: 4, message: "context deadline exceeded")
            #expect(await client.status(.hold, [1], deadline: .now() + .milliseconds(30)) == passed)
            #expect(await client.status(.echo, [1], deadline: .now() - .milliseconds(1)) == passed)
            #expect(await client.status(.echo, [1], deadline: .now() + .seconds(10)) == nil)
            try await client.close().get()
        }
    }

    @Test func failsOpenCallsWhenClosed() async throws {
        try await withServer { live in
            let client = try await live.client()
            let calls = (0..<10).map { _ in client.call(.hold, [1]) }
            _ = try await client.call(.echo, []).get()
            try await client.close().get()
            for call in calls {
                await #expect(throws: GRPCStatus(code: 14, message: "transport is closing")) { try await call.get() }
            }
        }
    }

    @Test func refusesCallsAboveTheLimit() async throws {
        var narrow = ClientConfiguration()
        narrow.maxOpenCalls = 2
        let configuration = narrow
        try await withServer { live in
            let client = try await live.client(configuration)
            let calls = (0..<2).map { _ in client.call(.later, [1]) }
            #expect(await client.status(.echo, [1])?.code == GRPCStatus.resourceExhausted)
            for call in calls { #expect(try await call.get() == [1]) }
            #expect(await client.status(.echo, [1]) == nil)
            try await client.close().get()
        }
    }

    /// A client that pings too often for the server is sent away; one that keeps to the rule is not.
    @Test func keepsAlive() async throws {
        var strict = ServerConfiguration()
        strict.keepaliveMinTime = .milliseconds(10)
        try await withServer(strict) { live in
            for (interval, survives) in [(TimeAmount.milliseconds(20), true), (.milliseconds(2), false)] {
                var configuration = ClientConfiguration()
                configuration.keepaliveInterval = interval
                let client = try await live.client(configuration)
                let status = await client.status(.hold, [1], deadline: .now() + .milliseconds(300))
                #expect(status?.code == (survives ? GRPCStatus.deadlineExceeded : GRPCStatus.unavailable))
                try await client.close().get()
            }
        }
    }
}
