import Base
import RaftCore

// MARK: Arguments

extension RaftInteractionFile.Command {
    /// The i-th argument as it stands.
    func word(_ i: Int) throws -> String {
        guard i < arguments.count else { throw RaftInteractionError(description: "argument \(i + 1) is missing") }
        return arguments[i].key
    }

    func number(_ i: Int) throws -> Int { try parseInt(try word(i)) }

    /// The position of the node whose ID is the i-th argument.
    func node(_ i: Int, _ count: Int) throws -> Int {
        let id = try number(i)
        guard id >= 1 && id <= count else { throw RaftInteractionError(description: "no node \(id)") }
        return id - 1
    }

    /// The value of an argument that must be there.
    func value(_ key: String) throws -> String {
        guard let value = arguments.first(where: { $0.key == key })?.values.first else {
            throw RaftInteractionError(description: "argument \(key) is missing")
        }
        return value
    }

    /// The positions of the nodes whose IDs stand alone among the arguments.
    func nodes(_ count: Int) throws -> [Int] {
        try arguments.indices.filter { arguments[$0].values.isEmpty }.map { try node($0, count) }
    }
}

func parseInt(_ text: String) throws -> Int {
    guard let value = Int(text), value >= 0 else {
        throw RaftInteractionError(description: "strconv.Atoi: parsing \"\(text)\": invalid syntax")
    }
    return value
}

func parseBool(_ text: String) throws -> Bool {
    switch text {
    case "1", "t", "T", "true", "TRUE", "True": return true
    case "0", "f", "F", "false", "FALSE", "False": return false
    default: throw RaftInteractionError(description: "strconv.ParseBool: parsing \"\(text)\": invalid syntax")
    }
}

// MARK: Setting up

extension RaftInteractionEnvironment {
    func setLevel(_ name: String) throws {
        let levels = RaftInteractionOutput.Level.allCases
        guard let level = levels.first(where: { $0.name == name.uppercased() }) else {
            let names = levels.map(\.name).joined(separator: " ")
            throw RaftInteractionError(description: "log levels must be either of [\(names)]")
        }
        output.level = level
    }

    func addNodes(_ command: RaftInteractionFile.Command) throws {
        var snapshot = Snapshot()
        var config = Config(id: .none, electionTicks: 3, heartbeatTicks: 1)
        config.maxSizePerMessage = noLimit
        config.maxInflightMessages = Int(Int32.max)
        for argument in command.arguments {
            for value in argument.values {
                switch argument.key {
                case "voters": snapshot.metadata.confState.voters.append(MemberID(UInt64(try parseInt(value))))
                case "learners": snapshot.metadata.confState.learners.append(MemberID(UInt64(try parseInt(value))))
                case "inflight": config.maxInflightMessages = try parseInt(value)
                case "index":
                    snapshot.metadata.index = LogIndex(UInt64(try parseInt(value)))
                    config.applied = snapshot.metadata.index
                case "content": snapshot.data = Array(value.utf8)
                case "async-storage-writes": config.asyncStorageWrites = try parseBool(value)
                case "prevote": config.preVote = try parseBool(value)
                case "checkquorum": config.checkQuorum = try parseBool(value)
                case "max-committed-size-per-ready": config.maxCommittedSizePerReady = UInt64(try parseInt(value))
                case "disable-conf-change-validation": config.disableConfChangeValidation = try parseBool(value)
                case "read-only":
                    switch value {
                    case "safe": config.readOnly = .safe
                    case "lease-based": config.readOnly = .leaseBased
                    default: throw RaftInteractionError(description: "invalid read-only option \"\(value)\"")
                    }
                case "step-down-on-removal": config.stepDownOnRemoval = try parseBool(value)
                // The language passes over options that it does not know.
                default: break
                }
            }
        }
        for _ in 0..<(try command.number(0)) {
            var storage = RaftInteractionStorage()
            if snapshot != Snapshot() {
                if snapshot.metadata.index <= LogIndex(1) {
                    throw RaftInteractionError(description: "index must be specified as > 1 due to bootstrap")
                }
                snapshot.metadata.term = Term(1)
                try storage.memory.apply(snapshot)
                storage.newest = snapshot
            }
            config.id = MemberID(UInt64(nodes.count + 1))
            config.seed = UInt64(nodes.count)
            config.log = output.sink
            nodes.append(Node(raw: try RawNode(config, storage: storage), config: config))
        }
    }
}

// MARK: Proposing

extension RaftInteractionEnvironment {
    /// Turns the reason of a refusal into etcd's words, which give none.
    func proposing(_ body: () throws(ProposalError) -> Void) throws {
        do {
            try body()
        } catch {
            throw RaftInteractionError(description: "raft proposal dropped")
        }
    }

