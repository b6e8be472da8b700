import HTTP2
import NIOCore

/// Answers at once, later or never, and remembers what it was told.
final class TestService: GRPCService {
    enum Method: Int, CaseIterable {
        /// Answers with the request.
        case echo
        /// Answers when the test says so.
        case hold
        /// Answers with an error that needs escapes.
        case fail
        /// Answers with as many bytes as the request's four say.
        case size
        /// Answers with the request after 100 ms.
        case later
        /// Answers with many messages, each given when those before have been sent: the request's first byte says how
        /// many, its second how they end (0 well, 1 with an error, 2 never), the rest how large each is.
        case stream

        var path: String { "/test.Service/\(self)" }
    }

    private(set) var opened = 0
    private(set) var closed = 0
    private(set) var received: [UnaryCall] = []
    private(set) var batches: [Int] = []
    private(set) var cancelled: [StreamID] = []
    /// Messages given to streamed answers so far.
    private(set) var streamed = 0
    private var streams: [Key: Streaming] = [:]

    private struct Key: Hashable {
        var connection: UInt32
        var stream: StreamID
    }

    private struct Streaming {
        var given = 0
        var count: Int
        var end: UInt8
        var size: Int
    }
    private(set) var resolutions = 0
    private(set) var held: [(stream: StreamID, connection: ServerConnection)] = []
    var remembersCalls = true
    private let eventLoop: (any EventLoop)?

    init(eventLoop: (any EventLoop)? = nil) { self.eventLoop = eventLoop }

    func resolve(_ path: [UInt8]) -> MethodResolution {
        resolutions += 1
        let text = String(decoding: path, as: UTF8.self)
        if let method = Method.allCases.first(where: { $0.path == text }) { return .unary(method.rawValue) }
        return text.hasPrefix("/test.Service/") ? .unknownMethod : .unknownService
    }

    func connectionOpened(_ connection: ServerConnection) { opened += 1 }
    func connectionClosed(_ connection: ServerConnection) { closed += 1 }

    func receive(_ calls: inout [UnaryCall], on connection: ServerConnection) {
        batches.append(calls.count)
        if remembersCalls { received += calls }
        for call in calls {
            switch Method(rawValue: call.method) {
            case .echo:
                connection.respond(call.stream, message: call.message[...])
            case .hold:
                held.append((call.stream, connection))
            case .size:
                let count = call.message.reduce(0) { $0 << 8 | Int($1) }
                connection.respond(call.stream, message: pattern(count)[...])
            case .later:
                eventLoop?.assumeIsolated().scheduleTask(in: .milliseconds(100)) {
                    connection.respond(call.stream, message: call.message[...])
                    connection.flush()
                }
            case .stream:
                let message = call.message
                streams[Key(connection: connection.id, stream: call.stream)] = Streaming(
                    count: Int(message[0]), end: message[1], size: message[2...].reduce(0) { $0 << 8 | Int($1) })
                drained(call.stream, on: connection)
            case .fail, nil:
                connection.fail(call.stream, code: 5, message: "no key «ü» 100%\n")
            }
        }
        calls.removeAll(keepingCapacity: true)
    }

    func drained(_ stream: StreamID, on connection: ServerConnection) {
        let key = Key(connection: connection.id, stream: stream)
        guard var streaming = streams[key] else { return }
        if streaming.given < streaming.count {
            connection.send(stream, message: pattern(streaming.size)[...])
            streaming.given += 1
            streamed += 1
            streams[key] = streaming
        } else if streaming.end == 0 {
            streams[key] = nil
            connection.end(stream)
        } else if streaming.end == 1 {
            streams[key] = nil
            connection.fail(stream, code: 11, message: "half way")
        }
        connection.flush()
    }

    func cancelled(_ stream: StreamID, on connection: ServerConnection) {
        cancelled.append(stream)
        streams[Key(connection: connection.id, stream: stream)] = nil
    }

    /// Answers what is held.
    func release(_ message: [UInt8] = [7]) {
        for (stream, connection) in held {
            connection.respond(stream, message: message[...])
            connection.flush()
        }
        held = []
    }
}

/// Bytes that tell where they stand: the period is prime to every size of frame, window and buffer.
func pattern(_ count: Int) -> [UInt8] {
    let period: [UInt8] = Array(0..<251)
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count + period.count)
    while bytes.count < count { bytes += period }
    bytes.removeLast(bytes.count - count)
    return bytes
}
