internal import Apply
internal import Base
internal import EtcdProto
internal import Membership
internal import Platform

// What a member tells the cluster of itself, and the version that all members speak.
extension MemberCore {
    /// How often the leader asks all members for their versions.
    static let versionRoundInterval: Duration = .seconds(4)
    /// What a cluster is set to while not all of its members have said their version.
    static let oldestClusterVersion = SemanticVersion(major: 3, minor: 0)
    /// The first version whose members understand requests of their own for attributes and version; those before know
    /// only changes of the v2 tree.
    static let firstWithOwnRequests = SemanticVersion(major: 3, minor: 5)

    /// Asks the others for their versions when they are needed.
    func watchCluster() {
        guard node.isLeader || needsVersions, hasOthers, !peers.isAskingVersions, now >= peers.nextVersionRound else {
            return
        }
        peers.isAskingVersions = true
        peers.nextVersionRound = now + Self.versionRoundInterval
        outgoing.asksVersions = true
    }

    private var hasOthers: Bool { applier.cluster.members.contains { $0.id != localID } }

    /// Whether something waits for the versions of the others.
    private var needsVersions: Bool { leader != .none && !hasPublished && requestForm == nil }

    /// Tells the cluster this member's name and client URLs, and, as the leader, the version that all members speak.
    func publish() {
        guard leader != .none, applier.cluster.local != nil, let form = requestForm else { return }
        let deadline = now + configuration.requestTimeout
        if !hasPublished {
            hasPublished = true
            switch form {
            case .own:
                let message = OwnMessage.attributes(
                    of: localID, name: configuration.name, clientURLs: configuration.clientURLs)
                propose(own: .publish, deadline) {
                    ProposalKind.clusterMemberAttributesSet.entry(message, requestID: $0)
                }
            case .legacy:
                let (path, value) = legacyAttributes
                propose(own: .publish, deadline) { OwnMessage.legacyPut(path, value, requestID: $0) }
            }
        }
        decideVersion(form, deadline)
    }

    private func decideVersion(_ form: RequestForm, _ deadline: Instant) {
        guard node.isLeader, !isSettingVersion else { return }
        let current = applier.cluster.version
        guard let version = decidedVersion ?? (current == nil ? Self.oldestClusterVersion : nil),
            current.map({ $0 < version }) ?? true
        else { return }
        isSettingVersion = true
        if let current {
            log(
                .info, "updating cluster version using raft API",
                ["from": "\(current.majorMinor)", "to": "\(version.majorMinor)"])
        } else {
            log(.info, "setting up initial cluster version", ["cluster-version": "\(version)"])
        }
        switch form {
        case .own:
            propose(own: .clusterVersion, deadline) {
                ProposalKind.clusterVersionSet.entry(OwnMessage.clusterVersion("\(version)"), requestID: $0)
            }
        case .legacy:
            propose(own: .clusterVersion, deadline) {
                OwnMessage.legacyPut("/0/version", "\(version)", requestID: $0)
            }
        }
    }

    /// The oldest version among all members; nil while one is unknown.
    private var decidedVersion: SemanticVersion? {
        var oldest = ServerVersion.etcd.majorMinor
        for member in applier.cluster.members where member.id != localID {
            guard let text = peers.version(of: member.id), let version = try? SemanticVersion(parsing: text) else {
                return nil
            }
            oldest = min(oldest, version.majorMinor)
        }
        return oldest
    }

    private enum RequestForm { case own, legacy }

    /// How members tell each other of attributes and version: in the form that the oldest of them understands. Members
    /// before 3.5 end at an entry of the new form, those from 3.7 on at one of the old form.
    private var requestForm: RequestForm? {
        if let version = applier.cluster.version, version > Self.oldestClusterVersion {
            return version < Self.firstWithOwnRequests ? .legacy : .own
        }
        if let decided = decidedVersion { return decided < Self.firstWithOwnRequests ? .legacy : .own }
        // Somebody cannot be asked. Those who answered decide, once everybody had the time to.
        guard now - peers.startedAt >= Self.versionPatience else { return nil }
        let known = applier.cluster.members.compactMap { peers.version(of: $0.id) }.compactMap {
            try? SemanticVersion(parsing: $0)
        }
        return known.contains { $0 < Self.firstWithOwnRequests } ? .legacy : .own
    }

    /// How long after its start a member waits for the versions of all others.
    private static let versionPatience: Duration = .seconds(6)

    private var legacyAttributes: (path: String, value: String) {
        var fields: [JSON.Member] = [.init("name", .string(configuration.name))]
        if !configuration.clientURLs.isEmpty {
            fields.append(.init("clientURLs", .array(configuration.clientURLs.map(JSON.string))))
        }
        return ("/0/members/\(localID)/attributes", JSON.object(fields).text)
    }

    private func propose(own: PendingRequests.OwnProposal, _ deadline: Instant, _ entry: (UInt64) -> [UInt8]) {
        let id = ids.next()
        proposals.append(entry(id))
        pending.insert(id, .own(own), deadline: deadline)
    }
}

extension OwnMessage {
    /// A `Request` of the v2 API that puts a value, as members before 3.5 log it: without an envelope, every field
    /// written.
    static func legacyPut(_ path: String, _ value: String, requestID: UInt64) -> [UInt8] {
        var out: [UInt8] = []
        Wire.appendVarintField(1, requestID, to: &out)
        Wire.appendBytesField(2, "PUT".utf8, to: &out)
        Wire.appendBytesField(3, path.utf8, to: &out)
        Wire.appendBytesField(4, value.utf8, to: &out)
        Wire.appendVarintField(5, 0, to: &out)
        Wire.appendBytesField(6, "".utf8, to: &out)
        for field in [7, 9, 10, 11, 12, 13, 14, 15, 16] { Wire.appendVarintField(field, 0, to: &out) }
        return out
    }
}
