internal import Apply
package import Base
internal import EtcdProto
internal import Leasing
internal import MVCC
internal import Membership
internal import Platform
internal import RaftCore

/// A database of another member that is to take the place of this one's.
package struct FetchedDatabase: Sendable, Equatable {
    package var path: String
    /// The log here begins behind this entry: an older database cannot be brought up to date.
    package var oldest: LogIndex
    /// What has been applied here: a newer one has to wait until its entries are in the log.
    package var newest: LogIndex
}

/// What became of a fetched database, opened and read on the backend's thread.
package enum ReplacedDatabase: Sendable {
    case replaced(InstalledSnapshot)
    /// It holds the state of an entry that has not been applied here yet.
    case early(LogIndex)
    /// It cannot be used, and nothing has been changed.
    case refused(String)
}

/// How far a member in quarantine has come with another's database.
enum Resync: Equatable {
    case idle(until: Instant)
    case fetching
    /// The database is on the disk, and waits for the entry to be applied here.
    case fetched(path: String, waitsFor: LogIndex)
    /// The backend's thread puts it in the place of the own one.
    case replacing(path: String)
}

// A member whose data are proven to differ takes the database of one of those that are right, and brings it up to date
// from its own log. Raft notices nothing of it: docs/decisions/125-resynchronisation.md.
extension MemberCore {
    /// Between two attempts.
    static let resyncInterval: Duration = .seconds(10)

    /// Whether the log and the file have to stay as they are for the database that is coming.
    var holdsLogForResync: Bool {
        if case .idle = corruption.resync { false } else { true }
    }

    /// Whether the file is being replaced: commits would go to the one that is thrown away.
    var isReplacingDatabase: Bool {
        if case .replacing = corruption.resync { true } else { false }
    }

    /// Does the next step.
    func resynchronise() {
        guard configuration.resyncsCorruptMember, let quarantine = corruption.quarantine, failure == nil else { return }
        switch corruption.resync {
        case .idle(let until):
            guard now >= until, installing == nil, snapshotUnderWay == nil, node.leader != .none else { return }
            corruption.resync = .idle(until: now + Self.resyncInterval)
            // After a restart it is not known who is right.
            guard let healthy = quarantine.healthy else { return suspectSelf() }
            guard !healthy.isEmpty else {
                return giveUpResync("none of the members that are right can give its database")
            }
            corruption.resync = .fetching
            log(
                .info, "fetching the database of a member that is right",
                ["local-member-id": "\(localID)", "members": "\(healthy)"])
            outgoing.corruption.append(.fetchDatabase(from: healthy))
        case .fetching, .replacing: break
        case .fetched(let path, let index):
            guard node.applied >= index, !applier.backend.isCommitting, installing == nil else { return }
            corruption.resync = .replacing(path: path)
            corruption.replacement = FetchedDatabase(
                path: path, oldest: snapshotIndex, newest: node.applied)
        }
    }

    func databaseFetched(_ result: Result<String, CorruptionReport.Failure>) {
        guard case .fetching = corruption.resync else {
            if case .success(let path) = result { corruption.unwanted.append(path) }
            return
        }
        switch result {
        case .success(let path): corruption.resync = .fetched(path: path, waitsFor: .zero)
        case .failure(let error): giveUpResync("no database: \(error)")
        }
    }

    /// No database of another member is needed any more: what has been fetched goes, and what is still on its way when
    /// it arrives. One that is being put in the place of the own one has no way back.
    func abandonResync() {
        switch corruption.resync {
        case .idle, .replacing: return
        case .fetching: break
        case .fetched(let path, _): corruption.unwanted.append(path)
        }
        corruption.resync = .idle(until: now)
    }

    private func giveUpResync(_ reason: String) {
        corruption.resync = .idle(until: now + Self.resyncInterval)
        log(
            .warn, "cannot resynchronise; only a Martlet gives its database to another member, no etcd does",
            ["local-member-id": "\(localID)", "reason": reason])
    }

    func take(_ result: ReplacedDatabase) {
        guard case .replacing(let path) = corruption.resync else {
            preconditionFailure("no database is being replaced")
        }
        switch result {
        case .early(let index): corruption.resync = .fetched(path: path, waitsFor: index)
        case .refused(let reason): giveUpResync(reason)
        case .replaced(let installed):
            corruption.resync = .idle(until: now + Self.resyncInterval)
            // A leader's snapshot that has come in meanwhile takes the place of this one in turn.
            guard installing == nil else { return }
            do throws(MemberError) { try goOn(with: installed) } catch { fail(error) }
        }
    }

    /// The other member's state, and on it the entries that this one has applied beyond it.
    private func goOn(with installed: InstalledSnapshot) throws(MemberError) {
        let former = applier.cluster
        let entries: [Entry]
        do { entries = try node.entries(after: installed.index, through: node.applied) } catch {
            throw MemberError(.corruption, "the log does not hold the entries behind \(installed.index): \(error)")
        }
        applier = installed.applier
        restartHashes()
        for answer in compactions.removeAll() { outbox.refuse(answer.address, .timeout) }
        for entry in entries { try applyAgain(entry) }
        applier.backend.setConfState(confState)
        membershipReplaced(former)
        settleAllDivergences(origin: installed.index)
        log(
            .info, "took another member's database and brought it up to date",
            [
                "local-member-id": "\(localID)", "database-index": "\(installed.index)",
                "applied-index": "\(node.applied)", "current-rev": "\(applier.store.currentRevision)",
            ])
        // Quarantine lasts until the others confirm it.
        corruption.quarantine?.evidence = .rows
        corruption.quarantine?.store(in: applier.backend)
        if node.isLeader { lessor.promote(applier.store.leaseRecords, at: now) }
        corruption.hasResynchronised = true
        suspectSelf()
    }

    /// An entry that has been applied and answered before has its effects on the new store.
    private func applyAgain(_ entry: Entry) throws(MemberError) {
        switch entry.type {
        case .normal:
            scratch.removeAll(keepingCapacity: true)
            let applied: AppliedEntry
            do { applied = try applier.apply(entry, header: header, into: &scratch) } catch {
                throw MemberError(.corruption, "entry \(entry.index) cannot be applied: \(error)")
            }
            if let former = applied.loweredClusterVersion { clusterVersionLowered(from: former, at: entry.index) }
        case .confChange, .confChangeV2:
            guard entry.index > applier.backend.consistentIndex else { return }
            // What was refused then is refused now.
            if let change = try? ConfChange(decoding: entry.data), let wanted = try? MembershipChange(change),
                (try? applier.cluster.validate(wanted, learnerLimit: configuration.learnerLimit)) != nil
            {
                applier.cluster.apply(wanted, storingIn: applier.backend)
            }
            applier.backend.setConsistentIndex(entry.index, term: entry.term)
        }
    }

    /// A member that has taken another's database, and has been confirmed, needs no alarm any more.
    func clearOwnAlarm() {
        guard corruption.hasResynchronised, corruption.quarantine == nil else { return }
        corruption.hasResynchronised = false
        guard applier.alarms.contains(.corrupt, of: localID) else { return }
        log(.info, "clearing the CORRUPT alarm: the member has been resynchronised", ["member-id": "\(localID)"])
        proposeCorruptAlarm(of: localID, raised: false)
    }
}
