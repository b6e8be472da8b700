import Base
import ClientAPI
import EtcdProto
import HTTP2
import Logging
import Member
import NIOCore
import NIOEmbedded
import Synchronization

/// A member that keeps what it is asked until the test answers it.
final class FakeMember: MemberHandle {
    struct State {
        var submissions: [[ClientRequest]] = []
        var sinks: [any ResponseSink] = []
        var isFull = false
        var statistics: MemberStatistics? = MemberStatistics()
        /// What probes are answered with at once; nil leaves them to the test.
        var probeAnswer: (@Sendable (_ linearizable: Bool) -> EtcdError?)?
    }

    let state = Mutex(State())

    func submit(_ requests: [ClientRequest], sink: any ResponseSink, isIdle: Bool) -> Bool {
        let (accepted, batch) = state.withLock { state -> (Bool, ResponseBatch) in
            var batch = ResponseBatch()
            if state.isFull { return (false, batch) }
            var waiting: [ClientRequest] = []
            for request in requests {
                if case .probe(let linearizable) = request.body, let answer = state.probeAnswer {
                    batch.responses.append(.init(ticket: request.ticket, range: 0..<0, error: answer(linearizable)))
                } else {
                    waiting.append(request)
                }
            }
            if !waiting.isEmpty {
                state.submissions.append(waiting)
                state.sinks.append(sink)
            }
            return (true, batch)
        }
        if !batch.responses.isEmpty { sink.deliver(batch) }
        return accepted
    }

    func withStatistics(_ body: @escaping @Sendable (MemberStatistics) -> Void) -> Bool {
        let (isFull, statistics) = state.withLock { ($0.isFull, $0.statistics) }
        if isFull { return false }
        if let statistics { body(statistics) }
        return true
    }

    var submissions: [[ClientRequest]] { state.withLock { $0.submissions } }

    /// Answers tickets, each with its own bytes or error, in one batch.
    func answer(_ answers: [(ticket: UInt64, Result<[UInt8], EtcdError>)], age: StateAge? = nil) {
        var batch = ResponseBatch()
        for (ticket, result) in answers {
            switch result {
            case .success(let bytes):
                let start = batch.bytes.count
                batch.bytes += bytes
                batch.responses.append(.init(ticket: ticket, range: start..<batch.bytes.count, age: age))
            case .failure(let error):
                batch.responses.append(.init(ticket: ticket, range: 0..<0, error: error))
            }
        }
        let sink = state.withLock { $0.sinks.last }
        sink?.deliver(batch)
    }
}

/// A connection that writes down what it is told.
final class FakeConnection: CallConnection {
    enum Event: Equatable {
        case respond(StreamID, [UInt8])
        case fail(StreamID, UInt8, String)
        case send(StreamID, [UInt8])
        case end(StreamID)
        case flush
    }

    let id: UInt32
    let remoteAddress: SocketAddress? = nil
    var events: [Event] = []

    init(id: UInt32) { self.id = id }

    func respond(_ stream: StreamID, message: ArraySlice<UInt8>) { events.append(.respond(stream, Array(message))) }
    func send(_ stream: StreamID, message: ArraySlice<UInt8>) { events.append(.send(stream, Array(message))) }
    func end(_ stream: StreamID) { events.append(.end(stream)) }
    func fail(_ stream: StreamID, code: UInt8, message: String) { events.append(.fail(stream, code, message)) }
    func flush() { events.append(.flush) }
}

let silent = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

func makeService(
    _ loop: EmbeddedEventLoop, _ member: FakeMember, limits: CallLimits = CallLimits()
) -> CallService<FakeConnection> {
    CallService(eventLoop: loop, member: member, limits: limits, logger: silent) {
        loop.makeSucceededFuture(CallCounters())
    }
}

func call(
    _ stream: StreamID, _ method: Method, _ message: [UInt8] = [], deadline: NIODeadline? = nil,
    metadata: CallMetadata? = nil
) -> UnaryCall {
    UnaryCall(stream: stream, method: method.rawValue, message: message, deadline: deadline, metadata: metadata)
}

/// `RangeRequest` or `PutRequest` of a key.
func keyed(_ key: String) -> [UInt8] {
    var bytes: [UInt8] = []
    Wire.appendBytesField(1, key.utf8, to: &bytes)
    return bytes
}

final class Counter: Sendable {
    private let count = Mutex(0)
    func add() { count.withLock { $0 += 1 } }
    var value: Int { count.withLock { $0 } }
}
