import RaftCore

// Three members count together, lose their leader, go on, and take it back.

var cluster = try CounterCluster(of: 3)

func waitForLeader(_ cluster: inout CounterCluster) throws -> MemberID {
    while true {
        try cluster.tick()
        if let leader = cluster.leader { return leader }
    }
}

let first = try waitForLeader(&cluster)
print("node \(first) leads")

// Any member takes a command; a follower forwards it.
for id in cluster.ids { try cluster.nodes[id]?.raft.propose([1]) }
try cluster.tick()
print("counter: \(cluster.ids.map { cluster.nodes[$0]?.counter.value ?? 0 })")

cluster.cutOff = [first]
let second = try waitForLeader(&cluster)
print("node \(first) is cut off, node \(second) leads")
try cluster.nodes[second]?.raft.propose([10])
try cluster.tick()
try cluster.nodes[second]?.compact()

// The old leader has missed an entry that is compacted by now: it gets a snapshot.
cluster.cutOff = []
for _ in 0..<5 { try cluster.tick() }
print("counter: \(cluster.ids.map { cluster.nodes[$0]?.counter.value ?? 0 })")

// A read that is certain to see every write before it, from a follower.
cluster.nodes[first]?.raft.readIndex(context: [7])
try cluster.tick()
let isReadable = cluster.nodes[first]?.readable == [[7]]
print("node \(first) reads \(isReadable ? String(cluster.nodes[first]?.counter.value ?? 0) : "nothing")")
