internal import Base

extension Raft {
    /// Whether an entry of this leader's term is committed. Until then it cannot know what its predecessors committed.
    private var hasCommittedInTerm: Bool { log.term(at: log.committed) == term }

    /// Takes a read request at the leader.
    mutating func readIndex(_ request: ReadOnly.Request) {
        if hasCommittedInTerm || has(.readBeforeTermCommit) {
            confirmLeadership(for: request)
        } else {
            pendingReads.append(request)
        }
    }

    /// Requests that waited for the first commit of the term go on.
    mutating func releasePendingReads() {
        if pendingReads.isEmpty { return }
        guard hasCommittedInTerm else {
            return error("pending MsgReadIndex should be released only after first commit in current term")
        }
        let requests = pendingReads
        pendingReads = []
        for request in requests { confirmLeadership(for: request) }
    }

    private mutating func confirmLeadership(for request: ReadOnly.Request) {
        var request = request
        request.index = log.committed
        // Nobody could have elected another leader without a node that is the only voter.
        let decidesAlone = tracker.isSingleton && tracker.configuration.voters.contains(id)
        if decidesAlone || config.readOnly == .leaseBased || has(.readWithoutQuorum) { return answer(request) }
        readOnly.add(request)
        readOnly.acknowledge(id, counter: readOnly.counter)
        broadcastHeartbeat()
    }

    /// A peer has answered a heartbeat: this node led when it was sent.
    mutating func confirmReads(_ m: Message) {
        guard config.readOnly == .safe, let counter = ReadOnly.counter(m.context) else { return }
        readOnly.acknowledge(m.from, counter: counter)
        for request in readOnly.takeConfirmed(tracker.configuration.voters) { answer(request) }
    }

    private mutating func answer(_ request: ReadOnly.Request) {
        if request.from == .none || request.from == id {
            readStates.append(ReadState(index: request.index, context: request.entries.first?.data ?? []))
        } else {
            send(
                Message(
                    type: .readIndexResponse, to: request.from, index: request.index, entries: request.entries))
        }
    }
}
