internal import Base
package import RaftCore

/// A cluster on a network that loses, repeats, reorders and partitions, on disks that forget what was not synced,
/// driven by chance from a seed. `RaftChecker` watches every step.
public struct RaftSimulation {
    /// What varies from run to run, drawn from the seed.
    public struct Options: Sendable {
        public var seed: UInt64
        /// The first voters, 1 to 5.
        public var voters: Int
        /// All nodes; those that are not voters at first may be added, up to 7.
        public var nodes: Int
        public var asyncStorageWrites: Bool
        public var electionTicks: Int
        public var preVote: Bool
        public var checkQuorum: Bool
        public var maxSizePerMessage: UInt64
        public var maxInflight: Int
        public var maxCommittedSize: UInt64
        public var changesMembers: Bool
        public var stepDownOnRemoval: Bool
        package var fault: SeededFault?

        public init(seed: UInt64) {
            var random = SeededGenerator(seed: seed)
            self.seed = seed
            voters = 1 + random.next(below: 5)
            nodes = min(7, voters + random.next(below: 3))
            asyncStorageWrites = random.chance(2, in: 3)
            electionTicks = 3 + random.next(below: 8)
            preVote = random.chance(1, in: 2)
            checkQuorum = random.chance(1, in: 2)
            maxSizePerMessage = [0, 64, 1 << 20, noLimit][random.next(below: 4)]
            maxInflight = [1, 2, 4, 256][random.next(below: 4)]
            maxCommittedSize = [0, 40, 1 << 20][random.next(below: 3)]
            changesMembers = random.chance(2, in: 3)
            stepDownOnRemoval = random.chance(1, in: 3)
        }
    }

    /// A state machine whose state is the hash of its history.
    struct Machine {
        var index = LogIndex.zero
        var hash: UInt64 = 0
        var confState = ConfState()

        init(_ snapshot: Snapshot) {
            index = snapshot.metadata.index
            confState = snapshot.metadata.confState
            hash = snapshot.data.reduce(0) { $0 << 8 | UInt64($1) }
        }

        mutating func add(_ entry: Entry) {
            index = entry.index
            hash = (hash ^ entry.term.rawValue) &* 0x100_0000_01B3
            for byte in entry.data { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        }

        var bytes: [UInt8] { (0..<8).map { UInt8(truncatingIfNeeded: hash >> (56 - $0 * 8)) } }
    }

    struct Node {
        var raw: RawNode<MemoryStorage>
        var machine: Machine
        var appends: [AppendWork] = []
        var applies: [ApplyWork] = []
        var isUp = true
        /// Nodes of different sides do not hear each other.
        var side = 0
    }

    public let options: Options
    public private(set) var checker = RaftChecker()
    public private(set) var steps = 0
    var random: SeededGenerator
    var nodes: [Node] = []
    var network: [Message] = []
    private var proposals: UInt64 = 0
    /// Under `heal` nothing is lost and nobody crashes.
    private var isCalm = false

    /// The most messages under way; beyond it the oldest are lost.
    private static let networkLimit = 400

    public init(_ options: Options) throws(RaftViolation) {
        self.options = options
        random = SeededGenerator(seed: options.seed &+ 1)
        let voters = (1...options.voters).map { MemberID(UInt64($0)) }
        for i in 1...options.nodes {
            var storage = MemoryStorage()
            if i <= options.voters {
                let first = Snapshot(
                    metadata: SnapshotMetadata(
                        confState: ConfState(voters: voters), index: LogIndex(1), term: Term(1)))
                do { try storage.apply(first) } catch { throw Self.broken("a new storage takes a snapshot", error) }
            }
            nodes.append(try start(MemberID(UInt64(i)), storage))
        }
    }

    /// A node that starts from what is on its disk.
    private mutating func start(_ id: MemberID, _ storage: MemoryStorage) throws(RaftViolation) -> Node {
        var config = Config(id: id, electionTicks: options.electionTicks, heartbeatTicks: 2)
        config.asyncStorageWrites = options.asyncStorageWrites
        config.preVote = options.preVote
        config.checkQuorum = options.checkQuorum
        config.maxSizePerMessage = options.maxSizePerMessage
        config.maxInflightMessages = options.maxInflight
        config.maxCommittedSizePerReady = options.maxCommittedSize
        config.stepDownOnRemoval = options.stepDownOnRemoval
        config.seed = random.next()
        #if DEBUG
            config.fault = options.fault
        #endif
        let snapshot: Snapshot
        do { snapshot = try storage.snapshot() } catch { throw Self.broken("a snapshot is there", error) }
        config.applied = snapshot.metadata.index
        try checker.restarted(id, storage: storage)
        do {
            return Node(raw: try RawNode(config, storage: storage), machine: Machine(snapshot))
        } catch {
            throw Self.broken("a node starts from its disk", error)
        }
    }

