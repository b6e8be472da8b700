internal import Base
internal import RaftCore

// How fast the consensus core alone is. `RaftBenchmark` prints one line for each figure; `RaftBenchmark single
// 1000000`, `steps` and `proposals` do one thing that often, for a profiler or a counter.

/// Three nodes in one thread whose messages and writes arrive at once.
struct Cluster {
    var nodes: [RawNode<MemoryStorage>] = []
    var inbox: [[Message]] = [[], [], []]
    var applied = [0, 0, 0]

    init(nodes count: Int = 3) throws {
        let ids = (1...count).map { MemberID(UInt64($0)) }
        for id in ids {
            var storage = MemoryStorage()
            try storage.apply(
                Snapshot(
                    metadata: SnapshotMetadata(confState: ConfState(voters: ids), index: LogIndex(1), term: Term(1))))
            var config = Config(id: id)
            config.asyncStorageWrites = true
            config.applied = LogIndex(1)
            nodes.append(try RawNode(config, storage: storage))
        }
        nodes[0].campaign()
        try settle()
    }

    mutating func settle() throws {
        var busy = true
        while busy {
            busy = false
            for i in nodes.indices {
                if !inbox[i].isEmpty {
                    var batch: [Message] = []
                    swap(&batch, &inbox[i])
                    for message in batch { try nodes[i].step(message) }
                    busy = true
                }
                while nodes[i].hasReady {
                    busy = true
                    work(i)
                }
            }
        }
    }

    private mutating func work(_ i: Int) {
        let ready = nodes[i].ready()
        send(ready.messages)
        if let work = ready.append {
            if let state = work.hardState { nodes[i].storage.setHardState(state) }
            nodes[i].storage.append(work.entries)
            send(work.responses)
            nodes[i].appended(work.receipt)
        }
        if let work = ready.apply {
            applied[i] += work.entries.count
            nodes[i].applied(work.receipt)
        }
    }

    private mutating func send(_ messages: [Message]) {
        for message in messages { inbox[Int(message.to.rawValue) - 1].append(message) }
    }

    /// Drops what all nodes have applied but the last thousand entries.
    mutating func compact() throws {
        for i in nodes.indices where nodes[i].applied > LogIndex(2000) {
            try? nodes[i].storage.compact(to: LogIndex(nodes[i].applied.rawValue - 1000))
        }
    }
}

func seconds(_ body: () throws -> Void) rethrows -> Double {
    let duration = try ContinuousClock().measure(body)
    return Double(duration.components.seconds) + Double(duration.components.attoseconds) * 1e-18
}

/// Entries a second, from proposal to applied on all three.
func throughput(batch: Int, size: Int, total: Int) throws {
    var cluster = try Cluster()
    let start = cluster.applied
    var value: UInt8 = 0
    let time = try seconds {
        for round in 0..<(total / batch) {
            let entries = (0..<batch).map { _ -> [UInt8] in
                value &+= 1
                return [UInt8](repeating: value, count: size)
            }
            try cluster.nodes[0].propose(contentsOf: entries)
            try cluster.settle()
            if round % 100 == 99 { try cluster.compact() }
        }
    }
    precondition(zip(cluster.applied, start).allSatisfy { $0 - $1 == total / batch * batch })
    print("3 nodes, \(size) bytes, batches of \(batch): \(Int(Double(total) / time)) entries/s")
}

/// Time for one entry on a lone voter whose log already has `length` entries.
func lone(length: Int, rounds: Int) throws {
    var cluster = try Cluster(nodes: 1)
    for _ in 0..<(length / 1000) {
        try cluster.nodes[0].propose(contentsOf: [[UInt8]](repeating: [1], count: 1000))
        try cluster.settle()
    }
    let payload = [UInt8](repeating: 7, count: 256)
    let time = try seconds {
        for _ in 0..<rounds {
            try cluster.nodes[0].propose(payload)
            try cluster.settle()
        }
    }
    print("lone voter, log of \(length): \(Int(time / Double(rounds) * 1e9)) ns an entry")
}

/// Time for one entry of one group among many in the process.
func groups(_ count: Int, rounds: Int) throws {
    var all = try (0..<count).map { _ in try Cluster(nodes: 1) }
    let payload = [UInt8](repeating: 7, count: 256)
    let time = try seconds {
        for round in 0..<rounds {
            try all[round % count].nodes[0].propose(payload)
            try all[round % count].settle()
        }
    }
    print("\(count) lone groups: \(Int(time / Double(rounds) * 1e9)) ns an entry")
}

/// Proposals alone, for counting allocations: `proposals` calls on a lone voter that nobody drains.
func proposals(_ count: Int) throws {
    var cluster = try Cluster(nodes: 1)
    let payload = [UInt8](repeating: 7, count: 256)
    for _ in 0..<count { try cluster.nodes[0].propose(payload) }
}

let arguments = CommandLine.arguments.dropFirst()
switch arguments.first {
case "proposals": try proposals(Int(arguments.last ?? "") ?? 1000)
case "single": try throughput(batch: 1, size: 256, total: Int(arguments.last ?? "") ?? 200_000)
case "steps":
    var cluster = try Cluster(nodes: 1)
    let payload = [UInt8](repeating: 7, count: 256)
    for _ in 0..<(Int(arguments.last ?? "") ?? 1000) {
        try cluster.nodes[0].propose(payload)
        try cluster.settle()
    }
default:
    for (batch, size) in [(100, 256), (1, 256), (1000, 256), (100, 16)] {
        try throughput(batch: batch, size: size, total: batch == 1 ? 200_000 : 2_000_000)
    }
    for length in [0, 10_000, 1_000_000] { try lone(length: length, rounds: 500_000) }
    for count in [1, 100, 10_000] { try groups(count, rounds: 500_000) }
}
