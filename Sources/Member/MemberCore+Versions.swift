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
        guard leader != .none, !hasPublished || needsVersionDecision, applier.cluster.local != nil,
            let form = requestForm
        else { return }
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
                propose(own: .publish, deadline) {
                    LegacyMessage.attributes(
                        of: localID, name: configuration.name, clientURLs: configuration.clientURLs, requestID: $0)
                }
            }
        }
        if needsVersionDecision { decideVersion(form, deadline) }
    }

    /// Whether this member has to see to the version of the cluster. A version that has been agreed on is only raised
    /// when the operator says so: the way back ends there (docs/decisions/092-the-way-back.md).
    private var needsVersionDecision: Bool {
        guard node.isLeader, !isSettingVersion else { return false }
        guard let current = applier.cluster.version, current > Self.oldestClusterVersion else { return true }
        if applier.cluster.downgrade.isEnabled { return downgradeStep != nil }
        return configuration.raisesClusterVersion && current < ServerVersion.etcd.majorMinor
    }

    private func decideVersion(_ form: RequestForm, _ deadline: Instant) {
        let current = applier.cluster.version
        let step = downgradeStep
        guard let version = step ?? decidedVersion ?? (current == nil ? Self.oldestClusterVersion : nil),
            step != nil || current.map({ $0 < version }) ?? true
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
                LegacyMessage.clusterVersion("\(version)", requestID: $0)
            }
        }
    }

    /// The oldest version among all members, and at most what the data directory is taken to be of, unless it may be
    /// raised; nil while the version of a member is unknown.
    private var decidedVersion: SemanticVersion? {
        var oldest = configuration.raisesClusterVersion ? ServerVersion.etcd.majorMinor : assumedVersion
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
    /// before 3.5 end at an entry of the new form, those from 3.7 on at one of the old form; 3.5 takes both and writes
    /// the old one.
    private var requestForm: RequestForm? {
        if let version = applier.cluster.version, version > Self.oldestClusterVersion {
            return version < DirectoryVersion.modern ? .legacy : .own
        }
        if let decided = decidedVersion { return decided < DirectoryVersion.modern ? .legacy : .own }
        // Somebody cannot be asked. Those who answered decide, once everybody had the time to.
        guard now - peers.startedAt >= Self.versionPatience else { return nil }
        let known = applier.cluster.members.compactMap { peers.version(of: $0.id) }.compactMap {
            try? SemanticVersion(parsing: $0)
        }
        return known.contains { $0 < DirectoryVersion.modern } ? .legacy : .own
    }

    /// How long after its start a member waits for the versions of all others.
    private static let versionPatience: Duration = .seconds(6)

    private func propose(own: PendingRequests.OwnProposal, _ deadline: Instant, _ entry: (UInt64) -> [UInt8]) {
        let id = ids.next()
        queueProposal(entry(id), id)
        pending.insert(id, .own(own), since: now, deadline: deadline)
    }
}
