import HTTP2
import NIOCore
import NIOEmbedded
import Testing

private let echo = TestService.Method.echo.path
private let hold = TestService.Method.hold.path
private let calm: UInt32 = 11

@Suite struct AbuseTests {
    @Test func endsRapidReset() throws {
        var configuration = ServerConfiguration()
        configuration.resetBurst = 100
        configuration.resetsPerSecond = 10
        let connection = try RawConnection(configuration)
        _ = try connection.send(Frame.hello)
        var frames: [ReceivedFrame] = []
        var stream: UInt32 = 1
        while connection.isOpen && stream < 1000 {
            frames += try connection.send(Call.unary(stream, hold, [1]) + Frame.reset(stream))
            stream += 2
        }
        #expect(frames.goAway?.error == calm)
        #expect(frames.goAway?.text == "too_many_resets")
        #expect(stream == 203)
        #expect(connection.service.received.isEmpty)
    }

    /// Streams that the client makes the server reset count as well.
    @Test func endsProvokedResets() throws {
        var configuration = ServerConfiguration()
        configuration.resetBurst = 100
        let connection = try RawConnection(configuration)
        _ = try connection.send(Frame.hello)
        var frames: [ReceivedFrame] = []
        var stream: UInt32 = 1
        while connection.isOpen && stream < 1000 {
            frames += try connection.send(Frame.headers(stream, Call.fields(hold)) + Frame.windowUpdate(stream, 0))
            stream += 2
        }
        #expect(frames.goAway?.error == calm || !connection.isOpen)
        #expect(stream <= 203)
    }

    @Test(arguments: [
        ("SETTINGS", Frame.emptySettings), ("PRIORITY", Frame.priority(1)), ("empty DATA", Frame.data(1, [])),
    ]) func endsFlood(_ name: String, _ frame: [UInt8]) throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello + Frame.headers(1, Call.fields(hold)))
        var frames: [ReceivedFrame] = []
        var sent = 0
        while connection.isOpen && sent < 5000 {
            frames += try connection.send((0..<50).flatMap { _ in frame })
            sent += 50
        }
        #expect(frames.goAway?.error == calm)
        #expect(frames.goAway?.text == "too_many_idle_frames")
        #expect(sent <= 1050)
    }

    @Test func endsPingFlood() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello + Call.unary(1, hold, [1]))
        let frames = try connection.send((0..<10).flatMap { _ in Frame.ping() })
        #expect(frames.goAway?.error == calm)
        #expect(frames.goAway?.text == "too_many_pings")
        #expect(!connection.isOpen)
        #expect(connection.service.cancelled == [1])
    }

    @Test func refusesStreamsAboveTheLimit() throws {
        var configuration = ServerConfiguration()
        configuration.maxOpenStreams = 10
        let connection = try RawConnection(configuration)
        _ = try connection.send(Frame.hello)
        var frames: [ReceivedFrame] = []
        for index in 0..<12 { frames += try connection.send(Call.unary(UInt32(2 * index + 1), hold, [1])) }
        #expect(connection.service.received.count == 10)
        #expect(Answer(frames, stream: 21).reset == 7)
        #expect(Answer(frames, stream: 23).reset == 7)
        connection.service.release()
        connection.loop.run()
        #expect(Answer(try connection.received(), stream: 19).grpc == "0")
        #expect(Answer(try connection.send(Call.unary(25, echo, [1])), stream: 25).grpc == "0")
    }

    @Test func limitsUnfinishedRequests() throws {
        var configuration = ServerConfiguration()
        configuration.maxHeldRequestBytes = 10_000
        let connection = try RawConnection(configuration)
        _ = try connection.send(Frame.hello)
        var frames: [ReceivedFrame] = []
        for index in 0..<5 {
            let stream = UInt32(2 * index + 1)
            let body = Call.message([UInt8](repeating: 1, count: 3000), length: 3001)
            frames += try connection.send(Frame.headers(stream, Call.fields(echo)) + Frame.data(stream, body))
        }
        let statuses = (0..<5).map { Answer(frames, stream: UInt32(2 * $0 + 1)).grpc }
        #expect(statuses == [nil, nil, nil, "8", "8"])
        // The others are still good, and make room when they end.
        #expect(Answer(try connection.send(Frame.data(1, [1], end: true))).grpc == "0")
        let late = try connection.send(Call.unary(11, echo, [UInt8](repeating: 2, count: 3000)))
        #expect(Answer(late, stream: 11).grpc == "0")
    }

    /// A client that opens no window gets no more than the limit queued.
    @Test func limitsQueuedAnswers() throws {
        var configuration = ServerConfiguration()
        configuration.maxQueuedResponseBytes = 100_000
        let connection = try RawConnection(configuration)
        _ = try connection.send(Frame.preface + Frame.settings([(4, 0)]))
        var frames: [ReceivedFrame] = []
        for index in 0..<12 {
            frames += try connection.send(
                Call.unary(UInt32(2 * index + 1), TestService.Method.size.path, [0, 0, 0x27, 0x10]))
        }
        let statuses = (0..<12).map { Answer(frames, stream: UInt32(2 * $0 + 1)).grpc }
        #expect(statuses == Array(repeating: nil, count: 9) + ["8", "8", "8"])
        // Resets make room again.
        for index in 0..<9 { _ = try connection.send(Frame.reset(UInt32(2 * index + 1))) }
        _ = try connection.send(Frame.settings([(4, 65_535)]))
        let late = try connection.send(Call.unary(25, TestService.Method.size.path, [0, 0, 0x27, 0x10]))
        #expect(Answer(late, stream: 25).body.count == 10_005)
    }

    /// A response larger than the window goes out as the client opens it, byte for byte.
    @Test func sendsAsTheWindowAllows() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.preface + Frame.settings([(4, 3)]))
        var frames = try connection.send(Call.unary(1, TestService.Method.size.path, [0, 0, 0, 100]))
        #expect(Answer(frames).body.count == 3)
        while Answer(frames).grpc == nil && frames.count < 200 {
            let before = Answer(frames).body.count
            frames += try connection.send(Frame.windowUpdate(1, 1))
            #expect(Answer(frames).body.count <= before + 1)
        }
        #expect(Answer(frames).body == Call.message(pattern(100)))
        #expect(Answer(frames).grpc == "0")
    }

    @Test func closesConnectionsAboveTheLimit() throws {
        var configuration = ServerConfiguration()
        configuration.maxConnectionsPerLoop = 0
        let connection = try RawConnection(configuration)
        _ = try connection.send(Frame.hello)
        #expect(!connection.isOpen)
        #expect(connection.service.opened == 0)
    }
}
