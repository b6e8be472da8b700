import Base
import RaftCore

/// A stable log whose snapshot is always the newest state of the application.
struct RaftInteractionStorage: Storage {
    var memory = MemoryStorage()
    var newest = Snapshot()

    var initialState: (hardState: HardState, confState: ConfState) { memory.initialState }
    var firstIndex: LogIndex { memory.firstIndex }
    var lastIndex: LogIndex { memory.lastIndex }
    func entries(from: LogIndex, to: LogIndex, maxSize: UInt64) throws(StorageError) -> [Entry] {
        try memory.entries(from: from, to: to, maxSize: maxSize)
    }
    func term(at index: LogIndex) throws(StorageError) -> Term { try memory.term(at: index) }
    func snapshot() throws(StorageError) -> Snapshot { newest }
}

/// The nodes of one transcript with their queues, and the messages between them: the language of rafttest, and two
/// commands more: `read-index 1 context`, and `report-snapshot 1 3 failed=true` for what the transport tells node 1.
final class RaftInteractionEnvironment {
    struct Node {
        var raw: RawNode<RaftInteractionStorage>
        var config: Config
        var appendWork: [Message] = []
        var applyWork: [Message] = []
    }

    var nodes: [Node] = []
    var messages: [Message] = []
    let output = RaftInteractionOutput()

    /// Runs a command and returns what it printed, `ok` if that is nothing.
    func handle(_ command: RaftInteractionFile.Command) -> String {
        _ = output.take()
        do {
            try run(command)
        } catch {
            if output.level == .none { return "\(error)" }
            output.write("\(error)")
        }
        let text = output.take()
        return text.isEmpty ? "ok" : text
    }

    private func run(_ command: RaftInteractionFile.Command) throws {
        switch command.name {
        case "_breakpoint": break
        case "add-nodes": try addNodes(command)
        case "campaign": nodes[try command.node(0, nodes.count)].raw.campaign()
        case "compact":
            let i = try command.node(0, nodes.count)
            try nodes[i].raw.storage.memory.compact(to: LogIndex(UInt64(try command.number(1))))
            try printLog(i)
        case "deliver-msgs": try deliverMessages(command)
        case "process-ready":
            try eachNode(command, "handling Ready", processReady)
        case "process-append-thread":
            try eachNode(command, "processing append thread", processAppendThread)
        case "process-apply-thread":
            try eachNode(command, "processing apply thread", processApplyThread)
        case "log-level": try setLevel(try command.word(0))
        case "raft-log": try printLog(try command.node(0, nodes.count))
        case "raft-state": printState()
        case "set-randomized-election-timeout":
            let timeout = try command.value("timeout")
            nodes[try command.node(0, nodes.count)].raw.setRandomizedElectionTimeout(try parseInt(timeout))
        case "stabilize": try stabilize(command)
        case "status":
            output.write(nodes[try command.node(0, nodes.count)].raw.status.progress.description)
        case "tick-election":
            let i = try command.node(0, nodes.count)
            for _ in 0..<nodes[i].config.electionTicks { nodes[i].raw.tick() }
        case "tick-heartbeat":
            let i = try command.node(0, nodes.count)
            for _ in 0..<nodes[i].config.heartbeatTicks { nodes[i].raw.tick() }
        case "transfer-leadership":
            let from = try parseInt(try command.value("from"))
            guard from >= 1 && from <= nodes.count else { throw RaftInteractionError(description: "no node \(from)") }
            nodes[from - 1].raw.transferLeadership(to: MemberID(UInt64(try parseInt(try command.value("to")))))
        case "forget-leader": nodes[try command.node(0, nodes.count)].raw.forgetLeader()
        case "send-snapshot": try sendSnapshot(command)
        case "propose":
            let i = try command.node(0, nodes.count)
            let data = Array(try command.word(1).utf8)
            try proposing { () throws(ProposalError) in try nodes[i].raw.propose(data) }
        case "propose-conf-change": try proposeConfChange(command)
        case "report-unreachable":
            nodes[try command.node(0, nodes.count)].raw.reportUnreachable(
                MemberID(UInt64(try command.number(1))))
        // The next two are ours; rafttest has no words for them.
        case "read-index":
            nodes[try command.node(0, nodes.count)].raw.readIndex(context: Array(try command.word(1).utf8))
        case "report-snapshot":
            let failed = try parseBool(try command.value("failed"))
            nodes[try command.node(0, nodes.count)].raw.reportSnapshot(
                to: MemberID(UInt64(try command.number(1))), failed: failed)
        default: throw RaftInteractionError(description: "unknown command")
        }
    }
}
