internal import Base

/// When a voter campaigns after the leader has fallen silent, if the voters do so in turn: the next one in the order of
/// the IDs after the leader's first, the others behind it one after another.
///
/// A drawn time is in the mean one and a third of the election timeout for the first of two, and now and then all draw
/// the same. Here the first one comes as soon as the others' leases let it, and each has time to win before the next.
/// See docs/decisions/142-campaigns-in-turn.md.
package struct ElectionTurn: Equatable {
    /// Ticks between two voters' campaigns, if there is room. Their ticks are not in step, so what is left in the worst
    /// case is one less: enough for two rounds of messages.
    package static let spacing = 3
    /// How often a voter asks again for pre-votes, a tick apart: who has heard the leader a little later has not
    /// answered yet. A pre-vote changes nothing anywhere.
    package static let retries = 4
    /// Ticks that a voter lets pass after it has granted a pre-vote.
    package static let courtesy = 2

    /// Counted from 0: the voters that come before this one.
    package let place: Int
    /// The voters without the leader.
    package let count: Int

    /// - Parameter voters: ascending.
    package init(of id: MemberID, after leader: MemberID, among voters: [MemberID]) {
        let behind = voters.count { $0 > leader && $0 < id }
        let ahead = voters.count { $0 < leader && $0 < id }
        let upper = voters.count { $0 > leader }
        place = id > leader ? behind : upper + ahead
        count = voters.count { $0 != leader }
    }

    /// The ticks without a leader after which this voter campaigns: more than the election timeout, for which the
    /// others keep from voting, and less than twice as many, like a drawn one. Nil if there are too few to tell all
    /// voters apart.
    package func timeout(electionTicks: Int) -> Int? {
        let room = electionTicks - 2
        let gaps = count - 1
        guard room >= gaps, room >= 0 else { return nil }
        let delay = gaps * Self.spacing <= room ? place * Self.spacing : place * room / gaps
        return electionTicks + 1 + delay
    }
}

extension Raft {
    /// The ticks after which this node campaigns.
    var electionTimeout: Int {
        guard config.campaignsInTurn else { return randomizedElectionTimeout }
        if role == .preCandidate && asksAgain > 0 { return 1 }
        guard role == .follower, leader != .none else { return randomizedElectionTimeout }
        let turn = ElectionTurn(of: id, after: leader, among: tracker.configuration.voters.ids)
        return turn.timeout(electionTicks: config.electionTicks) ?? randomizedElectionTimeout
    }

    /// This node campaigns: for the first time since it had a leader, or once more.
    mutating func takeTurn() {
        if role == .follower && leader != .none {
            asksAgain = ElectionTurn.retries
        } else if role == .preCandidate && asksAgain > 0 {
            asksAgain -= 1
        }
    }

    /// Another node has this one's pre-vote: it gets the time to win before this one campaigns, too.
    mutating func giveWay() { courtesyTicks = ElectionTurn.courtesy }

    /// Another node could not have this one's vote, because this one has more of the log: its turn is over, and this
    /// one may be the next, but not before the other had time to win with the votes of the rest.
    mutating func followUp(_ other: MemberID) {
        let turn = ElectionTurn(of: id, after: other, among: tracker.configuration.voters.ids)
        electionElapsed = max(electionElapsed, electionTimeout - ElectionTurn.courtesy - turn.place)
    }

    /// A tick of a leader that keeps count of how long each peer has been silent. It steps down when no quorum has
    /// answered for an election timeout, with a last word: if the others do hear it, they need not wait for a timeout
    /// of their own.
    mutating func watchQuorum() {
        for p in 0..<tracker.progress.count where tracker.progress.ids[p] != id {
            tracker.progress[at: p].silentTicks += 1
            if tracker.progress[at: p].silentTicks >= config.electionTicks {
                tracker.progress[at: p].recentActive = false
            }
        }
        if tracker.quorumAnswers(within: config.electionTicks) { return }
        warn("\(id) stepped down to follower since quorum is not active")
        if let heir {
            info("\(id) sends MsgTimeoutNow to \(heir), which may still hear it")
            send(Message(type: .timeoutNow, to: heir))
        }
        becomeFollower(term, leader: .none)
    }

    /// The voter that has most of the log, as far as is known; of several the one that was heard last.
    private var heir: MemberID? {
        var best: (id: MemberID, progress: Progress)?
        for voter in tracker.configuration.voters.ids where voter != id {
            guard let progress = tracker.progress[voter] else { continue }
            if let best, (best.progress.match, -best.progress.silentTicks) >= (progress.match, -progress.silentTicks) {
                continue
            }
            best = (voter, progress)
        }
        return best?.id
    }
}