    static func broken(_ rule: String, _ error: some Error) -> RaftViolation {
        RaftViolation(rule: rule, detail: "\(error)")
    }

    // MARK: Steps

    /// Lets chance do `count` things.
    public mutating func run(steps count: Int) throws(RaftViolation) {
        for _ in 0..<count { try step() }
    }

    private mutating func step() throws(RaftViolation) {
        steps += 1
        let i = random.next(below: nodes.count)
        switch random.next(below: 1000) {
        case 0..<500: try deliverOne()
        case 500..<660: try finishAppend(i)
        case 660..<740: try finishApply(i)
        case 740..<840: if nodes[i].isUp { nodes[i].raw.tick() }
        case 840..<900: propose(i)
        case 900..<920: read(i)
        case 920..<935: changeMembers(i)
        case 935..<940: if nodes[i].isUp { nodes[i].raw.transferLeadership(to: anyID()) }
        case 940..<950: try crash(i)
        case 950..<954: partition()
        case 954..<964: try compact(i)
        case 964..<969: if nodes[i].isUp { nodes[i].raw.reportUnreachable(anyID()) }
        case 969..<972: if nodes[i].isUp { nodes[i].raw.forgetLeader() }
        default: for j in nodes.indices where nodes[j].isUp { nodes[j].raw.tick() }
        }
        for j in nodes.indices where nodes[j].isUp && (isCalm || random.chance(4, in: 5)) { try work(j) }
    }

    private mutating func anyID() -> MemberID { MemberID(UInt64(1 + random.next(below: nodes.count))) }

    /// Looks at a node and takes its Ready, if it has one.
    private mutating func work(_ i: Int) throws(RaftViolation) {
        try observe(i)
        guard nodes[i].raw.hasReady else { return }
        if !options.asyncStorageWrites && !isCalm && random.chance(1, in: 8) { return }
        let ready = nodes[i].raw.ready()
        try checker.check(ready, of: nodes[i].raw)
        if options.asyncStorageWrites {
            try send(ready.messages, from: i)
            if let append = ready.append { nodes[i].appends.append(append) }
            if let apply = ready.apply { nodes[i].applies.append(apply) }
        } else {
            try write(i, ready.hardState, ready.entries, ready.snapshot)
            try send(ready.messages, from: i)
            try apply(i, ready.committedEntries)
            nodes[i].raw.advance(ready)
            try observe(i)
        }
    }

    private mutating func observe(_ i: Int) throws(RaftViolation) {
        let all = nodes
        try checker.observe(nodes[i].raw) { id in
            let j = Int(id.rawValue) - 1
            return all.indices.contains(j) ? all[j].raw.storage : nil
        }
    }

    // MARK: Disk and state machine

    private mutating func write(
        _ i: Int, _ hardState: HardState?, _ entries: [Entry], _ snapshot: Snapshot?
    ) throws(RaftViolation) {
        if let hardState { nodes[i].raw.storage.setHardState(hardState) }
        if let snapshot {
            do {
                try nodes[i].raw.storage.apply(snapshot)
            } catch {
                throw Self.broken("a snapshot is newer than the storage", error)
            }
            nodes[i].machine = Machine(snapshot)
        }
        nodes[i].raw.storage.append(entries)
    }

    private mutating func finishAppend(_ i: Int) throws(RaftViolation) {
        guard nodes[i].isUp, !nodes[i].appends.isEmpty else { return }
        let work = nodes[i].appends.removeFirst()
        try write(i, work.hardState, work.entries, work.snapshot)
        try send(work.responses, from: i)
        nodes[i].raw.appended(work.receipt)
        try observe(i)
    }

    private mutating func finishApply(_ i: Int) throws(RaftViolation) {
        guard nodes[i].isUp, !nodes[i].applies.isEmpty else { return }
        let work = nodes[i].applies.removeFirst()
        try apply(i, work.entries)
        nodes[i].raw.applied(work.receipt)
        try observe(i)
    }

    private mutating func apply(_ i: Int, _ entries: [Entry]) throws(RaftViolation) {
        // What a snapshot has overtaken is in it.
        for entry in entries where entry.index > nodes[i].machine.index {
            let id = nodes[i].raw.id
            if entry.index != nodes[i].machine.index.next() {
                throw RaftViolation(
                    rule: "entries are applied in order",
                    detail: "\(id): \(entry.index) after \(nodes[i].machine.index)")
            }
            nodes[i].machine.add(entry)
            try checker.applied(entry, state: nodes[i].machine.hash, on: id)
            let change: ConfChangeV2?
            do { change = try ConfChangeV2.carried(by: entry) } catch { throw Self.broken("a change decodes", error) }
            guard let change else { continue }
            // A change that cannot be applied is void on every node.
            if let state = try? nodes[i].raw.applyConfChange(change) {
                try checker.configured(state, before: nodes[i].machine.confState, at: entry.index, on: id)
                nodes[i].machine.confState = state
                // A newcomer can only start from a snapshot that knows it.
                _ = try? nodes[i].raw.storage.createSnapshot(
                    at: entry.index, confState: state, data: nodes[i].machine.bytes)
            }
        }
    }

