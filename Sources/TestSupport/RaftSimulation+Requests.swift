internal import Base
internal import RaftCore

extension RaftSimulation {
    // MARK: Requests

    /// Mostly one that believes to lead, be it cut off; otherwise the given one.
    mutating func leaderMostly(_ any: Int) -> Int {
        let leaders = nodes.indices.filter { nodes[$0].isUp && nodes[$0].raw.isLeader }
        return leaders.isEmpty || random.chance(1, in: 8) ? any : leaders[random.next(below: leaders.count)]
    }

    mutating func read(_ any: Int) {
        let i = leaderMostly(any)
        guard nodes[i].isUp else { return }
        events[.readAsked] += 1
        nodes[i].raw.readIndex(context: checker.requestRead())
    }

    mutating func propose(_ any: Int) {
        let i = leaderMostly(any)
        guard nodes[i].isUp else { return }
        proposals += 1
        let size = 1 + random.next(below: 24)
        let data = (0..<size).map { UInt8(truncatingIfNeeded: proposals >> (($0 & 7) * 8)) }
        // A refusal is a normal answer.
        if (try? nodes[i].raw.propose(data)) == nil {
            events[.proposalRefused] += 1
        } else {
            events[.entryProposed] += 1
        }
    }

    mutating func transfer(_ any: Int) {
        let i = leaderMostly(any)
        if nodes[i].isUp { nodes[i].raw.transferLeadership(to: anyID()) }
    }

    mutating func forgetLeader(_ i: Int) {
        guard nodes[i].isUp, !nodes[i].raw.isLeader, nodes[i].raw.leader != .none else { return }
        nodes[i].raw.forgetLeader()
        if nodes[i].raw.leader == .none { events[.leaderForgotten] += 1 }
    }

    mutating func changeMembers(_ i: Int) {
        guard options.changesMembers, nodes[i].isUp, nodes[i].raw.isLeader || random.chance(1, in: 10) else { return }
        let types: [ConfChangeType] = [.addNode, .addNode, .addLearnerNode, .removeNode, .updateNode]
        if random.chance(1, in: 2) {
            let change = ConfChange(type: types[random.next(below: types.count)], nodeID: anyID())
            try? nodes[i].raw.proposeConfChange(change)
        } else {
            let changes = (0..<random.next(below: 4)).map { _ in
                ConfChangeSingle(types[random.next(below: types.count)], anyID())
            }
            let transitions: [ConfChangeTransition] = [.auto, .jointImplicit, .jointExplicit]
            let transition = changes.isEmpty ? .auto : transitions[random.next(below: 3)]
            try? nodes[i].raw.proposeConfChange(ConfChangeV2(transition: transition, changes: changes))
        }
    }

    // MARK: Healing

    /// Ends all trouble and checks that the cluster gets going again: within a bounded time a leader is there and a new
    /// proposal is applied by every member.
    public mutating func heal() throws(RaftViolation) {
        isCalm = true
        partition()
        for i in nodes.indices where !nodes[i].isUp { try restart(i) }
        var target: UInt64?
        for round in 0..<600 {
            for i in nodes.indices where nodes[i].isUp { nodes[i].raw.tick() }
            for _ in 0..<6 {
                for i in nodes.indices where nodes[i].isUp {
                    try work(i)
                    while !nodes[i].appends.isEmpty { try finishAppend(i) }
                    while !nodes[i].applies.isEmpty { try finishApply(i) }
                }
                for _ in 0..<network.count { try deliverOne() }
            }
            let members = membersNow()
            if let target, members.allSatisfy({ nodes[$0].machine.index.rawValue >= target }) { return }
            if target == nil, let leader = members.first(where: { nodes[$0].raw.isLeader }) {
                if (try? nodes[leader].raw.propose([1, 2, 3])) != nil { target = nodes[leader].raw.lastIndex.rawValue }
            }
            // What was proposed to a leader that fell has to be proposed again.
            if round % 100 == 99 { target = nil }
        }
        if !agreesOnMembership {
            events.deadlocks += 1
            return
        }
        let state = nodes.map { "\($0.raw.basicStatus) \($0.machine.index)" }.joined(separator: "\n")
        throw RaftViolation(rule: "a healed cluster makes progress", detail: "none in 600 rounds of ticks\n\(state)")
    }

    /// Whether all that are up apply the same configuration.
    ///
    /// A change counts from where it is applied, not from where it stands in the log. So a voter that does not know yet
    /// that another was demoted may need the vote of that one, which has the longer log and cannot campaign itself:
    /// etcd's rule, and the price of it.
    private var agreesOnMembership: Bool {
        let up = nodes.filter(\.isUp)
        return up.allSatisfy { $0.machine.confState == up[0].machine.confState }
    }

    /// The members of the newest configuration. Who was removed is shut down, as an operator does it: once all members
    /// know, for until then its vote may be needed.
    mutating func membersNow() -> [Int] {
        guard let newest = nodes.indices.max(by: { nodes[$0].machine.index < nodes[$1].machine.index }) else {
            return []
        }
        let state = nodes[newest].machine.confState
        let ids = Set(state.voters + state.learners + state.votersOutgoing)
        var needed = ids
        for node in nodes where ids.contains(node.raw.id) {
            needed.formUnion(node.machine.confState.voters + node.machine.confState.votersOutgoing)
        }
        for i in nodes.indices { nodes[i].isUp = needed.contains(nodes[i].raw.id) }
        return nodes.indices.filter { ids.contains(nodes[$0].raw.id) }
    }
}
