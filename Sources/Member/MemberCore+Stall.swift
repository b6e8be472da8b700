internal import Base
internal import Platform
internal import RaftCore

// A log that does not get on: docs/decisions/094-stalled-disk.md.
extension MemberCore {
    /// Tells of a log that hangs, and gives up leadership when that lasts.
    /// - Returns: whether raft may go on with its clock.
    func logKeepsPace() -> Bool {
        if let stall = logWatch.report(at: now) {
            log(
                .warn, "the disk does not finish a write and sync of the log",
                ["path": logFile, "stalled-for": "\(stall.inSeconds)s", "is-leader": "\(node.isLeader)"])
        }
        let verdict = logWatch.verdict(
            at: now, electionTimeout: configuration.electionTimeout, isLeader: node.isLeader,
            hasOtherVoters: node.configuration.voters.ids.contains { $0 != localID })
        switch verdict {
        case .goOn: return true
        case .handOver:
            handOverStalled()
            // The others hear of this leader until another one is there.
            return true
        case .stepDown:
            log(
                .warn, "stepping down: the log hangs, and nobody has taken over",
                ["path": logFile, "stalled-for": "\(stalled)s", "term": "\(node.term)"])
            node.stepDown()
            return false
        case .hold: return false
        }
    }

    private func handOverStalled() {
        let status = node.status
        guard status.basic.transferee == .none else { return }
        let voters = node.configuration.voters.ids
        var best: (id: MemberID, match: LogIndex)?
        for id in status.progress.ids where id != localID && voters.contains(id) {
            guard let progress = status.progress[id], progress.recentActive else { continue }
            if best.map({ progress.match > $0.match }) ?? true { best = (id, progress.match) }
        }
        guard let best else { return }
        log(
            .warn, "handing leadership over: the log has hung for an election timeout",
            [
                "path": logFile, "stalled-for": "\(stalled)s", "term": "\(node.term)",
                "transferee-member-id": "\(best.id)",
            ])
        node.transferLeadership(to: best.id)
    }

    private var stalled: Double { logWatch.stall(at: now).inSeconds }
}
