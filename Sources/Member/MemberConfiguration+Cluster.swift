internal import Base
internal import Membership
public import Platform
internal import WAL

// What etcd checks of `--initial-cluster` before a member founds or joins a cluster, in its words.
extension MemberConfiguration {
    /// Checks what can be known without asking anybody.
    /// - Throws: `.configuration`.
    public func validateInitialCluster(joins: Bool) throws(MemberError) {
        _ = try localURLs()
        if !joins { try validateAdvertisedURLs() }
        var seen: Set<String> = []
        for pair in initialCluster where !seen.insert(pair.peerURL).inserted {
            throw MemberError(.configuration, "initial cluster \(described(initialCluster)) has duplicate url")
        }
    }

    /// Whether advertised peer URLs and this member's own in the initial cluster are the same texts; otherwise they may
    /// still be the same addresses.
    public var advertisesAsListed: Bool {
        initialCluster.filter { $0.name == name }.map(\.peerURL).sorted() == peerURLs.sorted()
    }

    /// This member's peer URLs in the initial cluster.
    func localURLs() throws(MemberError) -> [String] {
        let urls = initialCluster.filter { $0.name == name }.map(\.peerURL)
        guard !urls.isEmpty else {
            throw MemberError(
                .configuration, "couldn't find local name \"\(name)\" in the initial cluster configuration")
        }
        return urls
    }

    private func validateAdvertisedURLs() throws(MemberError) {
        let listed = try localURLs()
        guard !isSame(listed, peerURLs) else { return }
        let advertised = peerURLs.sorted().joined(separator: ",")
        let notAdvertised = listed.filter { !peerURLs.contains($0) }
        if !notAdvertised.isEmpty {
            let missing = notAdvertised.map { "\(name)=\($0)" }.joined(separator: ",")
            throw MemberError(
                .configuration,
                "--initial-cluster has \(missing) but missing from --initial-advertise-peer-urls=\(advertised)")
        }
        let own = described(listed.map { FoundingMember(name: name, peerURL: $0) })
        let notListed = peerURLs.filter { !listed.contains($0) }
        if !notListed.isEmpty {
            throw MemberError(
                .configuration,
                "--initial-advertise-peer-urls has \(notListed.joined(separator: ",")) but missing from "
                    + "--initial-cluster=\(own)")
        }
        throw MemberError(.configuration, "failed to resolve \(advertised) to match --initial-cluster=\(own)")
    }

    /// Whether two lists of URLs name the same addresses, as far as `resolvedURLs` tells.
    func isSame(_ some: [String], _ others: [String]) -> Bool {
        if some.sorted() == others.sorted() { return true }
        return some.map(resolved).sorted() == others.map(resolved).sorted()
    }

    private func resolved(_ url: String) -> String { resolvedURLs[url] ?? url }

    private func described(_ members: [FoundingMember]) -> String {
        members.map { "\($0.name)=\($0.peerURL)" }.joined(separator: ",")
    }

    /// The members that `initialCluster` names: pairs of one name are one member.
    func foundingMembers() -> [ClusterMember] {
        var urls: [(name: String, urls: [String])] = []
        for pair in initialCluster {
            if let i = urls.firstIndex(where: { $0.name == pair.name }) {
                urls[i].urls.append(pair.peerURL)
            } else {
                urls.append((pair.name, [pair.peerURL]))
            }
        }
        return urls.map {
            ClusterMember(id: MemberID(peerURLs: $0.urls, token: initialClusterToken), peerURLs: $0.urls, name: $0.name)
        }
    }
}

extension MemberConfiguration {
    /// Whether the member has been started before, on the same data: what only founding and joining need is not looked
    /// at any more then.
    public func hasLog(on disk: any Disk) throws(MemberError) -> Bool {
        do { return try WriteAheadLog.exists(on: disk, directory: effectiveWALDirectory) } catch {
            throw MemberError(.dataDirectory, "cannot look for a log: \(error)")
        }
    }
}
