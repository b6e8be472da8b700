internal import Base

extension Raft {
    /// Takes a message that came from a peer.
    ///
    /// What it refuses by an error has changed nothing but, possibly, the term: a higher one counts even if what came
    /// with it does not.
    mutating func step(_ m: Message) throws(StepError) {
        try validate(m)
        try take(m)
    }

    /// The same for what this node says to itself or hears from its own storage.
    mutating func take(_ m: Message) throws(StepError) {
        trace(.received(m))
        if m.term > term {
            if inLease(for: m) { return }
            switch m.type {
            case .preVote: break
            // Granted at the term that would be ours: it is taken only with the real election.
            case .preVoteResponse where !m.reject: break
            default:
                info(
                    "\(id) [term: \(term)] received a \(m.type.name) message with higher term from \(m.from) [term: \(m.term)]"
                )
                let leads = m.type == .append || m.type == .heartbeat || m.type == .snapshot
                becomeFollower(m.term, leader: leads ? m.from : .none)
            }
        } else if m.term < term && m.term != .zero {
            return handleLowerTerm(m)
        }

        switch m.type {
        case .vote, .preVote: handleVoteRequest(m)
        case .storageAppendResponse:
            if m.index != .zero { stable(EntryID(term: m.logTerm, index: m.index)) }
            if let snapshot = m.snapshot { snapshotApplied(snapshot.metadata.index) }
        case .storageApplyResponse:
            if let last = m.entries.last {
                applied(to: last.index, size: m.entries.encodedSize(), payload: m.entries.payloadSize())
            }
        default:
            switch role {
            case .leader: try stepLeader(m)
            case .follower: try stepFollower(m)
            case .candidate, .preCandidate: try stepCandidate(m)
            }
        }
    }

    /// Whether a request for votes is ignored because a leader was heard from less than an election timeout ago.
    private func inLease(for m: Message) -> Bool {
        guard m.type == .vote || m.type == .preVote, m.context != CampaignType.transferContext,
            config.checkQuorum, leader != .none, electionElapsed < config.electionTicks
        else { return false }
        let last = log.last
        info(
            "\(id) [logterm: \(last.term), index: \(last.index), vote: \(vote)] ignored \(m.type.name) from \(m.from) [logterm: \(m.logTerm), index: \(m.index)] at term \(term): lease is not expired (remaining ticks: \(config.electionTicks - electionElapsed))"
        )
        return true
    }

    private mutating func handleLowerTerm(_ m: Message) {
        switch m.type {
        case .heartbeat where config.checkQuorum || config.preVote, .append where config.checkQuorum || config.preVote:
            // A deposed leader that leases or pre-votes keep from hearing of the new term is told of it here.
            sendAfterAppend(Message(type: .appendResponse, to: m.from, term: term))
        case .preVote:
            // A pre-candidate that lags must learn the term, or it would ask forever.
            let last = log.last
            info(
                "\(id) [logterm: \(last.term), index: \(last.index), vote: \(vote)] rejected \(m.type.name) from \(m.from) [logterm: \(m.logTerm), index: \(m.index)] at term \(term)"
            )
            sendAfterAppend(Message(type: .preVoteResponse, to: m.from, term: term, reject: true))
        case .storageAppendResponse:
            if m.index != .zero {
                // The entries may have been replaced since by a later leader's, even by ones with the same place.
                info(
                    "\(id) [term: \(term)] ignored entry appends from a \(m.type.name) message with lower term [term: \(m.term)]"
                )
            }
            if let snapshot = m.snapshot { snapshotApplied(snapshot.metadata.index) }
        default:
            info(
                "\(id) [term: \(term)] ignored a \(m.type.name) message with lower term from \(m.from) [term: \(m.term)]"
            )
        }
    }

    private mutating func stepLeader(_ m: Message) throws(StepError) {
        switch m.type {
        case .propose:
            var entries = m.entries
            do { try propose(&entries) } catch { throw .proposal(error) }
        case .readIndex: readIndex(ReadOnly.Request(from: m.from, entries: m.entries, index: .zero))
        case .appendResponse, .heartbeatResponse, .transferLeader:
            guard let p = tracker.progress.position(m.from) else {
                return debug("\(id) no progress available for \(m.from)")
            }
            switch m.type {
            case .appendResponse: handleAppendResponse(m, p)
            case .heartbeatResponse: handleHeartbeatResponse(m, p)
            default: transferLeader(to: m.from, p)
            }
        default:
            // Another leader's messages of this term cannot be; late votes and the like no longer matter.
            if !tracker.progress.contains(m.from) { debug("\(id) no progress available for \(m.from)") }
        }
    }

