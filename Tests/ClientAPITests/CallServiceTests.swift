import Base
import ClientAPI
import EtcdProto
import HTTP2
import Member
import NIOCore
import NIOEmbedded
import Platform
import Synchronization
import Testing

/// Calls to the member and answers back: batches, tickets, errors, cancellations.
@Suite struct CallServiceTests {
    private let loop = EmbeddedEventLoop()
    private let member = FakeMember()

    private func receive(_ service: CallService<FakeConnection>, _ connection: FakeConnection, _ calls: [UnaryCall]) {
        var calls = calls
        service.receive(&calls, on: connection)
    }

    @Test func oneReadIsOneSubmission() {
        let service = makeService(loop, member)
        let a = FakeConnection(id: 1)
        receive(service, a, [call(1, .range, keyed("k")), call(3, .put, keyed("k")), call(5, .status)])
        receive(service, a, [call(7, .compact, [0x08, 0x05])])
        #expect(member.submissions.map(\.count) == [3, 1])
        #expect(a.events.isEmpty)
        guard case .put(let bytes) = member.submissions[0][1].body else {
            Issue.record("\(member.submissions[0][1])")
            return
        }
        #expect(bytes == keyed("k"))
    }

    @Test func answersComeWithOneWakeUp() {
        let service = makeService(loop, member)
        let a = FakeConnection(id: 1)
        let b = FakeConnection(id: 2)
        receive(service, a, [call(1, .range, keyed("k")), call(3, .range, keyed("l"))])
        receive(service, b, [call(1, .range, keyed("m"))])
        let tickets = member.submissions.flatMap { $0 }.map(\.ticket)
        member.answer([(tickets[2], .success([9])), (tickets[0], .success([1, 2]))])
        member.answer([(tickets[1], .failure(.compacted))])
        #expect(a.events.isEmpty && b.events.isEmpty, "nothing happens off the loop")
        loop.run()
        #expect(a.events.filter { $0 != .flush } == [.respond(1, [1, 2]), .fail(3, 11, EtcdError.compacted.message)])
        #expect(b.events == [.respond(1, [9]), .flush])
        #expect(service.callsUnderWay == 0)
        #expect(service.counters.finished(.range, .ok) == 2)
        #expect(service.counters.finished(.range, .outOfRange) == 1)
        #expect(service.counters.bytesSent == 3)
    }

