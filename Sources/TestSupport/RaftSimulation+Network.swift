internal import Base
internal import RaftCore

extension RaftSimulation {
    // MARK: Network

    mutating func send(_ messages: [Message], from i: Int) throws(RaftViolation) {
        for message in messages {
            try checker.sent(message, storage: nodes[i].raw.storage)
            switch message.type {
            case .snapshot: events[.snapshotSent] += 1
            case .preVote: events[.preVoteAsked] += 1
            case .readIndex: events[.readForwarded] += 1
            default: break
            }
            network.append(message)
        }
        while network.count > Self.networkLimit { lose(0) }
    }

    mutating func lose(_ k: Int) {
        let message = network.remove(at: k)
        events[.messageLost] += 1
        report(message, failed: true)
    }

    /// The transport tells a leader what became of a snapshot.
    mutating func report(_ message: Message, failed: Bool) {
        let i = Int(message.from.rawValue) - 1
        guard message.type == .snapshot, nodes[i].isUp else { return }
        nodes[i].raw.reportSnapshot(to: message.to, failed: failed)
    }

    mutating func deliverOne() throws(RaftViolation) {
        if network.isEmpty { return }
        let k = isCalm || random.chance(3, in: 4) ? 0 : random.next(below: network.count)
        if !isCalm && random.chance(1, in: 20) { return lose(k) }
        let message = network[k]
        let (from, to) = (Int(message.from.rawValue) - 1, Int(message.to.rawValue) - 1)
        guard nodes.indices.contains(to), nodes.indices.contains(from), nodes[to].isUp,
            nodes[from].side == nodes[to].side
        else { return lose(k) }
        if k > 0 { events[.messageReordered] += 1 }
        if isCalm || !random.chance(1, in: 20) {
            network.remove(at: k)
        } else {
            events[.messageDuplicated] += 1
        }
        events[.messageDelivered] += 1
        if message.type == .timeoutNow { events[.transferCompleted] += 1 }
        do {
            try nodes[to].raw.step(message)
        } catch {
            switch error {
            // What a node that was removed still says, and proposals in between leaders.
            case .peerNotFound, .proposal: break
            default: throw Self.broken("a node takes what a correct peer sends", error)
            }
        }
        report(message, failed: false)
        try observe(to)
    }

    mutating func partition() {
        let isSplit = nodes.contains { $0.side != 0 }
        let whole = isCalm || random.chance(isSplit ? 7 : 1, in: 8)
        if !whole { events[.networkSplit] += 1 }
        for i in nodes.indices { nodes[i].side = whole ? 0 : random.next(below: 2) }
    }
}
