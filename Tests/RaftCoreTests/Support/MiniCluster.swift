import Base
import RaftCore

/// A few nodes in one thread whose messages arrive in order and at once, unless a test says otherwise.
struct MiniCluster {
    var nodes: [RawNode<MemoryStorage>] = []
    /// Under way, in the order in which they were sent.
    var network: [Message] = []
    /// What each node has applied.
    var applied: [[Entry]] = []
    /// What each node was told it may read.
    var reads: [[ReadState]] = []
    private var isAsynchronous = false
    /// Messages for which this is true are lost.
    var loses: @Sendable (Message) -> Bool = { _ in false }

    static func id(_ i: Int) -> MemberID { MemberID(UInt64(i)) }

    /// Nodes 1 to `count`, on storages that begin with a snapshot at index 1 and term 1; the first leader has term 2.
    init(_ count: Int, learners: [Int] = [], _ configure: (inout Config) -> Void = { _ in }) throws {
        let ids = (1...count).map(Self.id)
        let learnerIDs = learners.map(Self.id)
        let state = ConfState(voters: ids.filter { !learnerIDs.contains($0) }, learners: learnerIDs)
        for id in ids {
            var storage = MemoryStorage()
            try storage.apply(
                Snapshot(metadata: SnapshotMetadata(confState: state, index: LogIndex(1), term: Term(1))))
            storage.setHardState(HardState(term: Term(1), commit: LogIndex(1)))
            var config = Config(id: id)
            config.applied = LogIndex(1)
            configure(&config)
            isAsynchronous = config.asyncStorageWrites
            nodes.append(try RawNode(config, storage: storage))
            applied.append([])
            reads.append([])
        }
    }

    subscript(i: Int) -> RawNode<MemoryStorage> {
        get { nodes[i - 1] }
        set { nodes[i - 1] = newValue }
    }

    /// Works off one Ready of a node, if there is one.
    mutating func work(_ i: Int) throws {
        guard nodes[i - 1].hasReady else { return }
        let ready = nodes[i - 1].ready()
        reads[i - 1] += ready.readStates
        if isAsynchronous {
            network += ready.messages
            if let append = ready.append {
                try persist(i, append.hardState, append.entries, append.snapshot)
                network += append.responses
                nodes[i - 1].appended(append.receipt)
            }
            if let work = ready.apply {
                try apply(i, work.entries)
                nodes[i - 1].applied(work.receipt)
            }
        } else {
            try persist(i, ready.hardState, ready.entries, ready.snapshot)
            network += ready.messages
            try apply(i, ready.committedEntries)
            nodes[i - 1].advance(ready)
        }
    }

    private mutating func persist(
        _ i: Int, _ hardState: HardState?, _ entries: [Entry], _ snapshot: Snapshot?
    ) throws {
        if let hardState { nodes[i - 1].storage.setHardState(hardState) }
        if let snapshot { try nodes[i - 1].storage.apply(snapshot) }
        nodes[i - 1].storage.append(entries)
    }

    private mutating func apply(_ i: Int, _ entries: [Entry]) throws {
        applied[i - 1] += entries
        for entry in entries {
            if let change = try ConfChangeV2.carried(by: entry) { _ = try nodes[i - 1].applyConfChange(change) }
        }
    }

    /// Works and delivers until nothing is left to do.
    mutating func settle() throws {
        while true {
            for i in 1...nodes.count { while nodes[i - 1].hasReady { try work(i) } }
            if network.isEmpty { return }
            var batch: [Message] = []
            swap(&batch, &network)
            for message in batch where !loses(message) && message.to.rawValue <= UInt64(nodes.count) {
                // Responses of nodes that were removed meanwhile are refused.
                try? nodes[Int(message.to.rawValue) - 1].step(message)
            }
        }
    }

    /// Makes a node the leader.
    mutating func elect(_ i: Int) throws {
        nodes[i - 1].campaign()
        try settle()
    }
}
