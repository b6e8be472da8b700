internal import Base

/// Why an election is held.
enum CampaignType {
    case preElection
    case election
    /// Asked for by the leader: leases do not stand in its way.
    case transfer

    /// The context of the vote requests of a transfer.
    static let transferContext = Array("CampaignTransfer".utf8)
}

extension Raft {
    /// Starts an election, if this node may.
    mutating func hup(_ campaign: CampaignType) {
        if role == .leader { return debug("\(id) ignoring MsgHup because already leader") }
        if !isPromotable { return warn("\(id) is unpromotable and can not campaign") }
        // A node whose configuration lags could win by a majority that no longer is one.
        if hasUnappliedConfChanges {
            return warn(
                "\(id) cannot campaign at term \(term) since there are still pending configuration changes to apply")
        }
        info("\(id) is starting a new election at term \(term)")
        self.campaign(campaign)
    }

    private var hasUnappliedConfChanges: Bool {
        var next = log.applied.next()
        let end = log.committed.next()
        let page = config.maxCommittedSizePerReady == 0 ? config.maxSizePerMessage : config.maxCommittedSizePerReady
        while next < end {
            guard let entries = try? log.slice(from: next, to: end, maxSize: page), let last = entries.last else {
                preconditionFailure("committed entries from \(next) on were compacted before they were applied")
            }
            if entries.contains(where: { $0.type != .normal }) { return true }
            next = last.index.next()
        }
        return false
    }

    private mutating func campaign(_ campaign: CampaignType) {
        let request: MessageType
        let requestTerm: Term
        if campaign == .preElection {
            becomePreCandidate()
            request = .preVote
            requestTerm = term.next()
        } else {
            becomeCandidate()
            request = .vote
            requestTerm = term
        }
        let last = log.last
        for voter in tracker.configuration.voters.ids {
            if voter == id {
                // The own vote counts like any other: once it is durable.
                sendAfterAppend(Message(type: request.voteResponse, to: id, term: requestTerm))
                continue
            }
            info(
                "\(id) [logterm: \(last.term), index: \(last.index)] sent \(request.name) request to \(voter) at term \(term)"
            )
            var message = Message(
                type: request, to: voter, from: id, term: requestTerm, logTerm: last.term, index: last.index)
            if campaign == .transfer { message.context = CampaignType.transferContext }
            trace(.sent(message))
            messages.append(message)
        }
    }

    /// Answers a request for a vote or a pre-vote.
    mutating func handleVoteRequest(_ m: Message) {
        // A vote once given stands. None given: only while no leader is known in this term. A pre-vote for a later
        // term binds nobody.
        let canVote =
            vote == m.from || (vote == .none && leader == .none) || (m.type == .preVote && m.term > term)
        let last = log.last
        let isUpToDate = log.isUpToDate(EntryID(term: m.logTerm, index: m.index))
        let granted = (canVote || has(.voteTwice)) && (isUpToDate || has(.voteForStaleLog))
        info(
            "\(id) [logterm: \(last.term), index: \(last.index), vote: \(vote)] \(granted ? "cast" : "rejected") \(m.type.name) \(granted ? "for" : "from") \(m.from) [logterm: \(m.logTerm), index: \(m.index)] at term \(term)"
        )
        // Before any election there is no term to refuse in; who asks learns nothing from it.
        if !granted && term == .zero { return }
        // The grant names the term that was asked for: the pre-candidate's next one is not this node's yet.
        sendAfterAppend(
            Message(type: m.type.voteResponse, to: m.from, term: granted ? m.term : term, reject: !granted))
        if granted && m.type == .vote {
            electionElapsed = 0
            vote = m.from
            trace(.voted(term: term, candidate: vote))
        } else if config.campaignsInTurn && role != .leader {
            if granted { giveWay() } else if !isUpToDate { followUp(m.from) }
        }
    }

    /// Counts an answer to this candidate's request.
    mutating func handleVoteResponse(_ m: Message) {
        if m.reject {
            asksAgain = 0
            info("\(id) received \(m.type.name) rejection from \(m.from) at term \(term)")
        } else {
            info("\(id) received \(m.type.name) from \(m.from) at term \(term)")
        }
        tracker.recordVote(m.from, granted: !m.reject)
        let tally = tracker.tally()
        info("\(id) has received \(tally.granted) \(m.type.name) votes and \(tally.rejected) vote rejections")
        switch tally.result {
        case .pending: break
        case .lost: becomeFollower(term, leader: .none)
        case .won:
            if role == .preCandidate {
                campaign(.election)
            } else {
                becomeLeader()
                broadcastAppend()
            }
        }
    }
}

extension MessageType {
    var voteResponse: MessageType { self == .preVote ? .preVoteResponse : .voteResponse }
}
