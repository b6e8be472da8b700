import ClientAPI
import EtcdProto
import HTTP2
import Member
import NIOCore
import NIOEmbedded
import Platform
import Testing

/// `martlet-max-staleness-ms`: what of it reaches the member, and when an answer may leave.
@Suite struct StalenessTests {
    private let loop = EmbeddedEventLoop()
    private let member = FakeMember()
    private let connection = FakeConnection(id: 1)

    private func metadata(_ value: String) -> CallMetadata { CallMetadata(maxStaleness: Array(value.utf8)) }

    /// `TxnRequest` with one `RequestOp` in its success branch: a range, or a put.
    private func txn(field: Int) -> [UInt8] {
        var operation: [UInt8] = []
        Wire.appendBytesField(field, keyed("k"), to: &operation)
        var bytes: [UInt8] = []
        Wire.appendBytesField(2, operation, to: &bytes)
        return bytes
    }

    @Test func reachesReadsAlone() {
        let service = makeService(loop, member)
        var calls = [
            call(1, .range, keyed("k"), metadata: metadata("250")),
            call(3, .txn, txn(field: 1), metadata: metadata("0")),
            call(5, .txn, txn(field: 2), metadata: metadata("250")),
            call(7, .put, keyed("k"), metadata: metadata("250")),
            call(9, .status, metadata: metadata("nonsense")),
            call(11, .range, keyed("k")),
        ]
        service.receive(&calls, on: connection)
        #expect(connection.events.isEmpty)
        #expect(
            member.submissions[0].map(\.maxStaleness) == [.milliseconds(250), .zero, nil, nil, nil, nil])
    }

    @Test(arguments: ["", "-1", "+1", "1.5", "1s", " 1", "0x10", "4294967296", "99999999999999999999999", "五"])
    func refusesBadValues(value: String) {
        let service = makeService(loop, member)
        var calls = [call(1, .range, keyed("k"), metadata: metadata(value)), call(3, .range, keyed("k"))]
        service.receive(&calls, on: connection)
        let text =
            "martlet: the metadata martlet-max-staleness-ms is \"\(value)\": it must be a whole number of "
            + "milliseconds, from 0 to 4294967295"
        #expect(connection.events == [.fail(1, GRPCCode.invalidArgument.rawValue, text)])
        #expect(member.submissions.map(\.count) == [1])
        #expect(service.counters.finished(.range, .invalidArgument) == 1)
    }

    @Test func repeatsLittleOfALongValue() throws {
        let error = try #require(throws: EtcdError.self) {
            try StalenessBound.parse([UInt8](repeating: UInt8(ascii: "x"), count: 1 << 16))
        }
        #expect(error.message.utf8.count < 300)
        #expect(try StalenessBound.parse(Array("004294967295".utf8)) == .milliseconds(4_294_967_295))
    }

    /// The clock counts when the answer leaves, not when the member gave it.
    @Test func looksAtTheClockAgain() throws {
        let service = makeService(loop, member)
        let metadata = metadata("60000")
        var calls = [
            call(1, .range, keyed("k"), metadata: metadata), call(3, .range, keyed("k"), metadata: metadata),
        ]
        service.receive(&calls, on: connection)
        let tickets = member.submissions[0].map(\.ticket)
        let now = Instant(nanoseconds: UInt64(NIODeadline.now().uptimeNanoseconds))
        member.answer([(tickets[0], .success([1]))], age: StateAge(asOf: now, limit: .seconds(60)))
        member.answer([(tickets[1], .success([2]))], age: StateAge(asOf: now + .seconds(-61), limit: .seconds(60)))
        loop.run()
        try #require(connection.events.count { $0 != .flush } == 2, "\(connection.events)")
        #expect(connection.events.contains(.respond(1, [1])))
        guard case .fail(3, GRPCCode.unavailable.rawValue, let text)? = connection.events.last(where: { $0 != .flush })
        else {
            Issue.record("\(connection.events)")
            return
        }
        #expect(text.hasPrefix("martlet: this member's state was last confirmed 610"), "\(text)")
        #expect(text.contains("the client allows 60000 ms, and the answer was held up"), "\(text)")
        #expect(service.counters.boundedReadsLate == 1)
        #expect(service.counters.finished(.range, .unavailable) == 1)
    }
}
