import Base
import RaftCore

/// How long a cluster takes to get a leader that commits, in virtual time: nodes whose ticks are out of step, messages
/// and disks that take their time, all drawn from a seed. Times are in microseconds.
struct ElectionRace {
    struct Options {
        var members = 3
        var electionTicks = 10
        var tick = 100_000
        var preVote = true
        /// Nodes that have neither of the two options that make elections prompt, as an etcd has not.
        var foreign: Set<Int> = []
        /// Of a message.
        var latency = 200...2_000
        /// Of a write and sync of the log.
        var sync = 500...5_000
        /// Between the cuts of a fault: not all members lose the leader at once.
        var spread = 0...30_000
        var seed: UInt64 = 1
        /// Between proposals.
        var proposals = 20_000
        var log: LogSink?
    }

    enum Fault {
        /// Nothing comes from the leader, nothing reaches it.
        case silenced
        /// Nothing reaches the leader. It is heard for so long: without acknowledgements the kernel stops sending.
        case deaf(heardFor: ClosedRange<Int>)
    }

    struct Outcome: Equatable {
        /// From the beginning of the fault, or from the start, to the first commit of a new leader.
        var time: Int
        /// Terms that it took; one if the first campaign won.
        var terms: UInt64
        /// From the beginning of the fault to the end of the old leader's rule, as it sees it itself.
        var steppedDown: Int?
    }

    private enum Event {
        case tick(Int)
        case arrival(Message)
        case written(Int, AppendWork)
        case proposal
    }

    private let options: Options
    private var random: SeededGenerator
    private var nodes: [RawNode<MemoryStorage>] = []
    /// The earliest is last; of those at the same time, the one that was scheduled first.
    private var queue: [(time: Int, event: Event)] = []
    private(set) var now = 0
    /// When the last message on each way arrives, for none overtakes another; appends have a connection of their own.
    private var arrivals: [[[Int]]]
    private var diskFree: [Int]
    /// From when on nothing goes from one node to another.
    private var cut: [[Int]]

    init(_ options: Options) throws {
        self.options = options
        let n = options.members
        random = SeededGenerator(seed: options.seed)
        arrivals = Array(repeating: Array(repeating: Array(repeating: 0, count: n), count: n), count: 2)
        cut = Array(repeating: Array(repeating: .max, count: n), count: n)
        diskFree = Array(repeating: 0, count: n)
        let voters = (0..<n).map(Self.id)
        for i in 0..<n {
            var storage = MemoryStorage()
            try storage.apply(
                Snapshot(
                    metadata: SnapshotMetadata(confState: ConfState(voters: voters), index: LogIndex(1), term: Term(1)))
            )
            storage.setHardState(HardState(term: Term(1), commit: LogIndex(1)))
            var config = Config(id: Self.id(i), electionTicks: options.electionTicks)
            config.applied = LogIndex(1)
            config.asyncStorageWrites = true
            config.checkQuorum = true
            config.preVote = options.preVote
            config.seed = options.seed
            config.log = options.log
            config.checksQuorumEachTick = !options.foreign.contains(i)
            config.campaignsInTurn = !options.foreign.contains(i)
            nodes.append(try RawNode(config, storage: storage))
            schedule(random.next(below: options.tick), .tick(i))
        }
    }

    private static func id(_ i: Int) -> MemberID { MemberID(UInt64(i + 1)) }
    private static func position(_ id: MemberID) -> Int { Int(id.rawValue) - 1 }

    // MARK: Runs

    /// Lets the cluster elect its first leader.
    mutating func start() throws -> Outcome {
        let term = nodes[0].term
        let leader = try run(until: .max, except: nil)
        return Outcome(time: now, terms: nodes[leader].term.rawValue - term.rawValue, steppedDown: nil)
    }

    /// Lets the cluster work for a while and lose its leader.
    mutating func lose(_ fault: Fault) throws -> Outcome {
        let old = try run(until: .max, except: nil)
        schedule(0, .proposal)
        let begin = now + options.tick * 5 + random.next(below: options.tick * options.electionTicks)
        _ = try run(until: begin, except: old)
        guard nodes[old].isLeader else { preconditionFailure("seed \(options.seed): no peace") }
        let term = nodes[old].term
        var at = begin
        for i in nodes.indices where i != old {
            cut[i][old] = at
            at += draw(options.spread)
            switch fault {
            case .silenced: cut[old][i] = at
            case .deaf(let range): cut[old][i] = begin + draw(range)
            }
            at += draw(options.spread)
        }
        let successor = try run(until: .max, except: old)
        var outcome = Outcome(time: now - begin, terms: nodes[successor].term.rawValue - term.rawValue)
        while nodes[old].isLeader && nodes[old].term == term { try next() }
        outcome.steppedDown = now - begin
        return outcome
    }

    /// - Returns: the first leader besides `former` that has committed all it has.
    private mutating func run(until end: Int, except former: Int?) throws -> Int {
        while now < end {
            try next()
            for i in nodes.indices where i != former && nodes[i].isLeader && nodes[i].committed == nodes[i].lastIndex {
                return i
            }
        }
        return former ?? 0
    }

    // MARK: Events

    private mutating func draw(_ range: ClosedRange<Int>) -> Int {
        range.lowerBound + random.next(below: range.count)
    }

    private mutating func schedule(_ delay: Int, _ event: Event) {
        let time = now + delay
        let place = queue.lastIndex { $0.time > time }.map { $0 + 1 } ?? 0
        queue.insert((time, event), at: place)
    }

    private mutating func next() throws {
        let (time, event) = queue.removeLast()
        now = time
        switch event {
        case .tick(let i):
            nodes[i].tick()
            schedule(options.tick, .tick(i))
            work(i)
        case .arrival(let message):
            let (from, to) = (Self.position(message.from), Self.position(message.to))
            if now >= cut[from][to] { return }
            try nodes[to].step(message)
            work(to)
        case .written(let i, let done):
            if let state = done.hardState { nodes[i].storage.setHardState(state) }
            nodes[i].storage.append(done.entries)
            send(done.responses)
            nodes[i].appended(done.receipt)
            work(i)
        case .proposal:
            // So that the followers' logs differ when their leader is lost.
            for i in nodes.indices where nodes[i].isLeader { try nodes[i].propose([1]) }
            for i in nodes.indices { work(i) }
            schedule(options.proposals, .proposal)
        }
    }

    private mutating func work(_ i: Int) {
        while nodes[i].hasReady {
            let ready = nodes[i].ready()
            send(ready.messages)
            if let append = ready.append {
                diskFree[i] = max(diskFree[i], now) + (append.mustSync ? draw(options.sync) : 10)
                schedule(diskFree[i] - now, .written(i, append))
            }
            if let apply = ready.apply { nodes[i].applied(apply.receipt) }
        }
    }

    private mutating func send(_ messages: [Message]) {
        for message in messages {
            let (from, to) = (Self.position(message.from), Self.position(message.to))
            let connection = message.type == .append ? 1 : 0
            let time = max(arrivals[connection][from][to], now + draw(options.latency))
            arrivals[connection][from][to] = time
            schedule(time - now, .arrival(message))
        }
    }
}