    @Test func refusesBeforeTheMember() {
        let service = makeService(loop, member)
        let a = FakeConnection(id: 1)
        receive(
            service, a,
            [
                call(1, .range, keyed("")), call(3, .put, [0xFF]), call(5, .txn, [0x12, 0x00]),
                call(7, .deleteRange), call(9, .healthCheck), call(11, .healthCheck, keyed("x")),
                call(13, .range, keyed("ok")),
            ])
        #expect(
            a.events == [
                .fail(1, 3, "etcdserver: key is not provided"),
                .fail(3, 13, EtcdError.malformedRequest.message),
                .fail(5, 3, "etcdserver: key not found"),
                .fail(7, 3, "etcdserver: key is not provided"),
                .respond(9, [0x08, 0x01]),
                .fail(11, 5, "unknown service"),
            ])
        #expect(member.submissions.map(\.count) == [1])
        #expect(service.counters.finished(.put, .internal) == 1)
    }

    @Test func refusesWhenTheMemberIsFull() {
        let service = makeService(loop, member)
        let a = FakeConnection(id: 1)
        member.state.withLock { $0.isFull = true }
        receive(service, a, [call(1, .range, keyed("k")), call(3, .range, keyed("k"))])
        let error = EtcdError.tooManyRequests
        #expect(
            a.events == [.fail(1, error.code.rawValue, error.message), .fail(3, error.code.rawValue, error.message)])
        #expect(service.callsUnderWay == 0)
    }

    @Test func refusesWhenTooManyAreUnderWay() {
        var limits = CallLimits()
        limits.callsUnderWay = 2
        let service = makeService(loop, member, limits: limits)
        let a = FakeConnection(id: 1)
        receive(service, a, (0..<3).map { call(Int32(2 * $0 + 1), .range, keyed("k")) })
        #expect(a.events == [.fail(5, 2, "etcdserver: too many requests")])
        #expect(member.submissions.map(\.count) == [2])
    }

    @Test func answersToCancelledCallsGoNowhere() {
        let service = makeService(loop, member)
        let a = FakeConnection(id: 1)
        let late = NIODeadline.now() - .seconds(1)
        receive(
            service, a,
            [call(1, .range, keyed("k")), call(3, .range, keyed("k"), deadline: late), call(5, .range, keyed("k"))])
        service.cancelled(1, on: a)
        service.cancelled(3, on: a)
        let tickets = member.submissions[0].map(\.ticket)
        // The connection's successor has the same stream numbers.
        let b = FakeConnection(id: 2)
        receive(service, b, [call(1, .range, keyed("k"))])
        let next = member.submissions[1][0].ticket
        #expect(!tickets.contains(next))
        member.answer(tickets.map { ($0, .success([7])) } + [(next, .success([8]))])
        // Twice, and one that nobody ever had.
        member.answer([(tickets[0], .success([6])), (next, .success([6])), (1 << 40 | 77, .success([6]))])
        loop.run()
        #expect(a.events == [.respond(5, [7]), .flush])
        #expect(b.events == [.respond(1, [8]), .flush])
        #expect(service.counters.finished(.range, .cancelled) == 1)
        #expect(service.counters.finished(.range, .deadlineExceeded) == 1)
    }

    @Test func passesOnDeadlineAndWishForALeader() {
        let service = makeService(loop, member)
        let deadline = NIODeadline.uptimeNanoseconds(12345)
        receive(
            service, FakeConnection(id: 1),
            [
                call(1, .range, keyed("k"), deadline: deadline, metadata: CallMetadata(requiresLeader: true)),
                call(3, .range, keyed("k")),
            ])
        let requests = member.submissions[0]
        #expect(requests[0].deadline == Instant(nanoseconds: 12345))
        #expect(requests.map(\.requiresLeader) == [true, false])
        #expect(requests[1].deadline == nil)
    }

    @Test func countsVersionsOfClients() {
        let service = makeService(loop, member)
        let a = FakeConnection(id: 1)
        let current = CallMetadata(clientAPIVersion: Array("3.5".utf8))
        receive(
            service, a,
            [
                call(1, .status, metadata: current), call(3, .status, metadata: current), call(5, .status),
                call(7, .status, metadata: CallMetadata(clientAPIVersion: [0xFF, 0xFE])),
            ])
        #expect(service.counters.versions.map(\.version) == ["unknown", "3.5"])
        #expect(service.counters.versions.map(\.calls) == [1, 2])
        #expect(a.events == [.fail(7, 3, "etcdserver: invalid client api version")])
        // What clients make up does not fill the memory.
        for i in 0..<200 {
            let made = CallMetadata(clientAPIVersion: Array("x\(i)".utf8))
            receive(service, a, [call(Int32(2 * i + 9), .status, metadata: made)])
        }
        #expect(service.counters.versions.count == CallCounters.versionLimit)
        #expect(service.counters.versions.map(\.calls).reduce(0, +) == 203)
    }

    @Test func passesAlarmRequestsOn() {
        let service = makeService(loop, member)
        let a = FakeConnection(id: 1)
        receive(
            service, a, [call(1, .alarm), call(3, .alarm, [0x08, 0x01, 0x18, 0x01]), call(5, .alarm, [0x0A, 0x00])])
        let bodies = member.submissions[0].map { request -> [UInt8]? in
            if case .alarm(let bytes) = request.body { bytes } else { nil }
        }
        #expect(bodies == [[], [0x08, 0x01, 0x18, 0x01]])
        guard case .fail(5, 13, _)? = a.events.first else {
            Issue.record("\(a.events)")
            return
        }
    }

    @Test func resolvesPaths() {
        let service = makeService(loop, member)
        #expect(service.resolve(Array("/etcdserverpb.KV/Range".utf8)) == .unary(Method.range.rawValue))
        #expect(service.resolve(Array("/grpc.health.v1.Health/Check".utf8)) == .unary(Method.healthCheck.rawValue))
        for path in ["/etcdserverpb.KV/RangeStream", "/etcdserverpb.Watch/Watch", "/v3lockpb.Lock/Lock"] {
            #expect(service.resolve(Array(path.utf8)) == .unknownMethod)
        }
        for path in ["/nope.X/Y", "/", "", "x"] {
            #expect(service.resolve(Array(path.utf8)) == .unknownService)
        }
    }

    @Test func probesAndStatistics() throws {
        let service = makeService(loop, member)
        var outcome: EtcdError?? = nil
        service.probe(linearizable: true).assumeIsolated().whenSuccess { outcome = $0 }
        member.answer([(member.submissions[0][0].ticket, .failure(.noLeader))])
        loop.run()
        #expect(outcome == .some(.noLeader))
        // A member that has stopped leaves the asker waiting for the request timeout only.
        member.state.withLock { $0.statistics = nil }
        var answered = false
        service.statistics().assumeIsolated().whenSuccess { answered = $0 == nil }
        loop.advanceTime(by: .seconds(6))
        #expect(!answered)
        loop.advanceTime(by: .seconds(2))
        #expect(answered)
        // One that is full says so at once.
        member.state.withLock { $0.isFull = true }
        var refused = false
        service.statistics().assumeIsolated().whenSuccess { refused = $0 == nil }
        #expect(refused)
    }
}

@Suite struct TicketTableTests {
    @Test(arguments: [UInt64](1...5)) func findsWhatWaitsAndNothingElse(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var table = TicketTable<Int>(limit: 16)
        var waiting: [(ticket: UInt64, value: Int)] = []
        var gone: [UInt64] = []
        for step in 0..<2000 {
            if Bool.random(using: &random) {
                let ticket = table.insert(step)
                #expect((ticket == nil) == (waiting.count == 16), "seed \(seed)")
                if let ticket {
                    #expect(!gone.contains(ticket) && !waiting.contains { $0.ticket == ticket }, "seed \(seed)")
                    waiting.append((ticket, step))
                }
            } else if let index = waiting.indices.randomElement(using: &random) {
                let (ticket, value) = waiting.remove(at: index)
                #expect(table.remove(ticket) == value, "seed \(seed)")
                gone.append(ticket)
            }
            if let ticket = gone.randomElement(using: &random) {
                #expect(table.remove(ticket) == nil, "seed \(seed)")
            }
            #expect(table.count == waiting.count)
        }
    }
}

@Suite struct LoopSinkTests {
    @Test func wakesTheLoopOnceForManyBatches() {
        let loop = EmbeddedEventLoop()
        let wakes = Counter()
        let sink = LoopSink(eventLoop: loop, limit: 100) { wakes.add() }
        var batch = ResponseBatch()
        sink.deliver(batch)
        loop.run()
        #expect(wakes.value == 0, "an empty batch is nothing")
        batch.responses = [.init(ticket: 1, range: 0..<0)]
        for _ in 0..<10 { sink.deliver(batch) }
        loop.run()
        #expect(wakes.value == 1)
        var batches: [ResponseBatch] = []
        sink.drain(into: &batches)
        #expect(batches.count == 10)
        sink.deliver(batch)
        loop.run()
        #expect(wakes.value == 2)
    }
}
