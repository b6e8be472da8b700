package import EtcdProto
package import HTTP2
package import Logging
internal import MVCC
package import Member
package import NIOCore
internal import Platform

/// Answers the calls of one event loop: checks them, hands those of one read to the member together, and passes the
/// answers on. Used on that loop only.
///
/// A call has a ticket from its hand-over until its answer comes, whether or not anybody still waits for it.
package final class CallService<Connection: CallConnection> {
    /// Who waits for an answer.
    private enum Waiter {
        case call(Call)
        case probe(EventLoopPromise<EtcdError?>)
    }

    private struct Call {
        var connection: Connection
        var stream: StreamID
        var method: Method
        var requestBytes: Int
        var start: NIODeadline
        var deadline: NIODeadline?
    }

    /// What a call's metadata say, worked out.
    private struct Terms {
        var version = 0
        /// Nil when the client set no bound; a bad value counts only where a bound would.
        var maxStaleness: Result<Duration, EtcdError>?
    }

    /// A call, by where it came from.
    private struct CallKey: Hashable {
        var connection: UInt32
        var stream: StreamID
    }

    package let eventLoop: any EventLoop
    private let member: any MemberHandle
    private let limits: CallLimits
    private let logger: Logger
    private let siblings: @Sendable () -> EventLoopFuture<CallCounters>
    private var sink: LoopSink?
    private var tickets: TicketTable<Waiter>
    private var cancellations: Set<CallKey> = []
    private var snapshots: [CallKey: SnapshotStream<Connection>] = [:]
    private var txnCheck: TxnCheck
    package private(set) var counters = CallCounters()
    /// The metadata that was looked at last, as most calls of a connection share theirs.
    private var lastMetadata: (value: CallMetadata, terms: Terms)?
    private var batches: [ResponseBatch] = []
    private var requests: [ClientRequest] = []

    /// - Parameter siblings: the counters of all event loops added up.
    package init(
        eventLoop: any EventLoop, member: any MemberHandle, limits: CallLimits, logger: Logger,
        siblings: @escaping @Sendable () -> EventLoopFuture<CallCounters>
    ) {
        self.eventLoop = eventLoop
        self.member = member
        self.limits = limits
        self.logger = logger
        self.siblings = siblings
        tickets = TicketTable(limit: limits.callsUnderWay)
        txnCheck = TxnCheck(operationLimit: limits.txnOperations)
        let bound = NIOLoopBound(Weak(self), eventLoop: eventLoop)
        sink = LoopSink(eventLoop: eventLoop, limit: limits.callsUnderWay) { bound.value.service?.takeAnswers() }
    }

    /// The sink does not keep the service alive.
    private struct Weak {
        weak var service: CallService<Connection>?
        init(_ service: CallService<Connection>) { self.service = service }
    }

    private var responseSink: LoopSink {
        guard let sink else { preconditionFailure("used before it was made") }
        return sink
    }

    /// Calls that the member is working on.
    package var callsUnderWay: Int { tickets.count }
}

// MARK: Calls

extension CallService: GRPCService where Connection == ServerConnection {
    package func connectionOpened(_ connection: ServerConnection) {}
    package func connectionClosed(_ connection: ServerConnection) {}
}

extension CallService {
    package func resolve(_ path: [UInt8]) -> MethodResolution {
        let text = String(decoding: path, as: UTF8.self)
        if let method = Method.allCases.first(where: { $0.path == text }) { return .unary(method.rawValue) }
        guard let slash = text.lastIndex(of: "/") else { return .unknownService }
        return Method.services.contains(String(text[..<slash].dropFirst())) ? .unknownMethod : .unknownService
    }

    package func cancelled(_ stream: StreamID, on connection: Connection) {
        let key = CallKey(connection: connection.id, stream: stream)
        guard let snapshot = snapshots.removeValue(forKey: key) else {
            cancellations.insert(key)
            return
        }
        snapshot.cancel()
        counters.finish(.snapshot, .cancelled)
    }

    package func drained(_ stream: StreamID, on connection: Connection) {
        snapshots[CallKey(connection: connection.id, stream: stream)]?.drained()
    }

