import Base
import RaftCore

/// Makes up messages that a node could get from a peer that is broken or means harm.
struct MessageForger {
    private var random: SeededGenerator

    init(seed: UInt64) { random = SeededGenerator(seed: seed) }

    /// A message for `node`: all invented, or a real one with a few fields changed.
    mutating func message(to node: RawNode<MemoryStorage>, like example: Message?) -> Message {
        if var message = example, random.chance(1, in: 2) {
            for _ in 0..<(1 + random.next(below: 3)) { spoil(&message, node) }
            return message
        }
        let types = MessageType.allCases
        var message = Message(type: types[random.next(below: types.count)], to: node.id, from: peer(node))
        for _ in 0..<(2 + random.next(below: 10)) { spoil(&message, node) }
        // With a plausible term and sender it comes further.
        if random.chance(2, in: 3) {
            message.term = node.term
            message.from = peer(node)
        }
        return message
    }

    private mutating func spoil(_ message: inout Message, _ node: RawNode<MemoryStorage>) {
        switch random.next(below: 13) {
        case 0: message.type = MessageType.allCases[random.next(below: MessageType.allCases.count)]
        case 1: message.from = id()
        case 2: message.term = term(node)
        case 3: message.logTerm = term(node)
        case 4: message.index = index(node)
        case 5: message.commit = index(node)
        case 6: message.reject.toggle()
        case 7: message.rejectHint = index(node)
        case 8: message.entries = entries(node, after: message.index)
        case 9: message.snapshot = random.chance(1, in: 4) ? nil : snapshot(node)
        case 10: message.context = context()
        case 11: message.vote = id()
        default: message.responses = [Message(type: .appendResponse, to: id(), from: id(), term: term(node))]
        }
    }

    private mutating func peer(_ node: RawNode<MemoryStorage>) -> MemberID {
        let peers = (1...3).map { MemberID(UInt64($0)) }.filter { $0 != node.id }
        return peers[random.next(below: peers.count)]
    }

    private mutating func id() -> MemberID {
        let odd: [MemberID] = [.none, .localAppendThread, .localApplyThread, MemberID(1 << 63)]
        let i = random.next(below: 12)
        return i < odd.count ? odd[i] : MemberID(UInt64(1 + random.next(below: 5)))
    }

    private mutating func number(near value: UInt64) -> UInt64 {
        switch random.next(below: 12) {
        case 0: 0
        case 1: 1
        case 2: .max
        case 3: UInt64(Int64.max)
        case 4: UInt64(Int64.max) + 1
        case 5: value
        case 6: value &+ 1000
        default: value &+ UInt64(random.next(below: 7)) &- 3
        }
    }

    private mutating func term(_ node: RawNode<MemoryStorage>) -> Term {
        // Without this the terms would run away to the end of the world in the first messages.
        random.chance(9, in: 10) ? node.term : Term(number(near: node.term.rawValue))
    }

    private mutating func index(_ node: RawNode<MemoryStorage>) -> LogIndex {
        LogIndex(number(near: random.chance(1, in: 2) ? node.committed.rawValue : node.lastIndex.rawValue))
    }

    private mutating func entries(_ node: RawNode<MemoryStorage>, after previous: LogIndex) -> [Entry] {
        var next = random.chance(3, in: 4) ? previous.rawValue : index(node).rawValue
        return (0..<random.next(below: 5)).map { _ in
            next = random.chance(9, in: 10) ? next &+ 1 : number(near: next)
            let type: EntryType = [.normal, .normal, .confChange, .confChangeV2][random.next(below: 4)]
            return Entry(type: type, term: term(node), index: LogIndex(next), data: data(type))
        }
    }

    private mutating func data(_ type: EntryType) -> [UInt8] {
        if random.chance(1, in: 3) { return (0..<random.next(below: 12)).map { _ in UInt8(random.next(below: 256)) } }
        let kinds: [ConfChangeType] = [.addNode, .removeNode, .updateNode, .addLearnerNode]
        switch type {
        case .normal: return [1, 2, 3]
        case .confChange: return ConfChange(type: kinds[random.next(below: 4)], nodeID: id()).encoded()
        case .confChangeV2:
            let changes = (0..<random.next(below: 4)).map { _ in ConfChangeSingle(kinds[random.next(below: 4)], id()) }
            let transitions: [ConfChangeTransition] = [.auto, .jointImplicit, .jointExplicit]
            return ConfChangeV2(transition: transitions[random.next(below: 3)], changes: changes).encoded()
        }
    }

    private mutating func snapshot(_ node: RawNode<MemoryStorage>) -> Snapshot {
        let all = (1...3).map { MemberID(UInt64($0)) }
        func some(_ random: inout SeededGenerator, _ forge: (inout SeededGenerator) -> MemberID) -> [MemberID] {
            (0..<random.next(below: 4)).map { _ in forge(&random) }
        }
        let wild = { (random: inout SeededGenerator) in MemberID(UInt64(random.next(below: 6))) }
        let state =
            random.chance(1, in: 2)
            ? ConfState(voters: all)
            : ConfState(
                voters: some(&random, wild), learners: some(&random, wild), votersOutgoing: some(&random, wild),
                learnersNext: some(&random, wild), autoLeave: random.chance(1, in: 2))
        return Snapshot(
            data: [1], metadata: SnapshotMetadata(confState: state, index: index(node), term: term(node)))
    }

    private mutating func context() -> [UInt8] {
        switch random.next(below: 4) {
        case 0: Array("CampaignTransfer".utf8)
        case 1: (0..<8).map { _ in UInt8(random.next(below: 3)) }
        case 2: [UInt8](repeating: 0xFF, count: 8)
        default: (0..<random.next(below: 12)).map { _ in UInt8(random.next(below: 256)) }
        }
    }
}
