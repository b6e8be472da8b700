import Base
import RaftCore

/// Three nodes and the messages between them, with a liar in the network.
struct HostileRun {
    struct Totals {
        var taken: [MessageType: Int] = [:]
        var byRole: [Role: Int] = [:]
        var refused = 0

        static func += (a: inout Totals, b: Totals) {
            a.taken.merge(b.taken, uniquingKeysWith: +)
            a.byRole.merge(b.byRole, uniquingKeysWith: +)
            a.refused += b.refused
        }
    }

    struct Broken: Error, CustomStringConvertible {
        var description: String
    }

    /// What a node has shown, and may not take back.
    private struct Shown {
        var term = Term.zero
        var committed = LogIndex.zero
        var applied = LogIndex.zero
        var terms: [LogIndex: Term] = [:]
    }

    private(set) var totals = Totals()
    private var random: SeededGenerator
    private var liar: MessageForger
    private var nodes: [RawNode<MemoryStorage>] = []
    private var shown: [Shown] = []
    private var pending: [(appends: [AppendWork], applies: [ApplyWork])] = []
    private var network: [Message] = []
    private let isAsynchronous: Bool

    init(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        liar = MessageForger(seed: seed &+ 1)
        isAsynchronous = random.chance(1, in: 2)
        defer { self.random = random }
        self.random = random
        let ids = (1...3).map { MemberID(UInt64($0)) }
        let joint = random.chance(1, in: 3)
        let state = ConfState(
            voters: joint ? [ids[0], ids[1]] : ids, learners: [], votersOutgoing: joint ? ids : [],
            learnersNext: joint && random.chance(1, in: 2) ? [ids[2]] : [], autoLeave: joint)
        for id in ids {
            var storage = MemoryStorage()
            try storage.apply(
                Snapshot(metadata: SnapshotMetadata(confState: state, index: LogIndex(1), term: Term(1))))
            var config = Config(id: id, electionTicks: 4, heartbeatTicks: 1)
            config.applied = LogIndex(1)
            config.asyncStorageWrites = isAsynchronous
            config.preVote = random.chance(1, in: 2)
            config.checkQuorum = random.chance(1, in: 2)
            config.readOnly = config.checkQuorum && random.chance(1, in: 2) ? .leaseBased : .safe
            config.maxSizePerMessage = [0, 50, noLimit][random.next(below: 3)]
            config.maxInflightMessages = 1 + random.next(below: 4)
            config.maxUncommittedSize = [0, 100][random.next(below: 2)]
            config.stepDownOnRemoval = random.chance(1, in: 2)
            nodes.append(try RawNode(config, storage: storage))
        }
        shown = Array(repeating: Shown(committed: LogIndex(1), applied: LogIndex(1)), count: nodes.count)
        pending = Array(repeating: ([], []), count: nodes.count)
    }

    mutating func run(steps: Int) throws {
        for _ in 0..<steps {
            let i = random.next(below: nodes.count)
            switch random.next(below: 20) {
            case 0..<8: deliver()
            case 8..<13: lie(to: i)
            case 13..<15: nodes[i].tick()
            case 15: try? nodes[i].propose([UInt8](repeating: 7, count: random.next(below: 60)))
            case 16: nodes[i].readIndex(context: [1, 2, 3])
            case 17: nodes[i].transferLeadership(to: MemberID(UInt64(random.next(below: 5))))
            case 18:
                nodes[i].reportSnapshot(to: MemberID(UInt64(random.next(below: 5))), failed: random.chance(1, in: 2))
            default: nodes[i].campaign()
            }
            for j in nodes.indices {
                try check(j)
                if random.chance(2, in: 3) { try work(j) }
            }
        }
    }

    private mutating func deliver() {
        if network.isEmpty { return }
        let message = network.remove(at: random.chance(3, in: 4) ? 0 : random.next(below: network.count))
        let i = Int(truncatingIfNeeded: message.to.rawValue &- 1)
        if nodes.indices.contains(i) { step(i, message) }
    }

    private mutating func lie(to i: Int) {
        let example = network.isEmpty ? nil : network[random.next(below: network.count)]
        step(i, liar.message(to: nodes[i], like: example))
    }

    private mutating func step(_ i: Int, _ message: Message) {
        totals.byRole[nodes[i].basicStatus.softState.role, default: 0] += 1
        do {
            try nodes[i].step(message)
            totals.taken[message.type, default: 0] += 1
        } catch {
            totals.refused += 1
        }
    }

    // MARK: Working

    private mutating func work(_ i: Int) throws {
        if nodes[i].hasReady {
            let ready = nodes[i].ready()
            network += ready.messages
            if isAsynchronous {
                if let append = ready.append { pending[i].appends.append(append) }
                if let apply = ready.apply { pending[i].applies.append(apply) }
            } else {
                try persist(i, ready.hardState, ready.entries, ready.snapshot)
                try apply(i, ready.committedEntries)
                nodes[i].advance(ready)
            }
        }
        if !pending[i].appends.isEmpty && random.chance(2, in: 3) {
            let work = pending[i].appends.removeFirst()
            try persist(i, work.hardState, work.entries, work.snapshot)
            network += work.responses
            nodes[i].appended(work.receipt)
        }
        if !pending[i].applies.isEmpty && random.chance(2, in: 3) {
            let work = pending[i].applies.removeFirst()
            try apply(i, work.entries)
            nodes[i].applied(work.receipt)
        }
        if network.count > 60 { network.removeFirst(30) }
    }

    private mutating func persist(
        _ i: Int, _ hardState: HardState?, _ entries: [Entry], _ snapshot: Snapshot?
    ) throws {
        if let hardState { nodes[i].storage.setHardState(hardState) }
        if let snapshot {
            try nodes[i].storage.apply(snapshot)
            shown[i].applied = snapshot.metadata.index
        }
        nodes[i].storage.append(entries)
    }

    private mutating func apply(_ i: Int, _ entries: [Entry]) throws {
        for entry in entries where entry.index > shown[i].applied {
            if entry.index != shown[i].applied.next() {
                throw Broken(description: "\(nodes[i].id) applies \(entry.index) after \(shown[i].applied)")
            }
            if let known = shown[i].terms[entry.index], known != entry.term {
                throw Broken(description: "\(nodes[i].id) applies \(entry.index) twice: \(known), \(entry.term)")
            }
            shown[i].applied = entry.index
            shown[i].terms[entry.index] = entry.term
            // A change that is none, or that cannot follow the present configuration, is void.
            if let change = try? ConfChangeV2.carried(by: entry) { _ = try? nodes[i].applyConfChange(change) }
        }
    }

    private mutating func check(_ i: Int) throws {
        let node = nodes[i]
        guard node.term >= shown[i].term, node.committed >= shown[i].committed, node.applied <= node.committed,
            node.committed <= node.lastIndex
        else {
            throw Broken(description: "\(node.basicStatus) after term \(shown[i].term), commit \(shown[i].committed)")
        }
        shown[i].term = node.term
        shown[i].committed = node.committed
    }
}
