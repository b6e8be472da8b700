internal import Base
internal import Member
internal import NIOCore
internal import NIOHTTP1

/// Collects the answers of all members to one question for their hash.
final class HashRound {
    private var remaining: Int
    private var answers: [PeerHash] = []
    private let finish: ([PeerHash]) -> Void

    /// - Parameters:
    ///   - count: how many are asked.
    ///   - finish: called once, when all have answered or given up; at once when nobody is asked.
    init(count: Int, finish: @escaping ([PeerHash]) -> Void) {
        remaining = count
        self.finish = finish
        if count == 0 { finish([]) }
    }

    func answered(_ one: PeerHash) {
        answers.append(one)
        remaining -= 1
        if remaining == 0 { finish(answers.sorted { $0.member < $1.member }) }
    }
}

extension PeerHash {
    /// Asks a member at one URL after the other. `finish` is called once, on the event loop.
    /// Format: docs/formats/peer.md, "Hashes".
    static func ask(
        _ member: MemberID, urls: [String], revision: Int64, clusterID: ClusterID, through connector: PeerConnector,
        timeout: TimeAmount, finish: @escaping (PeerHash) -> Void
    ) {
        ask(member, urls[...], revision, clusterID, connector, timeout, reason: "no peer URL", finish)
    }

    private static func ask(
        _ member: MemberID, _ urls: ArraySlice<String>, _ revision: Int64, _ clusterID: ClusterID,
        _ connector: PeerConnector, _ timeout: TimeAmount, reason: String, _ finish: @escaping (PeerHash) -> Void
    ) {
        guard let url = urls.first else { return finish(PeerHash(member: member, answer: .none(reason))) }
        let body = JSON.object([.init("revision", .number(String(revision)))]).text
        let headers = HTTPHeaders([
            ("Content-Type", "application/json"), (PeerHeader.clusterID, clusterID.description),
        ])
        PeerQuestion.ask(
            url, .GET, "/members/hashkv", headers: headers, body: Array(body.utf8), through: connector,
            timeout: timeout
        ) { result in
            let answer = Answer(result)
            if case .none(let reason) = answer {
                return ask(
                    member, urls.dropFirst(), revision, clusterID, connector, timeout, reason: reason, finish)
            }
            var state: State?
            if case .success(let answer) = result {
                state = answer.headers.first(name: PeerHeader.state).flatMap { State($0) }
            }
            finish(PeerHash(member: member, answer: answer, state: state))
        }
    }
}

extension PeerHash.Answer {
    init(_ result: Result<PeerAnswer, any Error>) {
        switch result {
        case .failure(let error): self = .none("\(error)")
        case .success(let answer):
            let text = String(decoding: answer.body, as: UTF8.self)
            switch answer.status {
            case 200:
                guard let json = try? JSON.parse(answer.body),
                    let hash = MemberHash(json)
                else {
                    self = .none("an answer that cannot be read")
                    return
                }
                self = .hash(hash)
            case 400 where text.contains("required revision is a future revision"): self = .futureRevision
            case 400 where text.contains("required revision has been compacted"): self = .compacted
            case 412: self = .otherCluster
            default: self = .none("unexpected http status \(answer.status): \(text)")
            }
        }
    }
}

extension MemberHash {
    /// Fields that are zero may be left out.
    init?(_ json: JSON) {
        guard case .object = json else { return nil }
        func number(_ value: JSON?) -> Int64? {
            guard let value else { return 0 }
            guard case .number(let text) = value else { return nil }
            return Int64(text)
        }
        guard let hash = number(json["hash"]).flatMap({ UInt32(exactly: $0) }),
            let compactRevision = number(json["compact_revision"]), let newest = number(json["header"]?["revision"])
        else { return nil }
        self.init(hash: hash, compactRevision: compactRevision, newestRevision: newest)
    }
}

extension PeerHash.State {
    /// Reads the header that Martlets add: revision, applied index and whether it is in quarantine, such as `17 42 0`.
    init?(_ text: String) {
        let parts = text.split(separator: " ")
        guard parts.count == 3, let revision = Int64(parts[0]), let applied = UInt64(parts[1]) else { return nil }
        self.init(revision: revision, applied: LogIndex(applied), isQuarantined: parts[2] == "1")
    }

    var text: String { "\(revision) \(applied) \(isQuarantined ? 1 : 0)" }
}

// What members ask each other when their data may differ. Used on the event loop only.
extension TransportCore {
    func carry(out work: CorruptionWork) {
        switch work {
        case .askHashes(let number, let revision): askHashes(number, revision)
        case .accuse(let member): accuse(member)
        case .fetchDatabase(let members): fetchDatabase(from: members[...])
        case .answerAccusation(let number, let finding): accusations.removeValue(forKey: number)?(finding)
        }
    }

    private func askHashes(_ number: UInt64, _ revision: Int64) {
        let asking = HashRound(count: peers.count) { [weak self] answers in
            self?.tell(.corruption(.hashes(number: number, answers)))
        }
        for peer in peers {
            PeerHash.ask(
                peer.id, urls: peer.urls.urls, revision: revision, clusterID: identity.clusterID, through: connector,
                timeout: requestTimeout
            ) { asking.answered($0) }
        }
    }

    private func accuse(_ member: MemberID) {
        let url = peer(member)?.urls.current ?? ""
        PeerQuestion.ask(
            url, .POST, "/martlet/divergence",
            headers: HTTPHeaders([(PeerHeader.clusterID, identity.clusterID.description)]), through: connector,
            timeout: requestTimeout
        ) { [weak self] result in
            var finding: SelfFinding?
            if case .success(let answer) = result, answer.status == 200, let json = try? JSON.parse(answer.body) {
                finding = json["finding"]?.string.flatMap { SelfFinding(rawValue: $0) }
            }
            self?.tell(.corruption(.accusationAnswered(member, finding)))
        }
    }

    /// Another member says that this one's data differ.
    /// - Parameter finish: called once, with what the member has found; nil when it does not answer.
    func accused(_ finish: @escaping (SelfFinding?) -> Void) {
        guard accusations.count < PeerLimits.accusations else { return finish(nil) }
        lastAccusation += 1
        let number = lastAccusation
        accusations[number] = finish
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.scheduleTask(in: requestTimeout) {
            bound.value.accusations.removeValue(forKey: number)?(nil)
        }
        tell(.corruption(.accused(number: number)))
    }
}