    func proposeConfChange(_ command: RaftInteractionFile.Command) throws {
        let i = try command.node(0, nodes.count)
        var v1 = false
        var transition = ConfChangeTransition.auto
        for argument in command.arguments.dropFirst() {
            for value in argument.values {
                switch argument.key {
                case "v1": v1 = try parseBool(value)
                case "transition":
                    switch value {
                    case "auto": transition = .auto
                    case "implicit": transition = .jointImplicit
                    case "explicit": transition = .jointExplicit
                    default: throw RaftInteractionError(description: "unknown transition \(value)")
                    }
                default: throw RaftInteractionError(description: "unknown command \(argument.key)")
                }
            }
        }
        let changes = try parseConfChanges(command.input)
        if v1 {
            guard changes.count == 1, transition == .auto else {
                throw RaftInteractionError(description: "v1 conf change can only have one operation and no transition")
            }
            let change = ConfChange(type: changes[0].type, nodeID: changes[0].nodeID)
            try proposing { () throws(ProposalError) in try nodes[i].raw.proposeConfChange(change) }
        } else {
            let change = ConfChangeV2(transition: transition, changes: changes)
            try proposing { () throws(ProposalError) in try nodes[i].raw.proposeConfChange(change) }
        }
    }
}

// MARK: Messages

extension RaftInteractionEnvironment {
    func deliverMessages(_ command: RaftInteractionFile.Command) throws {
        var type: MessageType?
        var recipients: [(id: MemberID, drop: Bool)] = []
        for argument in command.arguments {
            if argument.values.isEmpty { recipients.append((MemberID(UInt64(try parseInt(argument.key))), false)) }
            for value in argument.values {
                switch argument.key {
                case "drop":
                    let id = MemberID(UInt64(try parseInt(value)))
                    if recipients.contains(where: { $0.id == id }) {
                        throw RaftInteractionError(description: "can't both deliver and drop msgs to \(id.rawValue)")
                    }
                    recipients.append((id, true))
                case "type":
                    guard let known = MessageType.allCases.first(where: { $0.name == value }) else {
                        throw RaftInteractionError(description: "unknown message type \(value)")
                    }
                    type = known
                default: break
                }
            }
        }
        var handled = 0
        for recipient in recipients { handled += deliver(to: recipient.id, type: type, drop: recipient.drop) }
        if handled == 0 { output.write("no messages\n") }
    }

    private func isWaiting(_ message: Message, for id: MemberID, type: MessageType?, drop: Bool) -> Bool {
        // What a node says to itself or hears from its own storage cannot be lost.
        let local = message.from == message.to || message.from.isLocalThread || message.to.isLocalThread
        return message.to == id && !(drop && local) && (type == nil || message.type == type)
    }

    /// Hands a node the messages that are under way to it, or loses them. Returns how many there were.
    @discardableResult
    func deliver(to id: MemberID, type: MessageType? = nil, drop: Bool = false) -> Int {
        let taken = messages.filter { isWaiting($0, for: id, type: type, drop: drop) }
        messages.removeAll { isWaiting($0, for: id, type: type, drop: drop) }
        for message in taken {
            output.write("\(drop ? "dropped: " : "")\(message.text())\n")
            if drop { continue }
            let i = Int(id.rawValue) - 1
            guard nodes.indices.contains(i) else {
                output.write("no node \(id.rawValue)\n")
                continue
            }
            do {
                if message.from == message.to || message.from.isLocalThread {
                    try nodes[i].raw.stepLocal(message)
                } else {
                    try nodes[i].raw.step(message)
                }
            } catch {
                output.write("\(words(for: error))\n")
            }
        }
        return taken.count
    }

    /// etcd's words, where it has an error; ours, where it panics.
    private func words(for error: StepError) -> String {
        switch error {
        case .localMessage: "raft: cannot step raft local message"
        case .peerNotFound: "raft: cannot step as peer not found"
        case .proposal: "raft proposal dropped"
        default: error.description
        }
    }

    func sendSnapshot(_ command: RaftInteractionFile.Command) throws {
        let from = try command.node(0, nodes.count)
        let snapshot = try nodes[from].raw.storage.snapshot()
        let message = Message(
            type: .snapshot, to: MemberID(UInt64(try command.number(1))), from: MemberID(UInt64(from + 1)),
            term: nodes[from].raw.term, snapshot: snapshot)
        messages.append(message)
        output.write(message.text())
    }
}

// MARK: Ready and storage work

extension RaftInteractionEnvironment {
    /// Runs `body` for each node that the command names; for several, with a heading and indented.
    func eachNode(
        _ command: RaftInteractionFile.Command, _ doing: String, _ body: (Int) throws -> Void
    ) throws {
        let named = try command.nodes(nodes.count)
        for i in named {
            if named.count == 1 {
                try body(i)
            } else {
                output.write("> \(i + 1) \(doing)\n")
                try output.indented { try body(i) }
            }
        }
    }

