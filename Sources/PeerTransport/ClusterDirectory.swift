public import Base
public import Member
public import Membership
public import NIOCore
internal import NIOHTTP1
public import TLS

/// Asks the members of a cluster what their cluster is, before a member of it has started here.
public struct ClusterDirectory: Sendable {
    private let connector: PeerConnector
    private let timeout: TimeAmount

    /// - Parameters:
    ///   - timeout: what one member may take to answer.
    ///   - tls: for members with `https` URLs.
    public init(eventLoop: any EventLoop, timeout: Duration, tls: ClientTLS? = nil) {
        connector = PeerConnector(eventLoop: eventLoop, dialTimeout: TimeAmount(timeout), tls: tls)
        self.timeout = TimeAmount(timeout)
    }

    /// The cluster as the first member describes it that answers; nil when none does.
    public func cluster(at urls: [String]) async -> JoinedCluster? {
        for url in urls {
            guard let answer = await ask(url, "/members"), answer.status == 200,
                let text = answer.headers.first(name: PeerHeader.clusterID), let id = UInt64(text, radix: 16),
                let members = Self.members(answer.body), !members.isEmpty
            else { continue }
            return JoinedCluster(id: ClusterID(id), members: members)
        }
        return nil
    }

    private static func members(_ body: [UInt8]) -> [ClusterMember]? {
        guard let document = try? JSON.parse(body) else { return nil }
        return try? document.array?.map { try ClusterMember($0) }
    }

    /// Whether this program speaks the version that the cluster has agreed on.
    /// - Throws: `IncompatibleCluster` when it does not.
    public func checkCompatibility(
        with cluster: JoinedCluster, version: PeerVersion, except own: [String]
    ) async throws(IncompatibleCluster) {
        let own = own.sorted()
        var isAnswered = false
        for member in cluster.members where member.peerURLs.sorted() != own {
            for url in member.peerURLs {
                guard let answer = await ask(url, "/version"), answer.status == 200,
                    let document = try? JSON.parse(answer.body), let text = document["etcdcluster"]?.string
                else { continue }
                isAnswered = true
                // A cluster that has not decided yet is as good as one of the oldest version.
                guard let theirs = PeerVersion(text) else { break }
                if version.isOlder(than: theirs) || theirs.isOlder(than: Self.oldestVersion) {
                    throw IncompatibleCluster(version: text)
                }
                break
            }
        }
        if !isAnswered { throw IncompatibleCluster(version: nil) }
    }

    /// What the members answer when asked for their hash, ordered by ID. All are asked at the same time.
    public func hashes(
        of members: [ClusterMember], atRevision revision: Int64, in cluster: ClusterID
    ) async -> [PeerHash] {
        let promise = connector.eventLoop.makePromise(of: [PeerHash].self)
        connector.eventLoop.execute { [connector, timeout] in
            let round = HashRound(count: members.count) { promise.succeed($0) }
            for member in members {
                PeerHash.ask(
                    member.id, urls: member.peerURLs, revision: revision, clusterID: cluster, through: connector,
                    timeout: timeout
                ) { round.answered($0) }
            }
        }
        return (try? await promise.futureResult.get()) ?? []
    }

    private static let oldestVersion = PeerVersion(major: 3, minor: 0)

    private func ask(_ url: String, _ path: String) async -> PeerAnswer? {
        let promise = connector.eventLoop.makePromise(of: PeerAnswer?.self)
        connector.eventLoop.execute { [connector, timeout] in
            PeerQuestion.ask(url, .GET, path, through: connector, timeout: timeout) { result in
                promise.succeed(try? result.get())
            }
        }
        return try? await promise.futureResult.get()
    }
}

/// A cluster whose version this program does not speak.
public struct IncompatibleCluster: Error, CustomStringConvertible {
    /// nil when nobody answered.
    public var version: String?

    public var description: String {
        "incompatible with current running cluster" + (version.map { " (its version is \($0))" } ?? "")
    }
}
