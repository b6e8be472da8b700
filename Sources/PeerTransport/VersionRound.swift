internal import Base
internal import Member
internal import NIOCore
internal import NIOHTTP1

/// Collects the answers of all members to one question for their versions.
final class VersionRound {
    private var remaining: Int
    private var versions: [PeerVersions] = []
    private let finish: ([PeerVersions]) -> Void

    /// - Parameters:
    ///   - count: how many are asked.
    ///   - finish: called once, when all have answered or given up; at once when nobody is asked.
    init(count: Int, finish: @escaping ([PeerVersions]) -> Void) {
        remaining = count
        self.finish = finish
        if count == 0 { finish([]) }
    }

    func answered(_ one: PeerVersions) {
        versions.append(one)
        remaining -= 1
        if remaining == 0 { finish(versions.sorted { $0.member < $1.member }) }
    }
}

extension PeerVersions {
    /// Asks a member at one URL after the other. `finish` is called once, on the event loop.
    static func ask(
        _ member: MemberID, urls: [String], through connector: PeerConnector, timeout: TimeAmount,
        finish: @escaping (PeerVersions) -> Void
    ) {
        guard let url = urls.first else { return finish(PeerVersions(member: member, server: nil, cluster: nil)) }
        PeerQuestion.ask(url, .GET, "/version", through: connector, timeout: timeout) { result in
            if case .success(let answer) = result, answer.status == 200, let json = try? JSON.parse(answer.body) {
                finish(
                    PeerVersions(
                        member: member, server: json["etcdserver"]?.string, cluster: json["etcdcluster"]?.string))
            } else {
                ask(member, urls: Array(urls.dropFirst()), through: connector, timeout: timeout, finish: finish)
            }
        }
    }
}
