internal import Base
internal import EtcdProto
internal import MVCC
internal import Member
internal import NIOHTTP1

// Questions about leases, which the leader answers for the clients of the others: the answering and the asking side.
// Format: docs/formats/peer.md, "Leases".
extension PeerEndpoints {
    /// Also the answer on other methods comes from here: etcd names none that it would take.
    func lease(
        _ route: PeerRoute, _ head: HTTPRequestHead, _ body: [UInt8], _ respond: @escaping (PeerResponse) -> Void
    ) {
        guard head.method == .POST else { return respond(.text(405, "Method Not Allowed")) }
        let question: LeaseQuestion
        do throws(WireError) {
            question = try route == .leases ? .keepAlive(decoding: body) : .timeToLive(decoding: body)
        } catch {
            return respond(.text(400, "error unmarshalling request"))
        }
        asker.ask(question) { result in respond(Self.response(to: question, result)) }
    }

    static func response(to question: LeaseQuestion, _ result: Result<[UInt8], EtcdError>) -> PeerResponse {
        switch result {
        case .success(var message):
            if question.kind != .keepAlive {
                var envelope: [UInt8] = []
                Wire.appendBytesField(1, message, to: &envelope)
                message = envelope
            }
            return PeerResponse(200, [("Content-Type", "application/protobuf")], bytes: message)
        case .failure(.leaseNotFound): return .text(404, "lease not found")
        case .failure(.timeout), .failure(.deadlineExceeded):
            return .text(408, "waiting for node to catch up its applied index has timed out")
        case .failure(let error): return .text(question.kind == .keepAlive ? 400 : 500, error.message)
        }
    }
}

extension TransportCore {
    /// Puts a question to the leader.
    func ask(_ forwarded: ForwardedLeaseQuestion) {
        let question = forwarded.question
        let peer = peer(forwarded.leader)
        PeerQuestion.ask(
            peer?.urls.current ?? "", .POST, question.path,
            headers: ["Content-Type": "application/protobuf"], body: question.message, through: connector,
            timeout: requestTimeout
        ) { [weak self] result in
            if case .failure = result { peer?.urls.moveOn() }
            self?.tell(.leaseAnswered(number: forwarded.number, LeaseAnswer(result, to: question)))
        }
    }
}

extension LeaseQuestion {
    /// `LeaseKeepAliveRequest`.
    static func keepAlive(decoding body: [UInt8]) throws(WireError) -> LeaseQuestion {
        var lease = LeaseID.none
        var cursor = WireCursor(body.indices)
        while let (field, value) = try cursor.next(in: body.span) {
            if field == 1 { lease = LeaseID(try value.signed(field)) }
        }
        return LeaseQuestion(.keepAlive, of: lease, isForwarded: true)
    }

    /// `LeaseInternalRequest`; one without a request inside is as one for lease 0.
    static func timeToLive(decoding body: [UInt8]) throws(WireError) -> LeaseQuestion {
        var lease = LeaseID.none
        var keys = false
        var envelope = WireCursor(body.indices)
        while let (field, value) = try envelope.next(in: body.span) {
            guard field == 1 else { continue }
            var cursor = WireCursor(try value.bytes(field))
            while let (field, value) = try cursor.next(in: body.span) {
                if field == 1 { lease = LeaseID(try value.signed(field)) }
                if field == 2 { keys = try value.bool(field) }
            }
        }
        return LeaseQuestion(.timeToLive(keys: keys), of: lease, isForwarded: true)
    }

    var path: String { kind == .keepAlive ? "/leases" : "/leases/internal" }

    /// As the other member reads it.
    var message: [UInt8] {
        var request: [UInt8] = []
        Wire.appendVarintField(1, UInt64(bitPattern: lease.rawValue), to: &request)
        guard case .timeToLive(let keys) = kind else { return request }
        if keys { Wire.appendVarintField(2, 1, to: &request) }
        var envelope: [UInt8] = []
        Wire.appendBytesField(1, request, to: &envelope)
        return envelope
    }
}

extension LeaseAnswer {
    /// nil when the answer is to be sought again: the asked member does not lead, or could not be reached.
    init?(_ result: Result<PeerAnswer, any Error>, to question: LeaseQuestion) {
        guard case .success(let answer) = result else { return nil }
        switch answer.status {
        case 200:
            do throws(WireError) {
                self = try LeaseAnswer(
                    question.kind == .keepAlive ? answer.body : Self.opened(answer.body), to: question)
            } catch { return nil }
        case 404 where answer.body.starts(with: Array("lease not found".utf8)): self = .notFound
        default: return nil
        }
    }

    /// The message in a `LeaseInternalResponse`.
    private static func opened(_ envelope: [UInt8]) throws(WireError) -> [UInt8] {
        var message: [UInt8] = []
        var cursor = WireCursor(envelope.indices)
        while let (field, value) = try cursor.next(in: envelope.span) {
            if field == 1 { message = Array(envelope[try value.bytes(field)]) }
        }
        return message
    }
}
