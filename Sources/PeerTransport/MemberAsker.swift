internal import Base
internal import EtcdProto
internal import MVCC
internal import Member
internal import NIOCore
internal import Platform
internal import Synchronization

/// Puts the questions of peers to the member, as a client would. Used on its event loop only.
final class MemberAsker {
    private let core: TransportCore
    private var sink: AnswerSink?
    private var waiting: [UInt64: (Result<[UInt8], EtcdError>) -> Void] = [:]
    private var waitingForCopies: [UInt64: (Result<BackendSnapshot, EtcdError>) -> Void] = [:]
    private var lastTicket: UInt64 = 0

    init(_ core: TransportCore) { self.core = core }

    /// - Parameter finish: called once, on the event loop, with the error if there is one.
    func ask(_ body: ClientRequest.Body, finish: @escaping (EtcdError?) -> Void) {
        submit(body) { result in
            switch result {
            case .success: finish(nil)
            case .failure(let error): finish(error)
            }
        }
    }

    /// - Parameter finish: called once, on the event loop, with the encoded answer to a question about a lease.
    func ask(_ question: LeaseQuestion, finish: @escaping (Result<[UInt8], EtcdError>) -> Void) {
        submit(.lease(question), deadline: core.now() + Self.leasePatience, finish)
    }

    /// How long another member waits until this one has applied what was committed when it asked.
    private static let leasePatience: Duration = .seconds(1)

    func hash(atRevision revision: Int64, finish: @escaping (Result<HashAnswer, EtcdError>) -> Void) {
        var request: [UInt8] = []
        Wire.appendVarintField(1, UInt64(bitPattern: revision), to: &request)
        submit(.hashKV(request)) { result in
            finish(result.flatMap { bytes in HashAnswer(bytes).map { .success($0) } ?? .failure(.stopped) })
        }
    }

    /// A copy of the database. `finish` is called once, on the event loop.
    func snapshot(finish: @escaping (Result<BackendSnapshot, EtcdError>) -> Void) {
        let ticket = lastTicket + 1
        waitingForCopies[ticket] = finish
        submit(.snapshot) { [weak self] result in
            // Only an error comes this way.
            if case .failure(let error) = result {
                self?.waitingForCopies.removeValue(forKey: ticket)?(.failure(error))
            }
        }
    }

    /// - Parameter finish: called once, on the event loop; with nil when the member does not answer.
    func statistics(_ finish: @escaping (MemberStatistics?) -> Void) {
        let eventLoop = core.eventLoop
        let once = OnceOnLoop(finish)
        let bound = NIOLoopBound(once, eventLoop: eventLoop)
        let timeout = eventLoop.scheduleTask(in: core.requestTimeout) { bound.value.call(nil) }
        let asked =
            core.host?.withStatistics { statistics in
                eventLoop.execute {
                    timeout.cancel()
                    bound.value.call(statistics)
                }
            } ?? false
        if !asked {
            timeout.cancel()
            once.call(nil)
        }
    }

    private func submit(
        _ body: ClientRequest.Body, deadline: Instant? = nil, _ finish: @escaping (Result<[UInt8], EtcdError>) -> Void
    ) {
        lastTicket += 1
        let ticket = lastTicket
        waiting[ticket] = finish
        let sink = self.sink ?? makeSink()
        let request = ClientRequest(ticket: ticket, body: body, deadline: deadline, isFromPeer: true)
        if core.host?.submit([request], sink: sink) != true {
            waiting.removeValue(forKey: ticket)?(.failure(.tooManyRequests))
        }
    }

    private func makeSink() -> AnswerSink {
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        let made = AnswerSink(core.eventLoop) { bound.value.take($0) }
        sink = made
        return made
    }

    private func take(_ batch: ResponseBatch) {
        for response in batch.responses {
            if let copy = response.snapshot {
                waiting[response.ticket] = nil
                guard let finish = waitingForCopies.removeValue(forKey: response.ticket) else {
                    copy.copy.close()
                    continue
                }
                finish(.success(copy))
                continue
            }
            guard let finish = waiting.removeValue(forKey: response.ticket) else { continue }
            if let error = response.error {
                finish(.failure(error))
            } else {
                finish(.success(Array(batch.bytes[response.range])))
            }
        }
    }
}

/// Brings the member's answers to the event loop.
private final class AnswerSink: ResponseSink {
    private let eventLoop: any EventLoop
    private let take: @Sendable (ResponseBatch) -> Void

    init(_ eventLoop: any EventLoop, _ take: @escaping @Sendable (ResponseBatch) -> Void) {
        self.eventLoop = eventLoop
        self.take = take
    }

    func deliver(_ batch: consuming ResponseBatch) {
        let batch = batch
        eventLoop.execute { [take] in take(batch) }
    }
}

/// A continuation of which only the first call counts.
private final class OnceOnLoop<Value> {
    private var body: ((Value) -> Void)?
    init(_ body: @escaping (Value) -> Void) { self.body = body }
    func call(_ value: Value) { body.take()?(value) }
}

/// What `/members/hashkv` answers.
struct HashAnswer {
    /// The member's newest revision.
    var newestRevision: Int64 = 0
    var hash: UInt64 = 0
    var compactRevision: Int64 = 0
    /// The last revision that the hash covers.
    var hashRevision: Int64 = 0

    /// Reads a `HashKVResponse`; nil when it is none.
    init?(_ bytes: [UInt8]) {
        var cursor = WireCursor(bytes.indices)
        do throws(WireError) {
            while let (field, value) = try cursor.next(in: bytes.span) {
                switch (field, value) {
                case (1, .bytes(let range)):
                    var header = WireCursor(range)
                    while let (field, value) = try header.next(in: bytes.span) {
                        if case .varint(let revision) = value, field == 3 {
                            newestRevision = Int64(bitPattern: revision)
                        }
                    }
                case (2, .varint(let value)): hash = value
                case (3, .varint(let value)): compactRevision = Int64(bitPattern: value)
                case (4, .varint(let value)): hashRevision = Int64(bitPattern: value)
                default: break
                }
            }
        } catch { return nil }
    }

    /// etcd up to 3.5 takes the member's ID from the header when it raises an alarm, and sends none.
    func json(of member: MemberID) -> JSON {
        func number(_ name: String, _ value: some BinaryInteger) -> JSON.Member {
            JSON.Member(name, .number(String(value)))
        }
        return .object([
            .init("header", .object([number("member_id", member.rawValue), number("revision", newestRevision)])),
            number("hash", hash),
            number("compact_revision", compactRevision), number("hash_revision", hashRevision),
        ])
    }
}