    package func receive(_ calls: inout [UnaryCall], on connection: Connection) {
        let now = NIODeadline.now()
        requests.removeAll(keepingCapacity: true)
        for call in calls {
            guard let method = Method(rawValue: call.method) else { preconditionFailure("method \(call.method)") }
            let requestBytes = call.message.count
            do throws(EtcdError) {
                let terms = try terms(of: call.metadata)
                counters.start(method, bytes: requestBytes, version: terms.version)
                let handed = Call(
                    connection: connection, stream: call.stream, method: method, requestBytes: requestBytes,
                    start: now, deadline: call.deadline)
                guard let body = try requestBody(method, call.message) else {
                    // Only Health.Check is answered here: a process that answers serves. HealthCheckResponse, SERVING.
                    connection.respond(call.stream, message: [0x08, 0x01])
                    counters.finish(method, .ok, bytes: 2)
                    continue
                }
                let maxStaleness = body.readsKeys ? try terms.maxStaleness?.get() : nil
                guard let ticket = tickets.insert(.call(handed)) else { throw .tooManyRequests }
                requests.append(
                    ClientRequest(
                        ticket: ticket, body: body,
                        deadline: call.deadline.map { Instant(nanoseconds: UInt64($0.uptimeNanoseconds)) },
                        requiresLeader: call.metadata?.requiresLeader ?? false, maxStaleness: maxStaleness))
            } catch {
                connection.fail(call.stream, code: error.code.rawValue, message: error.message)
                counters.finish(method, error.code)
            }
        }
        submit()
    }

    /// All requests of one read at once; when the member does not take them, all of them fail.
    private func submit() {
        if requests.isEmpty { return }
        let sink = responseSink
        // A call that is alone on this loop is better served by it than by a thread that has to be woken.
        let isTaken = sink.attending { member.submit(requests, sink: sink, isIdle: tickets.count == 1) }
        if isTaken { return takeAnswers() }
        for request in requests { answer(request.ticket, .tooManyRequests) }
    }

    private func terms(of metadata: CallMetadata?) throws(EtcdError) -> Terms {
        guard let metadata else { return Terms() }
        if let lastMetadata, lastMetadata.value === metadata { return lastMetadata.terms }
        var terms = Terms()
        if let bytes = metadata.clientAPIVersion {
            guard let text = String(validating: bytes, as: UTF8.self) else { throw .invalidClientAPIVersion }
            terms.version = counters.version(text)
        }
        terms.maxStaleness = metadata.maxStaleness.map { value in
            Result { () throws(EtcdError) in try StalenessBound.parse(value) }
        }
        lastMetadata = (metadata, terms)
        return terms
    }

    /// What the member is asked for; nil for what needs no member.
    private func requestBody(_ method: Method, _ message: [UInt8]) throws(EtcdError) -> ClientRequest.Body? {
        do {
            let bytes = message.span
            switch method {
            case .range:
                try RangeFields(bytes, at: message.indices).check()
                return .range(message)
            case .put:
                try PutFields(bytes, at: message.indices).check()
                return .put(message)
            case .deleteRange:
                try DeleteRangeFields(bytes, at: message.indices).check()
                return .deleteRange(message)
            case .txn:
                return .txn(message, try txnCheck.path(of: bytes))
            case .compact:
                try PlainFields.varints(bytes, at: message.indices, count: 2)
                return .compaction(message)
            case .hashKV:
                try PlainFields.varints(bytes, at: message.indices, count: 1)
                return .hashKV(message)
            case .alarm:
                try PlainFields.varints(bytes, at: message.indices, count: 3)
                return .alarm(message)
            case .snapshot:
                try PlainFields.skim(bytes, at: message.indices)
                return .snapshot
            case .defragment:
                try PlainFields.skim(bytes, at: message.indices)
                return .defragment
            case .status:
                try PlainFields.skim(bytes, at: message.indices)
                return .status
            case .memberList:
                return .memberList(linearizable: try PlainFields.linearizable(bytes, at: message.indices))
            case .memberAdd: return try MembershipFields.addition(message)
            case .memberUpdate: return try MembershipFields.update(message)
            case .memberRemove: return .memberRemove(try MembershipFields.id(message))
            case .memberPromote: return .memberPromote(try MembershipFields.id(message), forwarded: false)
            case .moveLeader: return .moveLeader(to: try MembershipFields.id(message))
            case .downgrade:
                try PlainFields.skim(bytes, at: message.indices)
                return .downgrade(message)
            case .healthCheck:
                guard try PlainFields.namesWholeServer(bytes, at: message.indices) else {
                    throw EtcdError(.notFound, "unknown service")
                }
                return nil
            }
        } catch let error as EtcdError {
            throw error
        } catch {
            throw .malformedRequest
        }
    }
}

// MARK: Answers

extension CallService {
    /// Also after each call into the member, which may have taken a turn of it on this loop.
    private func takeAnswers() {
        responseSink.drain(into: &batches)
        if batches.isEmpty { return }
        let now = NIODeadline.now()
        for batch in batches {
            for response in batch.responses { pass(response, batch.bytes, now) }
        }
        batches.removeAll(keepingCapacity: true)
    }