    private mutating func stepFollower(_ m: Message) throws(StepError) {
        switch m.type {
        case .propose:
            do { try forwardProposal(m) } catch { throw .proposal(error) }
        case .append:
            heardFrom(m.from)
            try handleAppend(m)
        case .heartbeat:
            heardFrom(m.from)
            try handleHeartbeat(m)
        case .snapshot:
            heardFrom(m.from)
            try handleSnapshot(m)
        case .transferLeader:
            if leader == .none { return info("\(id) no leader at term \(term); dropping leader transfer msg") }
            var forwarded = m
            forwarded.to = leader
            send(forwarded)
        case .timeoutNow:
            info("\(id) [term \(term)] received MsgTimeoutNow from \(m.from) and starts an election to get leadership.")
            hup(.transfer)
        case .readIndex:
            if leader == .none { return info("\(id) no leader at term \(term); dropping index reading msg") }
            var forwarded = m
            forwarded.to = leader
            send(forwarded)
        case .readIndexResponse:
            if m.entries.count != 1 {
                return error(
                    "\(id) invalid format of MsgReadIndexResp from \(m.from), entries count: \(m.entries.count)")
            }
            readStates.append(ReadState(index: m.index, context: m.entries[0].data))
        default: break
        }
    }

    private mutating func stepCandidate(_ m: Message) throws(StepError) {
        switch m.type {
        case .propose:
            info("\(id) no leader at term \(term); dropping proposal")
            throw .proposal(.noLeader(term: term))
        case .append:
            becomeFollower(m.term, leader: m.from)
            try handleAppend(m)
        case .heartbeat:
            becomeFollower(m.term, leader: m.from)
            try handleHeartbeat(m)
        case .snapshot:
            becomeFollower(m.term, leader: m.from)
            try handleSnapshot(m)
        case .voteResponse where role == .candidate, .preVoteResponse where role == .preCandidate:
            handleVoteResponse(m)
        case .timeoutNow:
            debug("\(id) [term \(term) state \(role.name)] ignored MsgTimeoutNow from \(m.from)")
        default: break
        }
    }

    private mutating func heardFrom(_ newLeader: MemberID) {
        electionElapsed = 0
        if leader == newLeader { return }
        leader = newLeader
        trace(.leaderChanged(leader))
    }

    mutating func forwardProposal(_ m: Message) throws(ProposalError) {
        if leader == .none {
            info("\(id) no leader at term \(term); dropping proposal")
            throw .noLeader(term: term)
        }
        if config.disableProposalForwarding {
            info("\(id) not forwarding to leader \(leader) at term \(term); dropping proposal")
            throw .forwardingDisabled(leader: leader)
        }
        var forwarded = m
        forwarded.to = leader
        send(forwarded)
    }

    // MARK: What a peer may send

    /// The highest term and index that a peer is believed: far beyond any cluster, and low enough that a node that goes
    /// on from there never overflows.
    private static var highest: UInt64 { UInt64(Int64.max) }

    /// Refuses what no correct peer sends, before anything is changed by it.
    private func validate(_ m: Message) throws(StepError) {
        let highest = Self.highest
        if m.term.rawValue > highest || m.logTerm.rawValue > highest || m.index.rawValue > highest
            || m.commit.rawValue > highest || m.rejectHint.rawValue > highest
        {
            throw .malformed(m.type, from: m.from, .numberOutOfRange)
        }
        switch m.type {
        case .propose:
            if m.entries.isEmpty { throw .proposal(.empty) }
            return
        case .readIndex:
            if m.entries.count != 1 { throw .malformed(m.type, from: m.from, .entryCount(m.entries.count)) }
            return
        default:
            if m.from == .none || m.from.isLocalThread { throw .malformed(m.type, from: m.from, .address) }
            if m.term == .zero { throw .malformed(m.type, from: m.from, .termMissing) }
        }
        switch m.type {
        case .append:
            var previous = m.logTerm
            var index = m.index
            for entry in m.entries {
                index = index.next()
                if entry.index != index || entry.term < previous || entry.term == .zero {
                    throw .malformed(m.type, from: m.from, .entries)
                }
                previous = entry.term
            }
            if previous > m.term { throw .malformed(m.type, from: m.from, .entries) }
            if index.rawValue > highest { throw .malformed(m.type, from: m.from, .numberOutOfRange) }
        case .appendResponse:
            if role == .leader && m.term == term && !m.reject && m.index > log.lastIndex {
                throw .malformed(m.type, from: m.from, .indexBeyondLog(index: m.index, lastIndex: log.lastIndex))
            }
        case .snapshot:
            if let meta = m.snapshot?.metadata, meta.index.rawValue > highest || meta.term > m.term {
                throw .malformed(m.type, from: m.from, .numberOutOfRange)
            }
        default: break
        }
    }
}
