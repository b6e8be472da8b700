import RaftCore

/// The state machine: a number, to which a command adds one byte's worth.
struct Counter: Equatable {
    var value = 0

    mutating func apply(_ command: [UInt8]) {
        for byte in command { value += Int(byte) }
    }

    /// The state for a snapshot, and back.
    var bytes: [UInt8] { Array(String(value).utf8) }
    init(_ bytes: [UInt8] = []) { value = Int(String(decoding: bytes, as: UTF8.self)) ?? 0 }
}

/// One member: raft, its log in memory, and its own copy of the state machine.
struct CounterNode {
    var raft: RawNode<MemoryStorage>
    var counter = Counter()
    /// Reads that were asked for and may be served now.
    var readable: [[UInt8]] = []

    init(id: MemberID, of members: [MemberID]) throws {
        var storage = MemoryStorage()
        try storage.apply(
            Snapshot(
                metadata: SnapshotMetadata(
                    confState: ConfState(voters: members), index: LogIndex(1), term: Term(1))))
        var config = Config(id: id)
        config.applied = LogIndex(1)
        raft = try RawNode(config, storage: storage)
    }

    /// Does all that raft asks for. Returns what is to be sent.
    mutating func work() throws -> [Message] {
        var outgoing: [Message] = []
        while raft.hasReady {
            let ready = raft.ready()
            if let state = ready.hardState { raft.storage.setHardState(state) }
            if let snapshot = ready.snapshot {
                try raft.storage.apply(snapshot)
                counter = Counter(snapshot.data)
            }
            raft.storage.append(ready.entries)
            outgoing += ready.messages
            for entry in ready.committedEntries { try apply(entry) }
            readable += ready.readStates.map(\.context)
            raft.advance(ready)
        }
        return outgoing
    }

    private mutating func apply(_ entry: Entry) throws {
        if let change = try ConfChangeV2.carried(by: entry) {
            _ = try raft.applyConfChange(change)
        } else {
            counter.apply(entry.data)
        }
    }

    /// Drops the log up to what is applied; the snapshot stands for it.
    mutating func compact() throws {
        _ = try raft.storage.createSnapshot(at: raft.applied, data: counter.bytes)
        try raft.storage.compact(to: raft.applied)
    }
}

/// All members in one process. A member that is cut off neither hears nor is heard.
struct CounterCluster {
    var nodes: [MemberID: CounterNode] = [:]
    var cutOff: Set<MemberID> = []
    var ids: [MemberID] { nodes.keys.sorted() }

    init(of count: UInt64) throws {
        let ids = (1...count).map { MemberID($0) }
        for id in ids { nodes[id] = try CounterNode(id: id, of: ids) }
    }

    /// Lets one tick pass and carries messages until nobody has anything more to say.
    mutating func tick() throws {
        for id in ids { nodes[id]?.raft.tick() }
        var messages = try ids.flatMap { try nodes[$0]?.work() ?? [] }
        while !messages.isEmpty {
            for message in messages where cutOff.isDisjoint(with: [message.from, message.to]) {
                // A message that is refused is like one that was lost.
                try? nodes[message.to]?.raft.step(message)
            }
            messages = try ids.flatMap { try nodes[$0]?.work() ?? [] }
        }
    }

    /// Who leads among the members that are not cut off.
    var leader: MemberID? { ids.first { !cutOff.contains($0) && nodes[$0]?.raft.isLeader == true } }
}
