package import Base
internal import Member

/// What a discovery service holds about one cluster that is being founded, in the layout of etcd 3.6: the number of
/// members under `/_etcd/registry/<token>/_config/size`, and under `/_etcd/registry/<token>/members/<ID>` each member's
/// `name=URL,name=URL`. Who came first, by create revision, is in. docs/decisions/139-discovery.md
package struct DiscoveryRegistry: Sendable {
    /// A key of the service and what is under it.
    package struct Row: Sendable, Equatable {
        package var key: String
        package var value: String
        package var createRevision: Int64

        package init(key: String, value: String, createRevision: Int64) {
            self.key = key
            self.value = value
            self.createRevision = createRevision
        }
    }

    private static let root = ["_etcd", "registry"]

    private let prefix: String

    /// - Parameter token: may have slashes; it is cleaned as Go cleans paths.
    package init(token: String) {
        var parts = Self.root
        for part in token.split(separator: "/") where part != "." {
            if part == ".." { _ = parts.popLast() } else { parts.append(String(part)) }
        }
        prefix = "/" + parts.joined(separator: "/")
    }

    package var sizeKey: String { prefix + "/_config/size" }
    package var membersPrefix: String { prefix + "/members" }
    package func memberKey(_ id: MemberID) -> String { "\(membersPrefix)/\(id)" }

    /// The number of members, from what is under `sizeKey`.
    package func size(_ value: String?) throws(DiscoveryFailure) -> Int {
        guard let value else { throw .sizeNotFound(key: sizeKey) }
        guard let size = Int(value), size > 0 else { throw .badSize(key: sizeKey, value: value) }
        return size
    }

    /// The members that have registered, first come first, and what else was found there.
    package func members(_ rows: [Row]) -> (members: [Row], strays: [Row]) {
        var members: [Row] = []
        var strays: [Row] = []
        for row in rows {
            let trimmed = Row(
                key: row.key.trimmingSpaces, value: row.value.trimmingSpaces, createRevision: row.createRevision)
            let isMember = trimmed.key.hasPrefix(membersPrefix) && trimmed.value.contains("=")
            if isMember && !members.contains(where: { $0.key == trimmed.key }) {
                members.append(trimmed)
            } else {
                strays.append(row)
            }
        }
        return (members.sorted { ($0.createRevision, $0.key) < ($1.createRevision, $1.key) }, strays)
    }

    /// Whether a member is among the first `size`, or may still become one of them.
    package func checkPlace(of id: MemberID, among members: [Row], size: Int) throws(DiscoveryFailure) {
        let first = members.prefix(size)
        guard first.count < size || first.contains(where: { $0.key == memberKey(id) }) else { throw .clusterIsFull }
    }

    /// The cluster of the first `size` members.
    package func initialCluster(_ members: [Row], size: Int) throws(DiscoveryFailure) -> [InitialCluster.Pair] {
        var pairs: [InitialCluster.Pair] = []
        for member in members.prefix(size) {
            let own: [InitialCluster.Pair]
            do throws(ValueError) { own = try InitialCluster.parse(member.value) } catch {
                throw .invalidURL(key: member.key, value: member.value)
            }
            // etcd takes members of one name for one, and then founds a cluster that is too small.
            if let pair = own.first(where: { pair in pairs.contains { $0.name == pair.name } }) {
                throw .duplicateName(pair.name)
            }
            pairs += own
        }
        return pairs
    }
}

/// Why a discovery service cannot help.
package enum DiscoveryFailure: Error, Equatable, CustomStringConvertible {
    case sizeNotFound(key: String)
    case badSize(key: String, value: String)
    case clusterIsFull
    case invalidURL(key: String, value: String)
    case duplicateName(String)
    /// The service refuses, and would do so again.
    case refused(String)
    /// It did not answer, or not now.
    case unavailable(String)
    case tooManyRetries(String)

    package var description: String {
        switch self {
        case .sizeNotFound(let key):
            "discovery: size key not found; put the number of members under \(key), or correct --discovery-token"
        case .badSize(let key, let value): "discovery: size key is bad: \(key) is \"\(value)\""
        case .clusterIsFull: "discovery: cluster is full"
        case .invalidURL(let key, let value): "discovery: invalid peer URL: \(key) is \"\(value)\""
        case .duplicateName(let name):
            "discovery: two members are called \"\(name)\"; give each its own --name, and found the cluster with another "
                + "token"
        case .refused(let reason), .unavailable(let reason): "discovery: \(reason)"
        case .tooManyRetries(let reason): "discovery: too many retries: \(reason)"
        }
    }
}
