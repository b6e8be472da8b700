internal import Base
internal import EtcdProto
package import Member
internal import NIOCore
internal import NIOHTTP1
internal import Platform

/// A complete answer to a peer.
struct PeerResponse {
    var status: Int
    var headers: [(String, String)]
    var body: [UInt8]

    init(_ status: Int, _ headers: [(String, String)], _ body: String) {
        self.init(status, headers, bytes: Array(body.utf8))
    }

    init(_ status: Int, _ headers: [(String, String)], bytes body: [UInt8]) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// Without a body.
    init(_ status: Int, clusterID: ClusterID) {
        self.init(status, [(PeerHeader.clusterID, clusterID.description)], "")
    }

    /// Plain text with a newline behind it.
    static func text(_ status: Int, _ text: String) -> PeerResponse {
        PeerResponse(
            status, [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")], text + "\n")
    }

    static func json(_ status: Int, _ text: String) -> PeerResponse {
        PeerResponse(status, [("Content-Type", "application/json")], text)
    }

    init(_ refusal: PeerRefusal, clusterID: ClusterID) {
        self = .text(refusal.status, refusal.text)
        switch refusal {
        case .notFound: return
        case .methodNotAllowed(let allow):
            headers.append(("Allow", allow))
            return
        case .forbidden(let reason): self = .json(refusal.status, JSON.object([.init("message", .string(reason))]).text)
        default: break
        }
        tell(clusterID)
    }

    /// Says which cluster answers.
    mutating func tell(_ clusterID: ClusterID) { headers.append((PeerHeader.clusterID, clusterID.description)) }
}

/// What peers ask besides raft's messages. Used on its event loop only.
final class PeerEndpoints {
    private let core: TransportCore
    let asker: MemberAsker

    init(_ core: TransportCore) {
        self.core = core
        asker = MemberAsker(core)
    }

    /// - Parameter respond: called once, on the event loop.
    func answer(
        _ route: PeerRoute, _ head: HTTPRequestHead, _ body: [UInt8], respond: @escaping (PeerResponse) -> Void
    ) {
        switch route {
        case .probing:
            let now = ProbeTime.text(milliseconds: core.clock.unixMilliseconds())
            var response = PeerResponse(
                200, [("Content-Type", "text/plain; charset=utf-8")], #"{"OK":true,"Now":"\#(now)"}"# + "\n")
            if head.headers.first(name: PeerHeader.effects) == EffectsNote.question {
                response.headers.append((PeerHeader.effects, core.effectsNote.text))
            }
            respond(response)
        case .version: version(respond)
        case .members: members(respond)
        case .promote(let id): promote(id, respond)
        case .hashKV: hashKV(head, body, respond)
        case .divergence: divergence(head, respond)
        case .downgradeEnabled: downgradeEnabled(respond)
        case .leases, .leasesInternal: lease(route, head, body, respond)
        case .pipeline, .stream, .snapshot, .database: preconditionFailure("\(route) is no question")
        }
    }

    private func version(_ respond: @escaping (PeerResponse) -> Void) {
        let version = core.identity.version
        asker.statistics { statistics in
            let cluster = statistics?.clusterVersion ?? ""
            let storage = statistics?.storageVersion ?? ""
            respond(
                .json(
                    200,
                    JSON.object([
                        .init("etcdserver", .string(version.description)),
                        .init("etcdcluster", .string(cluster.isEmpty ? "not_decided" : cluster)),
                        .init("storage", .string(storage.isEmpty ? "unknown" : storage)),
                    ]).text))
        }
    }

    private func members(_ respond: @escaping (PeerResponse) -> Void) {
        let clusterID = core.identity.clusterID
        asker.statistics { statistics in
            guard let statistics else { return respond(.text(500, "the member does not answer")) }
            var response = PeerResponse.json(200, PeerMemberList.text(statistics.members) + "\n")
            response.tell(clusterID)
            respond(response)
        }
    }

    /// Promotes a learner for another member, whose client asked for it. Only the leader does.
    private func promote(_ text: String, _ respond: @escaping (PeerResponse) -> Void) {
        let clusterID = core.identity.clusterID
        let respond = { (response: PeerResponse) in
            var response = response
            response.tell(clusterID)
            respond(response)
        }
        guard let id = UInt64(text) else { return respond(.text(404, "member \(text) not found in cluster")) }
        asker.ask(.memberPromote(MemberID(id), forwarded: true)) { [asker] error in
            switch error {
            case nil:
                asker.statistics { respond(.json(200, PeerMemberList.text($0?.members ?? []) + "\n")) }
            case .memberNotFound?: respond(.text(404, "membership: ID not found"))
            case .memberNotLearner?: respond(.text(412, "membership: can only promote a learner member"))
            case .learnerNotReady?: respond(.text(412, EtcdError.learnerNotReady.message))
            case .timeout?: respond(.text(408, "context deadline exceeded"))
            default: respond(.json(500, #"{"message":"Internal Server Error"}"#))
            }
        }
    }

    private func hashKV(
        _ head: HTTPRequestHead, _ body: [UInt8], _ respond: @escaping (PeerResponse) -> Void
    ) {
        if let id = head.headers.first(name: PeerHeader.clusterID), id != core.identity.clusterID.description {
            return respond(PeerResponse(.clusterIDMismatch, clusterID: core.identity.clusterID))
        }
        guard let revision = Self.revision(in: body) else {
            return respond(.text(400, "error unmarshalling request"))
        }
        asker.hash(atRevision: revision) { [asker, core] result in
            var response: PeerResponse
            switch result {
            case .success(let hash):
                response = .json(200, hash.json(of: core.identity.localID).text)
                response.tell(core.identity.clusterID)
            case .failure(let error):
                let prefix = "etcdserver: "
                let text =
                    error.message.hasPrefix(prefix) ? String(error.message.dropFirst(prefix.count)) : error.message
                response = .text(400, text)
            }
            asker.statistics { statistics in
                if let statistics {
                    let state = PeerHash.State(
                        revision: statistics.revision, applied: statistics.appliedIndex,
                        isQuarantined: statistics.quarantine != nil)
                    response.headers.append((PeerHeader.state, state.text))
                }
                respond(response)
            }
        }
    }

    /// The revision that a question for a hash names, 0 where it names none; nil when it cannot be read.
    private static func revision(in body: [UInt8]) -> Int64? {
        guard let json = try? JSON.parse(body) else { return nil }
        switch json {
        case .null: return 0
        case .object: break
        default: return nil
        }
        switch json["revision"] {
        case nil, .null?: return 0
        case .number(let text)?: return Int64(text)
        default: return nil
        }
    }

    /// A copy of the database for another member.
    /// - Parameter finish: called once, on the event loop.
    func database(finish: @escaping (Result<BackendSnapshot, EtcdError>) -> Void) { asker.snapshot(finish: finish) }

    private func divergence(_ head: HTTPRequestHead, _ respond: @escaping (PeerResponse) -> Void) {
        guard head.headers.first(name: PeerHeader.clusterID) == core.identity.clusterID.description else {
            return respond(PeerResponse(.clusterIDMismatch, clusterID: core.identity.clusterID))
        }
        core.accused { finding in
            guard let finding else { return respond(.text(408, "the member does not answer")) }
            respond(.json(200, JSON.object([.init("finding", .string(finding.rawValue))]).text))
        }
    }

    private func downgradeEnabled(_ respond: @escaping (PeerResponse) -> Void) {
        let clusterID = core.identity.clusterID
        asker.ask(.probe(linearizable: true)) { [asker] error in
            if let error { return respond(.text(500, "failed linearized read: \(error.message)")) }
            asker.statistics { statistics in
                guard let statistics else { return respond(.text(500, "the member does not answer")) }
                respond(
                    PeerResponse(
                        200, [("Content-Type", "text/plain"), (PeerHeader.clusterID, clusterID.description)],
                        statistics.isDowngrading ? "true" : "false"))
            }
        }
    }
}

/// How the leader answers a forwarded promotion.
enum PromotionAnswer {
    static func error(of result: Result<PeerAnswer, any Error>) -> EtcdError? {
        guard case .success(let answer) = result else { return .timeout }
        let text = String(decoding: answer.body, as: UTF8.self)
        switch answer.status {
        case 200: return nil
        case 404: return .memberNotFound
        case 408: return .timeout
        case 412: return text.contains("in sync with leader") ? .learnerNotReady : .memberNotLearner
        default: return EtcdError(.unknown, "member promote: unknown error(\(text))")
        }
    }
}

/// The member list in the form that peers exchange.
package enum PeerMemberList {
    package static func text(_ members: [MemberStatistics.Member]) -> String {
        JSON.array(
            members.map { member in
                var fields: [JSON.Member] = [
                    .init("id", .number(String(member.id.rawValue))),
                    .init("peerURLs", .array(member.peerURLs.map(JSON.string))),
                ]
                if member.isLearner { fields.append(.init("isLearner", .bool(true))) }
                if !member.name.isEmpty { fields.append(.init("name", .string(member.name))) }
                if !member.clientURLs.isEmpty {
                    fields.append(.init("clientURLs", .array(member.clientURLs.map(JSON.string))))
                }
                return .object(fields)
            }
        ).text
    }
}
