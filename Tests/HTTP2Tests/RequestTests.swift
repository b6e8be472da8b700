import HTTP2
import NIOCore
import NIOEmbedded
import Testing

/// One request as bytes, and what must come of it.
struct RequestCase: Sendable, CustomTestStringConvertible {
    var name: String
    var path = TestService.Method.echo.path
    var fields: [(String, String)] = []
    /// The payload of one DATA frame that ends the stream; nil: END_STREAM is on the headers.
    var body: [UInt8]? = Call.message([1, 2, 3])
    var http = "200"
    var grpc = "0"
    var text: String?
    var testDescription: String { name }
}

private let limit = 1000

private let cases: [RequestCase] = [
    RequestCase(name: "echo"),
    RequestCase(name: "empty message", body: Call.message([])),
    RequestCase(name: "message at the limit", body: Call.message([UInt8](repeating: 1, count: limit))),
    RequestCase(
        name: "message above the limit", body: Call.message([UInt8](repeating: 1, count: limit + 1)), grpc: "8",
        text: "grpc: received message larger than max (1001 vs. 1000)"),
    RequestCase(
        name: "announced length of 4 GiB", body: Call.message([1], length: .max), grpc: "8",
        text: "grpc: received message larger than max (4294967295 vs. 1000)"),
    RequestCase(name: "no message", body: [], grpc: "2", text: "EOF"),
    RequestCase(name: "no body", body: nil, grpc: "2", text: "EOF"),
    RequestCase(name: "part of a prefix", body: [0, 0, 0], grpc: "2", text: "unexpected EOF"),
    RequestCase(name: "part of a message", body: Call.message([1], length: 3), grpc: "2", text: "unexpected EOF"),
    RequestCase(
        name: "two messages", body: Call.message([1]) + Call.message([2]), grpc: "13",
        text: "cardinality violation: received multiple request messages for a unary call"),
    RequestCase(
        name: "compressed without an encoding", body: Call.message([1], compressed: 1), grpc: "13",
        text: "grpc: compressed flag set with identity or empty encoding"),
    RequestCase(
        name: "payload format 2", body: Call.message([1], compressed: 2), grpc: "13",
        text: "grpc: received unexpected payload format 2"),
    RequestCase(
        name: "unknown encoding", fields: [("grpc-encoding", "snappy")], grpc: "12",
        text: #"grpc: Decompressor is not installed for grpc-encoding "snappy""#),
    RequestCase(name: "identity", fields: [("grpc-encoding", "identity")]),
    RequestCase(name: "gzip announced, not used", fields: [("grpc-encoding", "gzip")]),
    RequestCase(
        name: "gzip that is none", fields: [("grpc-encoding", "gzip")], body: Call.message([1, 2, 3], compressed: 1),
        grpc: "13", text: "grpc: failed to decompress the received message: gzip: invalid header"),
    RequestCase(
        name: "no content type", fields: [("content-type", "")], http: "415", grpc: "3",
        text: #"invalid gRPC request content-type """#),
    RequestCase(
        name: "wrong content type", fields: [("content-type", "application/json")], http: "415", grpc: "3",
        text: #"invalid gRPC request content-type "application/json""#),
    RequestCase(
        name: "content type with more letters", fields: [("content-type", "application/grpcx")], http: "415", grpc: "3",
        text: #"invalid gRPC request content-type "application/grpcx""#),
    RequestCase(name: "content type +proto", fields: [("content-type", "application/grpc+proto")]),
    RequestCase(name: "content type with parameter", fields: [("content-type", "Application/GRPC;x=y")]),
    RequestCase(name: "no te", fields: [("te", "")]),
    RequestCase(
        name: "GET", fields: [(":method", "GET")], http: "405", grpc: "13",
        text: #"Received a HEADERS frame with :method "GET" which should be POST"#),
    RequestCase(
        name: "no method in the path", path: "/foo", grpc: "12", text: #"malformed method name: "/foo""#),
    RequestCase(name: "root", path: "/", grpc: "12", text: #"malformed method name: "/""#),
    RequestCase(name: "unknown service", path: "/a/b/c", grpc: "12", text: "unknown service a/b"),
    RequestCase(
        name: "unknown method", path: "/test.Service/Nope", grpc: "12",
        text: "unknown method Nope for service test.Service"),
    RequestCase(
        name: "timeout without a number", fields: [("grpc-timeout", "S")], http: "400", grpc: "13",
        text: #"malformed grpc-timeout: transport: timeout string is too short: "S""#),
    RequestCase(
        name: "timeout with nine digits", fields: [("grpc-timeout", "123456789S")], http: "400", grpc: "13",
        text: #"malformed grpc-timeout: transport: timeout string is too long: "123456789S""#),
    RequestCase(
        name: "timeout with an unknown unit", fields: [("grpc-timeout", "5x")], http: "400", grpc: "13",
        text: #"malformed grpc-timeout: transport: timeout unit is not recognized: "5x""#),
    RequestCase(
        name: "negative timeout", fields: [("grpc-timeout", "-5S")], http: "400", grpc: "13",
        text: #"malformed grpc-timeout: strconv.ParseUint: parsing "-5": invalid syntax"#),
    RequestCase(name: "longest timeout", fields: [("grpc-timeout", "99999999H")]),
    RequestCase(
        name: "timeout of nothing", fields: [("grpc-timeout", "0n")], grpc: "4", text: "context deadline exceeded"),
    RequestCase(
        name: "error of the service", path: TestService.Method.fail.path, grpc: "5",
        text: "no key %C2%AB%C3%BC%C2%BB 100%25%0A"),
]

@Suite struct RequestTests {
    @Test(arguments: cases) func answers(_ test: RequestCase) throws {
        var configuration = ServerConfiguration()
        configuration.maxMessageBytes = limit
        let connection = try RawConnection(configuration)
        _ = try connection.send(Frame.hello)
        var bytes = Frame.headers(1, Call.fields(test.path, test.fields), end: test.body == nil)
        if let body = test.body { bytes += Frame.data(1, body, end: true) }
        let answer = Answer(try connection.send(bytes))
        #expect(answer.http == test.http)
        #expect(answer.grpc == test.grpc)
        #expect(answer.text == test.text)
        #expect(answer.body == (test.grpc == "0" ? test.body : []))
        #expect(connection.isOpen)
        // The connection serves on.
        let next = Answer(try connection.send(Call.unary(3, TestService.Method.echo.path, [9])), stream: 3)
        #expect(next.grpc == "0")
    }

    /// The same requests, cut into reads of one byte.
    @Test(arguments: cases) func answersPiecemeal(_ test: RequestCase) throws {
        var configuration = ServerConfiguration()
        configuration.maxMessageBytes = limit
        let connection = try RawConnection(configuration)
        var bytes = Frame.hello + Frame.headers(1, Call.fields(test.path, test.fields), end: test.body == nil)
        if let body = test.body {
            for byte in body { bytes += Frame.data(1, [byte]) }
            bytes += Frame.data(1, [], end: true)
        }
        var frames: [ReceivedFrame] = []
        for byte in bytes { frames += try connection.send([byte]) }
        let answer = Answer(frames)
        #expect(answer.http == test.http)
        #expect(answer.grpc == test.grpc)
        #expect(answer.text == test.text)
        #expect(answer.body == (test.grpc == "0" ? test.body : []))
        #expect(connection.isOpen)
    }

    /// An error that is known before the request has ended: the client is told to stop sending.
    @Test func resetsRequestThatIsRefusedEarly() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        let frames = try connection.send(Frame.headers(1, Call.fields("/nobody/Nothing")))
        let answer = Answer(frames)
        #expect(answer.grpc == "12")
        #expect(answer.reset == 0)
        // What was under way is dropped without harm.
        let late = try connection.send(Frame.data(1, Call.message([1]), end: true))
        #expect(late.allSatisfy { $0.type == 3 })
        #expect(connection.isOpen)
    }

    @Test func handsOverOneBatchForEachRead() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        let bytes = (0..<10).flatMap { Call.unary(UInt32(2 * $0 + 1), TestService.Method.echo.path, [UInt8($0)]) }
        let frames = try connection.send(bytes)
        #expect(connection.service.batches == [10])
        #expect(connection.service.resolutions == 1)
        for index in 0..<10 {
            let answer = Answer(frames, stream: UInt32(2 * index + 1))
            #expect(answer.body == Call.message([UInt8(index)]))
            #expect(answer.grpc == "0")
        }
    }

    @Test func passesMetadata() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        let path = TestService.Method.echo.path
        let fields = [
            ("token", "abc"), ("authorization", "Bearer x"), ("hasleader", "true"), ("client-api-version", "3.6"),
            ("grpcgateway-accept", "*/*"), ("martlet-max-staleness-ms", "50"), ("user-agent", "test"),
        ]
        _ = try connection.send(Call.unary(1, path, [1], fields) + Call.unary(3, path, [2], fields))
        _ = try connection.send(Call.unary(5, path, [3]) + Call.unary(7, path, [4], [("hasleader", "false")]))
        let calls = connection.service.received
        try #require(calls.count == 4)
        let metadata = try #require(calls[0].metadata)
        #expect(metadata.token == "abc")
        #expect(metadata.authorization == "Bearer x")
        #expect(metadata.requiresLeader)
        #expect(metadata.clientAPIVersion == Array("3.6".utf8))
        #expect(metadata.throughGateway)
        #expect(metadata.maxStaleness == Array("50".utf8))
        #expect(calls[1].metadata === metadata)
        #expect(calls[2].metadata == nil)
        #expect(calls[3].metadata?.requiresLeader == false)
    }

    @Test func reportsResetOnce() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        _ = try connection.send(Call.unary(1, TestService.Method.hold.path, [1]))
        #expect(connection.service.held.count == 1)
        _ = try connection.send(Frame.reset(1))
        #expect(connection.service.cancelled == [1])
        // A late answer goes nowhere.
        connection.service.release()
        connection.loop.run()
        #expect(try connection.received().isEmpty)
        #expect(connection.isOpen)
    }

    /// Request and reset in one read: the service hears of neither.
    @Test func withdrawsResetRequest() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        let bytes =
            Call.unary(1, TestService.Method.hold.path, [1]) + Frame.reset(1)
            + Call.unary(3, TestService.Method.echo.path, [2])
        let frames = try connection.send(bytes)
        #expect(connection.service.received.map(\.stream) == [3])
        #expect(connection.service.cancelled.isEmpty)
        #expect(Answer(frames, stream: 3).grpc == "0")
    }

    @Test func reportsLostConnection() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        for stream: UInt32 in [1, 3, 5] {
            _ = try connection.send(Call.unary(stream, TestService.Method.hold.path, [1]))
        }
        connection.channel.pipeline.fireChannelInactive()
        #expect(connection.service.cancelled == [1, 3, 5])
        #expect(connection.service.closed == 1)
        connection.service.release()
        connection.loop.run()
    }

    /// Answers from outside a read: one write, however often the service flushes.
    @Test func writesOnceForEachTurn() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        for stream: UInt32 in [1, 3, 5] {
            _ = try connection.send(Call.unary(stream, TestService.Method.hold.path, [1]))
        }
        connection.service.release()
        connection.loop.run()
        var writes = 0
        while try connection.channel.readOutbound(as: IOData.self) != nil { writes += 1 }
        #expect(writes == 1)
    }

    @Test func decompresses() throws {
        var configuration = ServerConfiguration()
        configuration.maxMessageBytes = 10_000
        let connection = try RawConnection(configuration)
        _ = try connection.send(Frame.hello)
        for (stream, size, code) in [(UInt32(1), 0, "0"), (3, 10_000, "0"), (5, 10_001, "8"), (7, 5_000_000, "8")] {
            let packed = Gzip.compress([UInt8](repeating: 0x61, count: size))
            try #require(packed.count < 10_000)
            let bytes =
                Frame.headers(stream, Call.fields(TestService.Method.echo.path, [("grpc-encoding", "gzip")]))
                + Frame.data(stream, Call.message(packed, compressed: 1), end: true)
            let answer = Answer(try connection.send(bytes), stream: stream)
            #expect(answer.grpc == code)
            if code == "0" { #expect(answer.body == Call.message([UInt8](repeating: 0x61, count: size))) }
            if code == "8" {
                #expect(answer.text == "grpc: received message larger than max (\(size) vs. 10000)")
            }
        }
    }
}
