internal import Base
internal import EtcdProto
internal import MVCC
public import Membership
public import RaftCore

/// The membership as the log makes it, from a snapshot on, with nothing else of the state: for data directories whose
/// backend file cannot be believed in this (docs/decisions/093-which-membership-counts.md).
public struct MembershipReplay {
    public private(set) var cluster: RaftCluster
    /// Requests of the v2 API met so far.
    public private(set) var legacyRequests = 0

    private let learnerLimit: Int

    /// - Parameter learnerLimit: the limit that was in force when the entries were applied.
    public init(from cluster: RaftCluster, learnerLimit: Int = RaftCluster.defaultLearnerLimit) {
        self.cluster = cluster
        self.learnerLimit = learnerLimit
    }

    /// Takes an entry into account. What was refused when it was applied, or cannot be read, changes nothing.
    public mutating func apply(_ entry: Entry) {
        switch entry.type {
        case .normal: if !entry.data.isEmpty { take(news(of: entry)) }
        case .confChange:
            guard let change = try? ConfChange(decoding: entry.data), let wanted = try? MembershipChange(change),
                (try? cluster.validate(wanted, learnerLimit: learnerLimit)) != nil
            else { return }
            cluster.apply(wanted)
        case .confChangeV2: break
        }
    }

    private mutating func news(of entry: Entry) -> ClusterNews? {
        guard let request = try? InternalRequest(entry.data) else {
            legacyRequests += 1
            return (try? LegacyRequest(entry.data, at: entry.data.indices)).flatMap(ClusterNews.init)
        }
        switch request.body {
        case .legacy(let range):
            legacyRequests += 1
            return (try? LegacyRequest(entry.data, at: range)).flatMap(ClusterNews.init)
        case .request(.clusterVersionSet, let range): return try? ClusterNews(version: entry.data, at: range)
        case .request(.clusterMemberAttributesSet, let range):
            return try? ClusterNews(attributes: entry.data, at: range)
        case .request, .unknown, .none: return nil
        }
    }

    private mutating func take(_ news: ClusterNews?) {
        switch news {
        case .attributes(let member, let name, let urls):
            _ = try? cluster.updateAttributes(of: member, name: name, clientURLs: urls)
        case .version(let text):
            if let version = try? SemanticVersion(parsing: text) { cluster.setVersion(version) }
        case nil: break
        }
    }
}