    private func pass(_ response: ResponseBatch.Response, _ bytes: [UInt8], _ now: NIODeadline) {
        guard let waiter = tickets.remove(response.ticket) else { return }
        switch waiter {
        case .probe(let promise):
            promise.succeed(response.error)
        case .call(let call):
            if isCancelled(call, now) {
                response.snapshot?.copy.close()
                return
            }
            if let error = response.error ?? tooLate(response) {
                call.connection.fail(call.stream, code: error.code.rawValue, message: error.message)
                counters.finish(call.method, error.code)
            } else if let snapshot = response.snapshot {
                stream(snapshot, to: call)
                return
            } else {
                call.connection.respond(call.stream, message: bytes[response.range])
                counters.finish(call.method, .ok, bytes: response.range.count)
            }
            call.connection.flush()
            if now - call.start > limits.slowCall { logSlow(call, response, now - call.start) }
        }
    }

    /// Why a bounded read's answer may not leave after all: the process was stopped, or this loop was busy, since the
    /// member gave it.
    private func tooLate(_ response: ResponseBatch.Response) -> EtcdError? {
        guard let age = response.age else { return nil }
        let now = Instant(nanoseconds: UInt64(NIODeadline.now().uptimeNanoseconds))
        if age.isKept(at: now) { return nil }
        counters.boundedReadsLate += 1
        return age.refusal(at: now)
    }

    private func stream(_ snapshot: BackendSnapshot, to call: Call) {
        let key = CallKey(connection: call.connection.id, stream: call.stream)
        snapshots[key] = SnapshotStream(
            snapshot, to: call.stream, on: call.connection, eventLoop: eventLoop, logger: logger
        ) { [weak self] event in
            guard let self else { return }
            switch event {
            case .sent(let bytes): counters.send(.snapshot, bytes: bytes)
            case .ended(let code):
                counters.finish(.snapshot, code)
                snapshots[key] = nil
            }
        }
    }

    /// Answers without the member; outside ``receive(_:on:)`` the caller flushes.
    private func answer(_ ticket: UInt64, _ error: EtcdError) {
        switch tickets.remove(ticket) {
        case .call(let call):
            call.connection.fail(call.stream, code: error.code.rawValue, message: error.message)
            counters.finish(call.method, error.code)
        case .probe(let promise): promise.succeed(error)
        case nil: break
        }
    }

    private func isCancelled(_ call: Call, _ now: NIODeadline) -> Bool {
        if cancellations.isEmpty { return false }
        let key = CallKey(connection: call.connection.id, stream: call.stream)
        guard cancellations.remove(key) != nil else { return false }
        let isLate = call.deadline.map { $0 <= now } ?? false
        counters.finish(call.method, isLate ? .deadlineExceeded : .cancelled)
        return true
    }

    private func logSlow(_ call: Call, _ response: ResponseBatch.Response, _ time: TimeAmount) {
        let milliseconds = Double(time.nanoseconds) / 1e6
        logger.warning(
            "request stats",
            metadata: [
                "time spent": "\(milliseconds)ms",
                "remote": "\(call.connection.remoteAddress.map { "\($0)" } ?? "")",
                "response type": "\(call.method.path)",
                "request size": .stringConvertible(call.requestBytes),
                "response size": .stringConvertible(response.range.count),
            ])
    }
}

// MARK: The plain HTTP endpoints' questions

extension CallService: MemberProbe {
    package func probe(linearizable: Bool) -> EventLoopFuture<EtcdError?> {
        let promise = eventLoop.makePromise(of: EtcdError?.self)
        guard let ticket = tickets.insert(.probe(promise)) else {
            promise.succeed(.tooManyRequests)
            return promise.futureResult
        }
        let request = ClientRequest(
            ticket: ticket, body: .probe(linearizable: linearizable),
            deadline: Instant(nanoseconds: (NIODeadline.now() + limits.probeTimeout).uptimeNanoseconds))
        let sink = responseSink
        if sink.attending({ member.submit([request], sink: sink, isIdle: false) }) {
            takeAnswers()
        } else {
            answer(ticket, .tooManyRequests)
        }
        return promise.futureResult
    }

    package func statistics() -> EventLoopFuture<MemberStatistics?> {
        let promise = eventLoop.makePromise(of: MemberStatistics?.self)
        // A member that stops with the question in its mailbox never answers; the first of the two counts.
        let timeout = eventLoop.scheduleTask(in: limits.probeTimeout) { promise.succeed(nil) }
        let bound = NIOLoopBound((promise: promise, timeout: timeout), eventLoop: eventLoop)
        let eventLoop = self.eventLoop
        let asked = responseSink.attending {
            member.withStatistics { statistics in
                eventLoop.execute {
                    bound.value.timeout.cancel()
                    bound.value.promise.succeed(statistics)
                }
            }
        }
        if asked {
            takeAnswers()
        } else {
            timeout.cancel()
            promise.succeed(nil)
        }
        return promise.futureResult
    }

    package func callCounters() -> EventLoopFuture<CallCounters> {
        siblings().hop(to: eventLoop)
    }
}
