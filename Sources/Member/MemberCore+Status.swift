internal import Apply
internal import Base
internal import EtcdProto
internal import MVCC
internal import Membership
internal import SwiftProtobuf

// What a member tells about itself.
extension MemberCore {
    func answerStatus(to address: ReplyAddress) {
        var response = Etcdserverpb_StatusResponse()
        response.header = fullHeader
        response.version = "\(ServerVersion.etcd)"
        response.dbSize = Int64(applier.backend.size)
        response.dbSizeInUse = Int64(applier.backend.sizeInUse)
        response.dbSizeQuota = configuration.quotaBytes ?? 0
        response.leader = node.leader.rawValue
        response.raftIndex = node.committed.rawValue
        response.raftTerm = node.term.rawValue
        response.raftAppliedIndex = node.applied.rawValue
        response.isLearner = applier.cluster.local?.isLearner ?? false
        response.storageVersion = storageVersion
        response.downgradeInfo.enabled = applier.cluster.downgrade.isEnabled
        response.downgradeInfo.targetVersion = applier.cluster.downgrade.targetText
        if node.leader == .none { response.errors.append(EtcdError.noLeader.message) }
        for alarm in alarms { response.errors.append("memberID:\(alarm.member.rawValue) alarm:\(alarm.kind.name)") }
        response.errors += divergenceErrors
        if let quarantine { response.errors.append("\(EtcdError.quarantined.message): \(quarantine.reason)") }
        answer(response, to: address)
    }

    func answerMemberList(to address: ReplyAddress) {
        var response = Etcdserverpb_MemberListResponse()
        response.header = clusterHeader
        response.members = applier.cluster.members.sorted { $0.peerURLs.first ?? "" < $1.peerURLs.first ?? "" }
            .map(\.message)
        answer(response, to: address)
    }

    func answer(_ response: some SwiftProtobuf.Message, to address: ReplyAddress) {
        outbox.answer(address) { out throws(EtcdError) in
            do { out.append(contentsOf: try response.serializedBytes() as [UInt8]) } catch {
                throw EtcdError(.internal, "encoding the response: \(error)")
            }
        }
    }

    /// The header of answers about the cluster, which carry no revision.
    var clusterHeader: Etcdserverpb_ResponseHeader {
        var header = fullHeader
        header.revision = 0
        return header
    }

    var fullHeader: Etcdserverpb_ResponseHeader {
        var header = Etcdserverpb_ResponseHeader()
        header.clusterID = clusterID.rawValue
        header.memberID = localID.rawValue
        header.revision = applier.store.currentRevision
        header.raftTerm = node.term.rawValue
        return header
    }

    var storageVersion: String {
        guard let text = try? applier.backend.get(MetaKey.storageVersion, in: .meta) else {
            return applier.backend.consistentTerm > .zero ? "3.5.0" : ""
        }
        return String(decoding: text, as: UTF8.self)
    }

    private var alarms: [MemberStatistics.Alarm] {
        applier.alarms.all.map { .init(member: $0.member, kind: .init(rawValue: Int32($0.kind.rawValue))) }
    }

    package func statistics() -> MemberStatistics {
        var figures = figures
        let store = applier.store
        let backend = applier.backend
        figures.isLearner = applier.cluster.local?.isLearner ?? false
        figures.members = applier.cluster.members.map {
            .init(
                id: $0.id, name: $0.name, peerURLs: $0.peerURLs, clientURLs: $0.clientURLs, isLearner: $0.isLearner)
        }
        figures.clusterVersion = applier.cluster.version.map { "\($0)" } ?? ""
        figures.storageVersion = storageVersion
        figures.isDowngrading = applier.cluster.downgrade.isEnabled
        figures.term = node.term
        figures.leader = node.leader
        figures.committedIndex = node.committed
        figures.appliedIndex = node.applied
        figures.proposalsPending = pending.count
        figures.isInstallingSnapshot = installing != nil
        figures.readIndexesSlow = reads.slowRounds
        figures.effects = backend.effects.finished
        figures.effectsAgreed = effectsLedger.agreed
        figures.effectsComparisons = effectsLedger.comparisons
        figures.divergences = divergences
        figures.revision = store.currentRevision
        figures.compactRevision = store.compactRevision
        figures.keys = store.keyCount
        figures.databaseSize = Int64(backend.size)
        figures.databaseSizeInUse = Int64(backend.sizeInUse)
        figures.quota = configuration.quotaBytes ?? 0
        // The member always holds the version that it reads from.
        figures.openReadTransactions = 1
        figures.puts = UInt64(store.counters.puts)
        figures.deletes = UInt64(store.counters.deletes)
        figures.ranges = UInt64(store.counters.ranges)
        figures.txns = UInt64(store.counters.txns)
        figures.putBytes = UInt64(store.counters.putBytes)
        figures.compactedKeys = UInt64(store.counters.compactedRows)
        figures.alarms = alarms
        figures.quarantine = corruption.quarantine?.reason
        return figures
    }
}
