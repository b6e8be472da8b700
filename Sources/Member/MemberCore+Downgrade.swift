internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership
internal import Platform

// The way down to the minor version below: asked for by an operator, begun and ended through the log, made by the
// leader (docs/decisions/131-downgrade.md).
extension MemberCore {
    /// The oldest version that a downgrade can lead to: older programs end at its entries in the log.
    private static let oldestTarget = SemanticVersion(major: 3, minor: 5)

    private enum DowngradeAction {
        static let validate: UInt64 = 0
        static let enable: UInt64 = 1
        static let cancel: UInt64 = 2
    }

    /// Takes in a request: what it says is checked now, whether it fits the cluster once this member's state is known
    /// to be the newest.
    func acceptDowngrade(
        _ message: [UInt8], _ request: ClientRequest, _ address: ReplyAddress, _ deadline: Instant
    ) throws(EtcdError) {
        let (action, version) = try decodeDowngrade(message)
        switch action {
        case DowngradeAction.validate, DowngradeAction.enable: _ = try Self.target(version)
        case DowngradeAction.cancel: break
        default: throw .unknownMethod
        }
        try enqueue(request, address, deadline)
    }

    private static func target(_ text: String) throws(EtcdError) -> SemanticVersion {
        do { return try SemanticVersion(downgradeTarget: text) } catch { throw .wrongDowngradeVersionFormat }
    }

    private func decodeDowngrade(_ message: [UInt8]) throws(EtcdError) -> (action: UInt64, version: String) {
        try decode { () throws(WireError) in
            var action = DowngradeAction.validate
            var version = ""
            var cursor = WireCursor(message.indices)
            while let (field, value) = try cursor.next(in: message.span) {
                if field == 1 { action = try value.unsigned(field) }
                if field == 2 { version = String(decoding: message[try value.bytes(field)], as: UTF8.self) }
            }
            return (action, version)
        }
    }

    /// The read index that the request waited for has been applied.
    func downgrade(_ message: [UInt8], to address: ReplyAddress, _ deadline: Instant) throws(EtcdError) {
        let (action, text) = try decodeDowngrade(message)
        let isUnderWay = applier.cluster.downgrade.isEnabled
        if action == DowngradeAction.cancel {
            // As etcd since 3.6: nothing is wrong with giving up what was never begun.
            guard isUnderWay else { return answerDowngrade(to: address) }
            return try proposeDowngrade(.none, .downgrade(address), deadline)
        }
        guard let current = applier.cluster.version else { throw .clusterVersionUnavailable }
        let target = try Self.target(text)
        guard target >= Self.oldestTarget, target == current.downgradeTarget else { throw .invalidDowngradeTarget }
        guard !isUnderWay else { throw .downgradeInProgress }
        guard action == DowngradeAction.enable else { return answerDowngrade(to: address) }
        try proposeDowngrade(
            DowngradeInfo(isEnabled: true, targetText: "\(target)"), .downgrade(address), deadline)
    }

    private func proposeDowngrade(
        _ info: DowngradeInfo, _ waiter: PendingRequests.Waiter, _ deadline: Instant
    ) throws(EtcdError) {
        guard pending.count < MemberLimits.pendingRequests else { throw .tooManyRequests }
        let id = ids.next()
        let message = OwnMessage.downgrade(enabled: info.isEnabled, target: info.targetText)
        queueProposal(ProposalKind.downgradeInfoSet.entry(message, requestID: id), id)
        pending.insert(id, waiter, since: now, deadline: deadline)
    }

    func answerDowngrade(to address: ReplyAddress) {
        var response = Etcdserverpb_DowngradeResponse()
        response.header = fullHeader
        response.version = applier.cluster.version.map { "\($0.major).\($0.minor)" } ?? ""
        answer(response, to: address)
    }

    // MARK: The leader's part

    /// The version to which the leader takes the cluster for a downgrade; nil while there is nothing to do for it: none
    /// is under way, it is there already, or a member is too old or silent.
    var downgradeStep: SemanticVersion? {
        guard let target = applier.cluster.downgrade.target, target >= Self.oldestTarget,
            target == applier.cluster.version?.downgradeTarget
        else { return nil }
        for member in applier.cluster.members where member.id != localID {
            guard let version = serverVersion(of: member.id), version >= target else { return nil }
        }
        return target
    }

    /// Ends the downgrade when all members run the program that it leads to.
    func watchDowngrade() {
        guard let interval = configuration.downgradeCheckInterval, node.isLeader, now >= nextDowngradeCheck else {
            return
        }
        nextDowngradeCheck = now + interval
        guard !isEndingDowngrade, let target = applier.cluster.downgrade.target,
            ServerVersion.etcd.majorMinor == target,
            applier.cluster.members.allSatisfy({ $0.id == localID || serverVersion(of: $0.id) == target })
        else { return }
        log(.info, "the cluster has been downgraded", ["cluster-version": "\(target)"])
        do throws(EtcdError) {
            try proposeDowngrade(.none, .own(.downgradeEnd), now + configuration.requestTimeout)
            isEndingDowngrade = true
        } catch {
            log(.warn, "failed to cancel downgrade", ["error": "\(error)"])
        }
    }

    private func serverVersion(of id: MemberID) -> SemanticVersion? {
        peers.version(of: id).flatMap { try? SemanticVersion(parsing: $0) }?.majorMinor
    }
}