    private mutating func compact(_ i: Int) throws(RaftViolation) {
        guard nodes[i].isUp else { return }
        let machine = nodes[i].machine
        guard machine.index <= nodes[i].raw.storage.lastIndex else { return }
        // A snapshot that is older than the last one is refused, which is right.
        guard
            (try? nodes[i].raw.storage.createSnapshot(
                at: machine.index, confState: machine.confState, data: machine.bytes)) != nil
        else { return }
        let keep = random.next(below: 4)
        guard machine.index > LogIndex(UInt64(keep)) else { return }
        try? nodes[i].raw.storage.compact(to: LogIndex(machine.index.rawValue - UInt64(keep)))
    }

    private mutating func crash(_ i: Int) throws(RaftViolation) {
        if isCalm { return }
        if nodes[i].isUp {
            // Of the writes that were under way the first few may have reached the disk.
            let kept = random.next(below: nodes[i].appends.count + 1)
            for work in nodes[i].appends.prefix(kept) { try write(i, work.hardState, work.entries, work.snapshot) }
            nodes[i].appends = []
            nodes[i].applies = []
            nodes[i].isUp = false
        } else {
            try restart(i)
        }
    }

    private mutating func restart(_ i: Int) throws(RaftViolation) {
        let side = nodes[i].side
        nodes[i] = try start(nodes[i].raw.id, nodes[i].raw.storage)
        nodes[i].side = side
    }

    // MARK: Network

    private mutating func send(_ messages: [Message], from i: Int) throws(RaftViolation) {
        for message in messages {
            try checker.sent(message, storage: nodes[i].raw.storage)
            network.append(message)
        }
        while network.count > Self.networkLimit { lose(0) }
    }

    private mutating func lose(_ k: Int) {
        let message = network.remove(at: k)
        report(message, failed: true)
    }

    /// The transport tells a leader what became of a snapshot.
    private mutating func report(_ message: Message, failed: Bool) {
        let i = Int(message.from.rawValue) - 1
        guard message.type == .snapshot, nodes[i].isUp else { return }
        nodes[i].raw.reportSnapshot(to: message.to, failed: failed)
    }

    private mutating func deliverOne() throws(RaftViolation) {
        if network.isEmpty { return }
        let k = isCalm || random.chance(3, in: 4) ? 0 : random.next(below: network.count)
        if !isCalm && random.chance(1, in: 20) { return lose(k) }
        let message = network[k]
        let (from, to) = (Int(message.from.rawValue) - 1, Int(message.to.rawValue) - 1)
        guard nodes.indices.contains(to), nodes.indices.contains(from), nodes[to].isUp,
            nodes[from].side == nodes[to].side
        else { return lose(k) }
        if isCalm || !random.chance(1, in: 20) { network.remove(at: k) }
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

    private mutating func partition() {
        let whole = isCalm || random.chance(1, in: 2)
        for i in nodes.indices { nodes[i].side = whole ? 0 : random.next(below: 2) }
    }

    // MARK: Requests

    /// Mostly one that believes to lead, be it cut off; otherwise the given one.
    private mutating func leaderMostly(_ any: Int) -> Int {
        let leaders = nodes.indices.filter { nodes[$0].isUp && nodes[$0].raw.isLeader }
        return leaders.isEmpty || random.chance(1, in: 8) ? any : leaders[random.next(below: leaders.count)]
    }

    private mutating func read(_ any: Int) {
        let i = leaderMostly(any)
        if nodes[i].isUp { nodes[i].raw.readIndex(context: checker.requestRead()) }
    }

    private mutating func propose(_ any: Int) {
        let i = leaderMostly(any)
        guard nodes[i].isUp else { return }
        proposals += 1
        let size = 1 + random.next(below: 24)
        // A refusal is a normal answer.
        try? nodes[i].raw.propose((0..<size).map { UInt8(truncatingIfNeeded: proposals >> (($0 & 7) * 8)) })
    }

    private mutating func changeMembers(_ i: Int) {
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
        // A leader that steps down as soon as it has applied its own removal may leave voters behind that do not know
        // yet that they are voters, and then nobody campaigns.
        if options.changesMembers && options.stepDownOnRemoval { return }
        let state = nodes.map { "\($0.raw.basicStatus) \($0.machine.index)" }.joined(separator: "\n")
        throw RaftViolation(rule: "a healed cluster makes progress", detail: "none in 600 rounds of ticks\n\(state)")
    }

    /// The members of the newest configuration. Who was removed is shut down, as an operator does it: once all members
    /// know, for until then its vote may be needed.
    private mutating func membersNow() -> [Int] {
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
