import HTTP2
import NIOCore
import NIOEmbedded
import Testing

/// Bytes that break the rules of HTTP/2, after a good start.
struct BreachCase: Sendable, CustomTestStringConvertible {
    enum Outcome: Sendable {
        /// GOAWAY with this code, then the connection closes.
        case goAway(UInt32)
        /// The stream is reset with this code; the connection serves on.
        case reset(UInt32)
        /// Nothing happens.
        case ignored
    }

    var name: String
    var bytes: [UInt8]
    var outcome: Outcome
    var testDescription: String { name }
}

private let echo = TestService.Method.echo.path
private let hold = TestService.Method.hold.path

private let cases: [BreachCase] = [
    BreachCase(
        name: "unknown frame type", bytes: Frame.raw(type: 0x77, flags: 3, stream: 0, [1, 2]), outcome: .ignored),
    BreachCase(
        name: "frame above the maximum size", bytes: Frame.raw(type: 0, flags: 0, stream: 1, [], length: 16385),
        outcome: .goAway(6)),
    BreachCase(name: "DATA on stream 0", bytes: Frame.data(0, [1]), outcome: .goAway(1)),
    BreachCase(name: "DATA on an idle stream", bytes: Frame.data(9, [1]), outcome: .goAway(1)),
    BreachCase(name: "HEADERS on stream 0", bytes: Frame.headers(0, Call.fields(echo)), outcome: .goAway(1)),
    BreachCase(name: "HEADERS on an even stream", bytes: Frame.headers(2, Call.fields(echo)), outcome: .goAway(1)),
    BreachCase(
        name: "garbage in HPACK", bytes: Frame.raw(type: 1, flags: 5, stream: 1, [0xff, 0xff, 0xff, 0xff, 0xff]),
        outcome: .goAway(9)),
    BreachCase(
        name: "a frame inside a header block",
        bytes: Frame.headers(1, Call.fields(echo), endHeaders: false) + Frame.ping(), outcome: .goAway(1)),
    BreachCase(
        name: "CONTINUATION alone", bytes: Frame.continuation(1, [("a", "b")], endHeaders: true), outcome: .goAway(1)),
    BreachCase(name: "RST_STREAM on an idle stream", bytes: Frame.reset(7), outcome: .goAway(1)),
    BreachCase(name: "short RST_STREAM", bytes: Frame.raw(type: 3, flags: 0, stream: 1, [0]), outcome: .goAway(6)),
    BreachCase(name: "short PING", bytes: Frame.raw(type: 6, flags: 0, stream: 0, [1, 2]), outcome: .goAway(6)),
    BreachCase(name: "SETTINGS on a stream", bytes: Frame.raw(type: 4, flags: 0, stream: 1, []), outcome: .goAway(1)),
    BreachCase(name: "SETTINGS of odd size", bytes: Frame.raw(type: 4, flags: 0, stream: 0, [1]), outcome: .goAway(6)),
    BreachCase(name: "window of 2^31", bytes: Frame.settings([(4, 1 << 31)]), outcome: .goAway(3)),
    BreachCase(name: "frame size below 2^14", bytes: Frame.settings([(5, 100)]), outcome: .goAway(1)),
    BreachCase(name: "window update of 0", bytes: Frame.windowUpdate(0, 0), outcome: .goAway(1)),
    BreachCase(
        name: "connection window above 2^31 − 1", bytes: Frame.windowUpdate(0, 0x7fff_ffff), outcome: .goAway(3)),
    BreachCase(
        name: "stream window above 2^31 − 1",
        bytes: Frame.headers(1, Call.fields(hold)) + Frame.windowUpdate(1, 0x7fff_ffff), outcome: .reset(3)),
    BreachCase(
        name: "PUSH_PROMISE from a client", bytes: Frame.raw(type: 5, flags: 4, stream: 1, [0, 0, 0, 2]),
        outcome: .goAway(1)),
    BreachCase(
        name: "no path", bytes: Frame.headers(1, [(":method", "POST"), (":scheme", "http")], end: true),
        outcome: .reset(1)),
    BreachCase(
        name: "path without a slash", bytes: Frame.headers(1, Call.fields("nopath"), end: true), outcome: .reset(1)),
    BreachCase(
        name: "upper case in a name", bytes: Frame.headers(1, Call.fields(echo, [("Token", "x")]), end: true),
        outcome: .reset(1)),
    BreachCase(
        name: "connection header", bytes: Frame.headers(1, Call.fields(echo, [("connection", "close")]), end: true),
        outcome: .reset(1)),
    BreachCase(
        name: "DATA beyond content-length",
        bytes: Frame.headers(1, Call.fields(echo, [("content-length", "2")]))
            + Frame.data(1, [0, 0, 0, 0, 0], end: true),
        outcome: .reset(1)),
    BreachCase(
        name: "padding longer than the frame",
        bytes: Frame.headers(1, Call.fields(hold))
            + Frame.raw(type: 0, flags: 8, stream: 1, [200, 1, 2]), outcome: .goAway(1)),
    BreachCase(
        name: "DATA behind END_STREAM", bytes: Call.unary(1, hold, [1]) + Frame.data(1, [1, 2]), outcome: .goAway(5)),
    BreachCase(
        name: "a stream number below the last",
        bytes: Call.unary(5, hold, [1]) + Frame.headers(3, Call.fields(echo), end: true), outcome: .ignored),
    BreachCase(
        name: "trailers without END_STREAM",
        bytes: Frame.headers(1, Call.fields(hold)) + Frame.headers(1, [("a", "b")]), outcome: .reset(1)),
    BreachCase(
        name: "64 KiB of headers",
        bytes: Frame.headers(1, Call.fields(echo), endHeaders: false)
            + (0..<5).flatMap {
                Frame.continuation(1, [("h\($0)", String(repeating: "x", count: 15_000))], endHeaders: $0 == 4)
            }
            + Frame.data(1, Call.message([1]), end: true),
        outcome: .reset(2)),
    BreachCase(
        name: "CONTINUATION without end",
        bytes: Frame.headers(1, Call.fields(echo), endHeaders: false)
            + (0..<1000).flatMap { _ in Frame.continuation(1, [("a", "b")], endHeaders: false) },
        outcome: .goAway(11)),
    BreachCase(name: "GOAWAY of the client", bytes: Frame.goAway(), outcome: .ignored),
]

