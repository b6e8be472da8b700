import HTTP2
import NIOCore
import NIOEmbedded
import Testing

private let stream = TestService.Method.stream.path

/// Answers of many messages.
@Suite struct StreamingTests {
    /// The request for `count` messages of `size` bytes; see ``TestService/Method/stream``.
    private func request(_ count: UInt8, size: Int, end: UInt8 = 0) -> [UInt8] {
        [count, end] + [16, 8, 0].map { UInt8(truncatingIfNeeded: size >> $0) }
    }

    private func body(_ count: Int, size: Int) -> [UInt8] {
        (0..<count).flatMap { _ in Call.message(pattern(size)) }
    }

    @Test(arguments: [(0, 0), (1, 10), (5, 0), (7, 1000), (40, 16_384)])
    func sendsAllMessagesAndEnds(count: UInt8, size: Int) throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello + Frame.windowUpdate(0, 1 << 24))
        _ = try connection.send(Frame.settings([(4, 1 << 24)]))
        let frames = try connection.send(Call.unary(1, stream, request(count, size: size)))
        let answer = Answer(frames)
        #expect(answer.body == body(Int(count), size: size))
        #expect(answer.http == "200")
        #expect(answer.grpc == "0")
        #expect(frames.last { $0.stream == 1 }?.endsStream == true)
        #expect(connection.service.cancelled.isEmpty)
    }

    /// The client's windows hold the service back: it is asked for more only when what it gave has been sent.
    @Test func followsTheWindow() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        let size = 10_000
        var answer = try connection.send(Call.unary(1, stream, request(50, size: size)))
        #expect(Answer(answer).body.count == 65_535)
        #expect(connection.service.streamed == 7)
        let more = Frame.windowUpdate(0, 20_000) + Frame.windowUpdate(1, 20_000)
        answer += try connection.send(more)
        #expect(Answer(answer).body.count == 85_535)
        #expect(connection.service.streamed == 9)
        for _ in 0..<25 { answer += try connection.send(more) }
        #expect(Answer(answer).body == body(50, size: size))
        #expect(Answer(answer).grpc == "0")
    }

    /// Two streams of one connection: one that is not read holds up only itself.
    @Test func streamsDoNotWaitForEachOther() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello + Frame.windowUpdate(0, 1 << 24))
        let slow = try connection.send(Call.unary(1, stream, request(20, size: 10_000)))
        #expect(Answer(slow, stream: 1).body.count == 65_535)
        let quick = try connection.send(Call.unary(3, stream, request(5, size: 1_000)))
        #expect(Answer(quick, stream: 3).body == body(5, size: 1_000))
        #expect(Answer(quick, stream: 3).grpc == "0")
    }

    @Test func failsBehindMessages() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        let frames = try connection.send(Call.unary(1, stream, request(3, size: 5, end: 1)))
        let answer = Answer(frames)
        #expect(answer.body == body(3, size: 5))
        #expect(answer.http == "200")
        #expect(answer.grpc == "11")
        #expect(answer.text == "half way")
        #expect(frames.filter { $0.fields[":status"] != nil }.count == 1)
    }

    @Test func deadlineCutsItOff() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        let first = try connection.send(
            Call.unary(1, stream, request(2, size: 5, end: 2), [("grpc-timeout", "50m")]))
        #expect(Answer(first).body == body(2, size: 5))
        #expect(Answer(first).grpc == nil)
        let rest = try connection.advance(.milliseconds(50))
        #expect(Answer(rest).grpc == "4")
        #expect(connection.service.cancelled == [1])
    }

    /// A message that has begun is finished before the status, so that the client can tell one from the other.
    @Test func deadlineWhileTheWindowIsClosed() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        var frames = try connection.send(Call.unary(1, stream, request(20, size: 50_000), [("grpc-timeout", "50m")]))
        frames += try connection.advance(.milliseconds(50))
        #expect(Answer(frames).grpc == nil)
        frames += try connection.send(Frame.windowUpdate(0, 1 << 20) + Frame.windowUpdate(1, 1 << 20))
        #expect(Answer(frames).body == body(2, size: 50_000))
        #expect(Answer(frames).grpc == "4")
        #expect(connection.service.cancelled == [1])
    }

    @Test func clientResetsIt() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        _ = try connection.send(Call.unary(1, stream, request(20, size: 50_000)))
        let given = connection.service.streamed
        _ = try connection.send(Frame.reset(1))
        #expect(connection.service.cancelled == [1])
        _ = try connection.send(Frame.windowUpdate(0, 1 << 20))
        #expect(connection.service.streamed == given)
    }

    @Test func connectionIsLost() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        _ = try connection.send(Call.unary(1, stream, request(20, size: 50_000)))
        try connection.channel.close().wait()
        connection.loop.run()
        #expect(connection.service.cancelled == [1])
        #expect(connection.service.closed == 1)
    }
}
