package import Base
internal import EtcdProto
package import Platform

/// Proposals that wait to be applied, by request ID.
package struct PendingRequests {
    /// Who waits for a proposal.
    package enum Waiter: Sendable {
        case client(ReplyAddress)
        /// A client that waits for a change of the membership.
        case membership(ReplyAddress, MembershipAnswer)
        /// A lease that is renewed when its checkpoint has been set back.
        case renewal(LeaseWaiter)
        /// A client that has begun or given up a downgrade.
        case downgrade(ReplyAddress)
        /// The member itself: the publication of its attributes, an alarm, the cluster version.
        case own(OwnProposal)
    }

    /// What a client is told when its change of the membership has been applied.
    package enum MembershipAnswer: Sendable, Equatable {
        /// The members, and the new one.
        case added(MemberID)
        /// The members.
        case changed
        /// The members; a learner is a voter now.
        case promoted
    }

    /// What a member proposes by itself.
    package enum OwnProposal: Sendable, Equatable {
        case publish
        case clusterVersion
        case downgradeEnd
        case alarm
        /// An alarm that members' data differ.
        case corruptAlarm
    }

    private struct Pending {
        var waiter: Waiter
        var since: Instant
        var deadline: Instant
    }

    /// What nobody has answered in time.
    package struct Expired {
        package var id: UInt64
        package var waiter: Waiter
        /// When it was taken in.
        package var since: Instant
    }

    private var byID: [UInt64: Pending] = [:]
    /// No pending deadline is earlier.
    private var earliestDeadline = Instant(nanoseconds: .max)

    package init() {}

    package var count: Int { byID.count }

    package mutating func insert(_ id: UInt64, _ waiter: Waiter, since: Instant, deadline: Instant) {
        byID[id] = Pending(waiter: waiter, since: since, deadline: deadline)
        if deadline < earliestDeadline { earliestDeadline = deadline }
    }

    package func contains(_ id: UInt64) -> Bool { byID[id] != nil }

    package mutating func remove(_ id: UInt64) -> Waiter? { byID.removeValue(forKey: id)?.waiter }

    /// Takes out what is due, in the order of the IDs. O(1) while nothing is due, otherwise O(pending).
    package mutating func removeExpired(at now: Instant) -> [Expired] {
        guard earliestDeadline <= now else { return [] }
        let due = byID.filter { $0.value.deadline <= now }.sorted { $0.key < $1.key }
        for (id, _) in due { byID[id] = nil }
        earliestDeadline = byID.values.reduce(Instant(nanoseconds: .max)) { min($0, $1.deadline) }
        return due.map { Expired(id: $0.key, waiter: $0.value.waiter, since: $0.value.since) }
    }

    /// Takes out all clients that wait for changes of the data, in the order of the IDs.
    package mutating func removeClients() -> [ReplyAddress] {
        let waiting = byID.sorted { $0.key < $1.key }
        return waiting.compactMap { id, pending in
            let address: ReplyAddress
            switch pending.waiter {
            case .client(let client): address = client
            case .renewal(let waiter): address = waiter.address
            case .membership, .downgrade, .own: return nil
            }
            byID[id] = nil
            return address
        }
    }

    /// Takes out everything, in the order of the IDs.
    package mutating func removeAll() -> [Waiter] {
        defer { byID = [:] }
        return byID.sorted { $0.key < $1.key }.map(\.value.waiter)
    }
}