@Suite struct ConnectionErrorTests {
    @Test(arguments: cases) func endsWhatIsBroken(_ test: BreachCase) throws {
        let connection = try RawConnection()
        _ = try connection.send(Frame.hello + Frame.settingsAck)
        let frames = try connection.send(test.bytes)
        switch test.outcome {
        case .goAway(let code):
            // nghttp2 drops a peer that floods without a word.
            if let goAway = frames.goAway { #expect(goAway.error == code) } else { #expect(code == 11) }
            #expect(!connection.isOpen)
            #expect(connection.service.closed == 1)
        case .reset(let code):
            let stream = Answer(frames)
            #expect(stream.reset == code)
            let next = Answer(try connection.send(Call.unary(31, echo, [9])), stream: 31)
            #expect(next.grpc == "0")
        case .ignored:
            #expect(frames.goAway == nil)
            if test.name != "GOAWAY of the client" {
                let next = Answer(try connection.send(Call.unary(31, echo, [9])), stream: 31)
                #expect(next.grpc == "0")
            }
        }
    }

    @Test func refusesPrefaceThatTurnsBad() throws {
        let connection = try RawConnection()
        _ = try connection.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\rX".utf8))
        #expect(!connection.isOpen)
        #expect(connection.service.opened == 0)
    }

    @Test func closesSilentConnection() throws {
        let connection = try RawConnection()
        _ = try connection.send(Array("PRI ".utf8))
        _ = try connection.advance(.seconds(119))
        #expect(connection.isOpen)
        _ = try connection.advance(.seconds(1))
        #expect(!connection.isOpen)
    }
}
