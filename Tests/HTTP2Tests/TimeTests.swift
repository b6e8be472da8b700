import HTTP2
import NIOCore
import NIOEmbedded
import Testing

private let echo = TestService.Method.echo.path
private let hold = TestService.Method.hold.path

@Suite struct TimeTests {
    @Test func answersWhenTheDeadlinePasses() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        _ = try connection.send(Call.unary(1, hold, [1], [("grpc-timeout", "50m")]))
        _ = try connection.send(Call.unary(3, hold, [1], [("grpc-timeout", "20m")]))
        _ = try connection.send(Call.unary(5, hold, [1], [("grpc-timeout", "1S")]))
        _ = try connection.send(Call.unary(7, hold, [1]))
        // One whose message never comes.
        _ = try connection.send(Frame.headers(9, Call.fields(hold, [("grpc-timeout", "20m")])))
        #expect(try connection.advance(.milliseconds(19)).isEmpty)
        let first = try connection.advance(.milliseconds(1))
        for stream: UInt32 in [3, 9] {
            let answer = Answer(first, stream: stream)
            #expect(answer.grpc == "4")
            #expect(answer.text == "context deadline exceeded")
        }
        #expect(Answer(first, stream: 9).reset == 0)
        #expect(connection.service.cancelled == [3])
        #expect(Answer(try connection.advance(.milliseconds(40)), stream: 1).grpc == "4")
        #expect(connection.service.cancelled == [3, 1])
        connection.service.release()
        connection.loop.run()
        let rest = try connection.received()
        #expect(Answer(rest, stream: 5).grpc == "0")
        #expect(Answer(rest, stream: 7).grpc == "0")
        #expect(Set(rest.map(\.stream)) == [5, 7])
        #expect(try connection.advance(.seconds(5)).isEmpty)
    }

    @Test func passesDeadlinesOn() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        _ = try connection.advance(.seconds(3))
        _ = try connection.send(Call.unary(1, echo, [1], [("grpc-timeout", "5S")]) + Call.unary(3, echo, [1]))
        #expect(connection.service.received.map(\.deadline) == [.uptimeNanoseconds(8_000_000_000), nil])
    }

    @Test func answersPings() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        let frames = try connection.send(Frame.ping([8, 7, 6, 5, 4, 3, 2, 1]))
        let answer = try #require(frames.first { $0.type == 6 })
        #expect(answer.flags == 1)
        #expect(answer.payload == [8, 7, 6, 5, 4, 3, 2, 1])
    }

    @Test func forgivesPingsBesideAnswers() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        for index in 0..<50 {
            let frames = try connection.send(Call.unary(UInt32(2 * index + 1), echo, [1]) + Frame.ping())
            #expect(frames.goAway == nil)
        }
        #expect(connection.isOpen)
    }

    /// A client that measures the bandwidth pings once for each round trip of a long answer.
    @Test(arguments: [TestService.Method.size, .stream]) func forgivesPingsWhileAnAnswerIsSent(
        method: TestService.Method
    ) throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        let request: [UInt8] = method == .size ? size(1_000_000) : [100, 0, 0x27, 0x10]
        _ = try connection.send(Call.unary(1, method.path, request))
        for _ in 0..<10 {
            let more = Frame.windowUpdate(0, 20_000) + Frame.windowUpdate(1, 20_000)
            let frames = try connection.send(more)
            #expect(Answer(frames).body.count == 20_000)
            #expect(try connection.send(Frame.ping()).goAway == nil)
        }
        #expect(connection.isOpen)
        // Nothing has been sent since the last one.
        for _ in 0..<2 { #expect(try connection.send(Frame.ping()).goAway == nil) }
        #expect(try connection.send(Frame.ping()).goAway != nil)
    }

    @Test func pingsSilentClient() throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello)
        #expect(try connection.advance(.minutes(119)).isEmpty)
        let ping = try #require(try connection.advance(.minutes(1)).first)
        #expect(ping.type == 6)
        _ = try connection.send(Frame.ping(ping.payload, ack: true))
        #expect(try connection.advance(.minutes(119)).isEmpty)
        #expect(connection.isOpen)
        #expect(try connection.advance(.minutes(1)).first?.type == 6)
        _ = try connection.advance(.seconds(19))
        #expect(connection.isOpen)
        _ = try connection.advance(.seconds(1))
        #expect(!connection.isOpen)
        #expect(connection.service.closed == 1)
    }
}
