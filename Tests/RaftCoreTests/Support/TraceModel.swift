import Base
import RaftCore
import Synchronization

/// The state of nodes as their trace tells it, and what a specification of Raft allows next (Raft thesis, figure 3.1).
final class TraceModel: Sendable {
    struct Node: Equatable {
        var term = Term.zero
        var vote = MemberID.none
        var role = Role.follower
        var leader = MemberID.none
        var last = LogIndex.zero
        var committed = LogIndex.zero
        var applied = LogIndex.zero
        var configuration = ConfState()

        init() {}

        init(_ node: RawNode<MemoryStorage>) {
            let status = node.basicStatus
            term = status.hardState.term
            vote = status.hardState.vote
            role = status.softState.role
            leader = status.softState.leader
            last = node.lastIndex
            committed = status.hardState.commit
            applied = status.applied
            configuration = node.configuration.confState
        }
    }

    private struct State {
        var nodes: [MemberID: Node] = [:]
        var events = 0
        var kinds: Set<String> = []
        var complaints: [String] = []
    }

    private let state = Mutex(State())

    var sink: TraceSink { TraceSink { [self] id, event in record(id, event) } }
    var events: Int { state.withLock { $0.events } }
    /// The names of the events that have occurred.
    var kinds: Set<String> { state.withLock { $0.kinds } }
    var complaints: [String] { state.withLock { $0.complaints } }

    /// Holds a node's public state against what its trace says.
    func compare(_ node: RawNode<MemoryStorage>) {
        state.withLock { state in
            let told = state.nodes[node.id] ?? Node()
            if told != Node(node) { state.complaints.append("\(node.id) is \(Node(node)), its trace says \(told)") }
        }
    }

    private func record(_ id: MemberID, _ event: TraceEvent) {
        state.withLock { state in
            var node = state.nodes[id] ?? Node()
            if !Self.step(&node, id, event) { state.complaints.append("\(id): \(event) in \(node)") }
            state.nodes[id] = node
            state.events += 1
            state.kinds.insert(String("\(event)".prefix { $0 != "(" }))
        }
    }

    /// Takes a step, and says whether the specification has it.
    private static func step(_ node: inout Node, _ id: MemberID, _ event: TraceEvent) -> Bool {
        let before = node
        switch event {
        case .started(let hardState, let applied, let last, let configuration):
            node = Node()
            (node.term, node.vote, node.committed) = (hardState.term, hardState.vote, hardState.commit)
            (node.applied, node.last, node.configuration) = (applied, last, configuration)
            return applied <= hardState.commit && hardState.commit <= last
        case .becameFollower(let term, let leader):
            if term > node.term { node.vote = .none }
            (node.term, node.role, node.leader) = (term, .follower, leader)
            return term >= before.term && leader != id
        case .becamePreCandidate(let term):
            (node.role, node.leader) = (.preCandidate, .none)
            return before.role != .leader && term == before.term
        case .becameCandidate(let term):
            (node.term, node.vote, node.role, node.leader) = (term, id, .candidate, .none)
            return before.role != .leader && term == before.term.next()
        case .becameLeader(let term, let last):
            (node.role, node.leader) = (.leader, id)
            return before.role == .candidate && term == before.term && last == before.last
        case .leaderChanged(let leader):
            node.leader = leader
            return before.role == .follower && leader != id
        case .voted(let term, let candidate):
            node.vote = candidate
            return term == before.term && (before.vote == .none || before.vote == candidate)
        case .appended(let previous, let last, let term):
            node.last = last
            return previous >= before.committed && previous <= before.last && last > previous && term <= before.term
                && (before.role != .leader || (previous == before.last && term == before.term))
        case .stable(let index): return index <= before.last
        case .committed(let index):
            node.committed = index
            return index > before.committed && index <= before.last
        case .applied(let index):
            node.applied = index
            return index >= before.applied && index <= before.committed
        case .restoredSnapshot(let index, _):
            (node.last, node.committed) = (index, index)
            return before.role == .follower && index > before.committed
        case .configurationChanged(let configuration):
            node.configuration = configuration
            return true
        case .sent(let message): return mayBeSent(message, by: node, id)
        case .received: return true
        }
    }

    private static func mayBeSent(_ message: Message, by node: Node, _ id: MemberID) -> Bool {
        switch message.type {
        case .append: node.role == .leader && message.commit <= node.committed && message.term == node.term
        case .heartbeat: node.role == .leader && message.commit <= node.committed
        case .vote: node.role == .candidate && node.vote == id && message.term == node.term
        case .preVote: node.role == .preCandidate && message.term == node.term.next()
        case .appendResponse: message.reject || message.index <= node.last
        case .snapshot, .timeoutNow: node.role == .leader
        default: true
        }
    }
}
