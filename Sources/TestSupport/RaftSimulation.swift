internal import Base
public import RaftCore

/// A cluster on a network that loses, repeats, reorders and partitions, on disks that forget what was not synced,
/// driven by chance from a seed. `RaftChecker` watches every step.
public struct RaftSimulation {
    /// What varies from run to run, drawn from the seed.
    public struct Options: Sendable {
        public var seed: UInt64
        /// The first voters, 1 to 7.
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
        public var checksQuorumEachTick: Bool
        public var campaignsInTurn: Bool
        public var repeatsProbesEmpty: Bool
        package var fault: SeededFault?
        /// Given to every node.
        public var trace: TraceSink?

        public init(seed: UInt64) {
            var random = SeededGenerator(seed: seed)
            self.seed = seed
            voters = 1 + random.next(below: 7)
            nodes = min(7, voters + random.next(below: 3))
            asyncStorageWrites = random.chance(2, in: 3)
            electionTicks = 4 + random.next(below: 8)
            preVote = random.chance(1, in: 2)
            checkQuorum = random.chance(1, in: 2)
            maxSizePerMessage = [0, 64, 1 << 20, noLimit][random.next(below: 4)]
            maxInflight = [1, 2, 4, 256][random.next(below: 4)]
            maxCommittedSize = [0, 40, 1 << 20][random.next(below: 3)]
            changesMembers = random.chance(2, in: 3)
            stepDownOnRemoval = random.chance(1, in: 3)
            checksQuorumEachTick = checkQuorum && random.chance(1, in: 2)
            campaignsInTurn = random.chance(1, in: 2)
            repeatsProbesEmpty = random.chance(1, in: 2)
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
        /// The commit index that was last synced; what was written since may be gone after a crash.
        var syncedCommit: LogIndex
        /// Nodes of different sides do not hear each other.
        var side = 0
    }

    public let options: Options
    /// Called with a node each time that something has happened to it.
    public var onObserve: (@Sendable (RawNode<MemoryStorage>) -> Void)?
    public internal(set) var checker = RaftChecker()
    public private(set) var steps = 0
    var events = RaftSimulationCounts()
    var random: SeededGenerator
    var nodes: [Node] = []
    var network: [Message] = []
    var proposals: UInt64 = 0
    /// Under `heal` nothing is lost and nobody crashes.
    var isCalm = false

    /// The most messages under way; beyond it the oldest are lost.
    static let networkLimit = 400

    public init(_ options: Options) throws(RaftViolation) {
        self.options = options
        random = SeededGenerator(seed: options.seed &+ 1)
        events.started(voters: options.voters)
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
    mutating func start(_ id: MemberID, _ storage: MemoryStorage) throws(RaftViolation) -> Node {
        var config = Config(id: id, electionTicks: options.electionTicks, heartbeatTicks: 2)
        config.asyncStorageWrites = options.asyncStorageWrites
        config.preVote = options.preVote
        config.checkQuorum = options.checkQuorum
        config.maxSizePerMessage = options.maxSizePerMessage
        config.maxInflightMessages = options.maxInflight
        config.maxCommittedSizePerReady = options.maxCommittedSize
        config.stepDownOnRemoval = options.stepDownOnRemoval
        config.checksQuorumEachTick = options.checksQuorumEachTick
        config.campaignsInTurn = options.campaignsInTurn
        config.repeatsProbesEmpty = options.repeatsProbesEmpty
        config.seed = random.next()
        config.trace = options.trace
        #if DEBUG
            config.fault = options.fault
        #endif
        let snapshot: Snapshot
        do { snapshot = try storage.snapshot() } catch { throw Self.broken("a snapshot is there", error) }
        config.applied = snapshot.metadata.index
        try checker.restarted(id, storage: storage)
        do {
            return Node(
                raw: try RawNode(config, storage: storage), machine: Machine(snapshot),
                syncedCommit: storage.initialState.hardState.commit)
        } catch {
            throw Self.broken("a node starts from its disk", error)
        }
    }

    /// What has happened so far.
    public var counts: RaftSimulationCounts {
        var counts = events
        counts[.leaderElected] = checker.elections
        return counts
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
        case 0..<660: try goOn()
        case 660..<780: if nodes[i].isUp { nodes[i].raw.tick() }
        case 780..<860: propose(i)
        case 860..<895: read(i)
        case 895..<920: changeMembers(i)
        case 920..<932: transfer(i)
        case 932..<938: try crash(i)
        case 938..<960: try restartOne()
        case 960..<964: partition()
        case 964..<974: try compact(i)
        case 974..<980: if nodes[i].isUp { nodes[i].raw.reportUnreachable(anyID()) }
        case 980..<984: forgetLeader(i)
        default: for j in nodes.indices where nodes[j].isUp { nodes[j].raw.tick() }
        }
        for j in nodes.indices where nodes[j].isUp && (isCalm || random.chance(4, in: 5)) { try work(j) }
    }

    /// Lets one of the things go on that are under way; if nothing is, time passes.
    private mutating func goOn() throws(RaftViolation) {
        let appending = nodes.indices.filter { nodes[$0].isUp && !nodes[$0].appends.isEmpty }
        let applying = nodes.indices.filter { nodes[$0].isUp && !nodes[$0].applies.isEmpty }
        switch random.next(below: 6) {
        case 0 where !appending.isEmpty, 1 where !appending.isEmpty:
            try finishAppend(appending[random.next(below: appending.count)])
        case 2 where !applying.isEmpty: try finishApply(applying[random.next(below: applying.count)])
        default:
            if !network.isEmpty { return try deliverOne() }
            for j in nodes.indices where nodes[j].isUp { nodes[j].raw.tick() }
        }
    }

    mutating func anyID() -> MemberID { MemberID(UInt64(1 + random.next(below: nodes.count))) }

    /// Looks at a node and takes its Ready, if it has one.
    mutating func work(_ i: Int) throws(RaftViolation) {
        try observe(i)
        guard nodes[i].raw.hasReady else { return }
        if !options.asyncStorageWrites && !isCalm && random.chance(1, in: 8) { return }
        let ready = nodes[i].raw.ready()
        try checker.check(ready, of: nodes[i].raw)
        events[.readAnswered] += ready.readStates.count
        if options.asyncStorageWrites {
            try send(ready.messages, from: i)
            if let append = ready.append { nodes[i].appends.append(append) }
            if let apply = ready.apply { nodes[i].applies.append(apply) }
        } else {
            try write(i, ready.hardState, ready.entries, ready.snapshot, synced: ready.mustSync)
            // A crash may come between any two of the things that a Ready asks for.
            if crashesNow() { return crashed(i) }
            try send(ready.messages, from: i)
            if crashesNow() { return crashed(i) }
            try apply(i, ready.committedEntries)
            nodes[i].raw.advance(ready)
            try observe(i)
        }
    }

    mutating func observe(_ i: Int) throws(RaftViolation) {
        onObserve?(nodes[i].raw)
        let all = nodes
        try checker.observe(nodes[i].raw) { id in
            let j = Int(id.rawValue) - 1
            return all.indices.contains(j) ? all[j].raw.storage : nil
        }
    }
}
