internal import Apply
package import Base
public import EtcdProto
internal import MVCC
internal import Membership
internal import Platform

/// Why a member serves nobody: its data differ from those of a quorum. The mark lies in the store that differs, so it
/// goes with that store, whatever takes its place.
package struct Quarantine: Sendable, Equatable {
    /// What has shown the difference.
    package enum Evidence: String, Sendable {
        /// The rows of bucket `key`: as soon as a quorum has the same there is none any more.
        case rows
        /// What entries did: the difference may lie outside of those rows, and goes only with the data.
        case effects
    }

    package var reason: String
    package var evidence: Evidence
    /// Members that are right and can give their database; nil when it is not known.
    package var healthy: [MemberID]?

    package init(reason: String, evidence: Evidence, healthy: [MemberID]? = nil) {
        self.reason = reason
        self.evidence = evidence
        self.healthy = healthy
    }

    /// Reads the mark: the evidence, a colon and the reason.
    init?(in backend: Backend) throws(BackendError) {
        guard let mark = try backend.get(MartletKey.quarantine, in: .martlet) else { return nil }
        let parts = mark.split(separator: UInt8(ascii: ":"), maxSplits: 1, omittingEmptySubsequences: false)
            .map { String(decoding: $0, as: UTF8.self) }
        self.init(reason: parts.last ?? "", evidence: Evidence(rawValue: parts[0]) ?? .rows)
    }

    func store(in backend: Backend) {
        backend.put(MartletKey.quarantine, Array("\(evidence.rawValue):\(reason)".utf8), in: .martlet)
    }
}

extension EtcdError {
    /// Clients try another member on this code.
    public static let quarantined = EtcdError(
        .unavailable, "martlet: this member is in quarantine: its data differ from those of the other members")
}

extension ClientRequest.Body {
    /// Whether a member in quarantine refuses it: everything that shows or depends on its data. The serializable probe
    /// asks whether the process lives.
    var isRefusedInQuarantine: Bool {
        switch self {
        case .range, .put, .deleteRange, .txn, .compaction, .snapshot, .probe(true), .leaseGrant, .leaseRevoke, .leases,
            .lease:
            true
        case .probe(false), .alarm, .defragment, .hashKV, .status, .memberList, .memberAdd, .memberRemove,
            .memberUpdate, .memberPromote, .moveLeader, .downgrade:
            false
        }
    }
}

// Quarantine: docs/decisions/124-quarantine.md.
extension MemberCore {
    package var quarantine: Quarantine? { corruption.quarantine }

    /// What the store says, at the start and after it has been replaced.
    func restoreQuarantine() {
        do throws(BackendError) {
            guard var quarantine = try Quarantine(in: applier.backend) else { return }
            if quarantine.evidence == .effects, !configuration.quarantinesByRollingHash {
                // Now it ends as soon as a quorum has the same rows.
                quarantine.evidence = .rows
                quarantine.store(in: applier.backend)
            }
            corruption.quarantine = quarantine
            log(
                .error, "the member is still in quarantine: its data differ from those of the other members",
                ["local-member-id": "\(localID)", "reason": "\(quarantine.reason)"])
        } catch {
            _ = clientError(.backend(error))
        }
    }

    /// The member's data have been proven to differ: it serves nobody any more, and goes on voting and following. Only
    /// the first reason is kept, and evidence that reaches further.
    /// - Parameter healthy: those that are right and can give their database, if that is known.
    func enterQuarantine(_ reason: String, _ evidence: Quarantine.Evidence, healthy: [MemberID]?) {
        if let former = corruption.quarantine, former.evidence == .effects || evidence == .rows {
            if let healthy { corruption.quarantine?.healthy = healthy }
            return
        }
        let isNew = corruption.quarantine == nil
        let quarantine = Quarantine(reason: reason, evidence: evidence, healthy: healthy)
        corruption.quarantine = quarantine
        quarantine.store(in: applier.backend)
        guard isNew else { return }
        log(
            .error, "the member's data differ from those of the other members; it serves no clients from now on",
            ["local-member-id": "\(localID)", "reason": "\(reason)"])
        refuseClients(.quarantined)
    }

    /// A quorum has the same rows as this member.
    /// - Parameter healthy: those of them that can give their database.
    func rowsConfirmed(healthy: [MemberID]) {
        guard let quarantine = corruption.quarantine else { return }
        guard quarantine.evidence == .rows else {
            corruption.quarantine?.healthy = healthy
            return
        }
        corruption.quarantine = nil
        abandonResync()
        applier.backend.delete(MartletKey.quarantine, in: .martlet)
        log(
            .info, "the member's data are those of the other members again; it serves clients",
            ["local-member-id": "\(localID)"])
    }

    /// Whoever differs must not lead: it would hand its data to those who need a snapshot.
    func giveUpLeadership() {
        guard corruption.quarantine != nil, node.isLeader, now >= corruption.nextTransfer,
            let target = longestActiveVoter
        else { return }
        corruption.nextTransfer = now + configuration.electionTimeout
        log(
            .warn, "a member in quarantine does not lead; leadership transfer starting",
            ["local-member-id": "\(localID)", "transferee-member-id": "\(target)"])
        node.transferLeadership(to: target)
    }
}