    func processReady(_ i: Int) throws {
        let ready = nodes[i].raw.ready()
        output.write(ready.text(from: nodes[i].raw.id))
        if nodes[i].config.asyncStorageWrites {
            for message in ready.allMessages(from: nodes[i].raw.id) {
                switch message.type {
                case .storageAppend: nodes[i].appendWork.append(message)
                case .storageApply: nodes[i].applyWork.append(message)
                default: messages.append(message)
                }
            }
        } else {
            try write(i, ready.hardState, ready.entries, ready.snapshot)
            try apply(i, ready.committedEntries)
            messages += ready.messages
            nodes[i].raw.advance(ready)
        }
    }

    private func write(_ i: Int, _ hardState: HardState?, _ entries: [Entry], _ snapshot: Snapshot?) throws {
        if let hardState, !hardState.isEmpty { nodes[i].raw.storage.memory.setHardState(hardState) }
        guard let snapshot else { return nodes[i].raw.storage.memory.append(entries) }
        if !entries.isEmpty {
            throw RaftInteractionError(description: "can't apply snapshot and entries at the same time")
        }
        try nodes[i].raw.storage.memory.apply(snapshot)
        nodes[i].raw.storage.newest = snapshot
    }

    /// Applies entries to a state machine that strings their data together, and makes a snapshot of each state.
    private func apply(_ i: Int, _ entries: [Entry]) throws {
        for entry in entries {
            var state = nodes[i].raw.storage.newest
            if let change = try ConfChangeV2.carried(by: entry) {
                state.data += change.context
                state.metadata.confState = try nodes[i].raw.applyConfChange(change)
            } else {
                state.data += entry.data
            }
            state.metadata.index = entry.index
            state.metadata.term = entry.term
            nodes[i].raw.storage.newest = state
        }
    }

    func processAppendThread(_ i: Int) throws {
        if nodes[i].appendWork.isEmpty { return output.write("no append work to perform") }
        try processThread(nodes[i].appendWork.removeFirst()) { work in
            let hardState = HardState(term: work.term, vote: work.vote, commit: work.commit)
            try write(i, hardState, work.entries, work.snapshot)
        }
    }

    func processApplyThread(_ i: Int) throws {
        if nodes[i].applyWork.isEmpty { return output.write("no apply work to perform") }
        try processThread(nodes[i].applyWork.removeFirst()) { try apply(i, $0.entries) }
    }

    private func processThread(_ work: Message, _ body: (Message) throws -> Void) throws {
        var shown = work
        shown.responses = []
        output.write("Processing:\n\(shown.text())\n")
        try body(work)
        output.write("Responses:\n")
        for response in work.responses { output.write("\(response.text())\n") }
        messages += work.responses
    }

    func stabilize(_ command: RaftInteractionFile.Command) throws {
        let before = output.level
        defer { output.level = before }
        if let level = command.arguments.first(where: { $0.key == "log-level" })?.values.first {
            try setLevel(level)
        }
        let named = try command.nodes(nodes.count)
        let those = named.isEmpty ? Array(nodes.indices) : named
        var progress = true
        while progress {
            progress = false
            for i in those where nodes[i].raw.hasReady {
                progress = true
                output.write("> \(i + 1) handling Ready\n")
                try output.indented { try processReady(i) }
            }
            for i in those {
                let id = nodes[i].raw.id
                guard messages.contains(where: { $0.to == id }) else { continue }
                progress = true
                output.write("> \(i + 1) receiving messages\n")
                output.indented { _ = deliver(to: id) }
            }
            for i in those where !nodes[i].appendWork.isEmpty {
                progress = true
                output.write("> \(i + 1) processing append thread\n")
                while !nodes[i].appendWork.isEmpty { try output.indented { try processAppendThread(i) } }
            }
            for i in those where !nodes[i].applyWork.isEmpty {
                progress = true
                output.write("> \(i + 1) processing apply thread\n")
                while !nodes[i].applyWork.isEmpty { try output.indented { try processApplyThread(i) } }
            }
        }
    }

    func printLog(_ i: Int) throws {
        let storage = nodes[i].raw.storage
        if storage.lastIndex < storage.firstIndex {
            return output.write("log is empty: first index=\(storage.firstIndex), last index=\(storage.lastIndex)")
        }
        let entries = try storage.entries(
            from: storage.firstIndex, to: storage.lastIndex.next(), maxSize: noLimit)
        for entry in entries { output.write("\(entry.text)\n") }
    }

    func printState() {
        for node in nodes {
            let status = node.raw.basicStatus
            let voter = node.raw.configuration.voters.contains(status.id) ? "(Voter)" : "(Non-Voter)"
            output.write(
                "\(status.id.rawValue): \(status.softState.role.name) \(voter) Term:\(status.hardState.term) Lead:\(status.softState.leader.rawValue)\n"
            )
        }
    }
}
