public import Base
public import RaftCore

/// A rule of Raft that a run has broken.
public struct RaftViolation: Error, CustomStringConvertible {
    public var rule: String
    public var detail: String
    public var description: String { "\(rule): \(detail)" }
}

/// Watches all nodes of a run and compares them with the rules of Raft (Raft thesis, figure 3.2 and chapters 4 and 6).
///
/// It knows nothing but what the public API shows: roles, terms, Readys, stored logs, configurations and messages.
public struct RaftChecker {
    /// The log of one node as its Readys have told it.
    private struct Shadow {
        /// The last index that is not kept, with its term.
        var base = (index: UInt64(0), term: Term.zero)
        var terms: [Term] = []
        var isConfChange: [Bool] = []
        var last: UInt64 { base.index + UInt64(terms.count) }

        func term(_ index: UInt64) -> Term? {
            if index == base.index { return base.term }
            return index > base.index && index <= last ? terms[Int(index - base.index - 1)] : nil
        }
    }

    private struct Observed {
        var shadow = Shadow()
        var term = Term.zero
        var committed = LogIndex.zero
        var checkedCommit = LogIndex.zero
        var leads = false
    }

    private struct EntryKey: Hashable {
        var index: LogIndex
        var term: Term
    }

    private struct Committed {
        var term: Term
        /// The term in which it was first seen committed.
        var inTerm: Term
    }

    private var nodes: [MemberID: Observed] = [:]
    private var leaders: [Term: MemberID] = [:]
    private var entries: [EntryKey: (data: Int, previous: Term)] = [:]
    /// By index - 1.
    private var committed: [Committed] = []
    private var applied: [UInt64: (term: Term, state: UInt64)] = [:]
    private var configurations: [UInt64: ConfState] = [:]
    private var votes: [EntryKey: MemberID] = [:]
    private var reads: [UInt64: LogIndex] = [:]
    private var nextRead: UInt64 = 0

    public init() {}

    /// The highest index that any node has shown as committed.
    public var maxCommitted: LogIndex { LogIndex(UInt64(committed.count)) }
    /// How many terms had a leader.
    public var elections: Int { leaders.count }

    // MARK: After every call

    /// Looks at a node after anything has happened to it.
    /// - Parameter durable: what every node has on disk.
    public mutating func observe(
        _ node: RawNode<MemoryStorage>, durable: (MemberID) -> MemoryStorage?
    ) throws(RaftViolation) {
        let id = node.id
        var seen = nodes.removeValue(forKey: id) ?? Observed()
        defer { nodes[id] = seen }
        try require(node.term >= seen.term, "terms only grow") { "\(id) went from \(seen.term) to \(node.term)" }
        try require(node.committed >= seen.committed, "commit indices only grow") {
            "\(id) went from \(seen.committed) to \(node.committed)"
        }
        let sameTerm = seen.term == node.term
        seen.term = node.term
        if node.isLeader {
            if let other = leaders[node.term], other != id {
                throw RaftViolation(rule: "one leader a term", detail: "\(other) and \(id) lead term \(node.term)")
            }
            leaders[node.term] = id
            if !seen.leads || !sameTerm { try checkCompleteness(id, node.term, seen.shadow) }
            if node.committed > seen.committed { try checkQuorum(node, seen.shadow, durable) }
        }
        seen.leads = node.isLeader
        seen.committed = node.committed
    }

    /// Whoever leads a term has all that was committed in earlier ones.
    private func checkCompleteness(_ id: MemberID, _ term: Term, _ log: Shadow) throws(RaftViolation) {
        for (i, entry) in committed.enumerated() where UInt64(i) + 1 > log.base.index && entry.inTerm < term {
            try require(log.term(UInt64(i) + 1) == entry.term, "a leader has all committed entries") {
                "\(id) leads term \(term) without entry \(entry.term)/\(i + 1), committed in term \(entry.inTerm)"
            }
        }
    }

    /// What a leader commits is on the disks of a quorum, and of its own term.
    private mutating func checkQuorum(
        _ node: RawNode<MemoryStorage>, _ log: Shadow, _ durable: (MemberID) -> MemoryStorage?
    ) throws(RaftViolation) {
        let index = node.committed
        guard let term = log.term(index.rawValue) else {
            throw RaftViolation(rule: "commits are written", detail: "\(node.id) committed \(index), never written")
        }
        if index.rawValue > log.base.index {
            try require(term == node.term, "only entries of the own term are committed by counting") {
                "\(node.id) committed \(term)/\(index) in term \(node.term)"
            }
        }
        for half in [node.configuration.voters.incoming, node.configuration.voters.outgoing] where !half.isEmpty {
            let have = half.ids.count { id in
                guard let storage = durable(id) else { return false }
                if storage.firstIndex > index { return true }
                return (try? storage.term(at: index)) == term
            }
            try require(have > half.count / 2, "commits are durable on a quorum") {
                "\(node.id) committed \(term)/\(index) of \(half) with \(have) copies on disk"
            }
        }
        for i in committed.count..<max(committed.count, Int(index.rawValue)) {
            guard let term = log.term(UInt64(i) + 1) else { continue }
            if i == committed.count { committed.append(Committed(term: term, inTerm: node.term)) }
        }
    }

    // MARK: Readys

    /// Looks at a Ready before it is worked on.
    public mutating func check(_ ready: Ready, of node: RawNode<MemoryStorage>) throws(RaftViolation) {
        let id = node.id
        var seen = nodes.removeValue(forKey: id) ?? Observed()
        defer { nodes[id] = seen }
        if let snapshot = ready.snapshot {
            seen.shadow = Shadow(base: (snapshot.metadata.index.rawValue, snapshot.metadata.term))
        }
        for entry in ready.entries { try append(entry, id, node, &seen) }
        let reached = node.committed.rawValue
        for index in seen.checkedCommit.rawValue..<max(reached, seen.checkedCommit.rawValue) {
            try commit(index + 1, id, node.term, seen.shadow)
        }
        seen.checkedCommit = max(seen.checkedCommit, node.committed)
        for read in ready.readStates {
            let number = read.context.reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            guard let least = reads[number] else {
                throw RaftViolation(rule: "reads answer a request", detail: "\(id) got unknown read \(number)")
            }
            try require(read.index >= least, "reads see what was committed before them") {
                "\(id) may read at \(read.index) though \(least) was committed at the request"
            }
        }
    }

    private mutating func append(
        _ entry: Entry, _ id: MemberID, _ node: RawNode<MemoryStorage>, _ seen: inout Observed
    ) throws(RaftViolation) {
        let index = entry.index.rawValue
        guard index > seen.shadow.base.index, index <= seen.shadow.last + 1,
            let previous = seen.shadow.term(index - 1)
        else {
            throw RaftViolation(
                rule: "logs have no gaps", detail: "\(id) writes \(index) behind \(seen.shadow.last)")
        }
        if index <= seen.shadow.last {
            let rest = Int(index - seen.shadow.base.index - 1)
            try require(!(node.isLeader && seen.shadow.terms[rest] == node.term), "leaders only append") {
                "\(id) leads \(node.term) and overwrites its entry \(index)"
            }
            seen.shadow.terms.removeLast(seen.shadow.terms.count - rest)
            seen.shadow.isConfChange.removeLast(seen.shadow.isConfChange.count - rest)
        }
        try require(entry.term >= previous, "terms grow along the log") {
            "\(id) has \(entry.term)/\(index) behind term \(previous)"
        }
        let key = EntryKey(index: entry.index, term: entry.term)
        let content = entry.data.hashValue ^ Int(entry.type.rawValue)
        if let known = entries[key] {
            try require(known.data == content && known.previous == previous, "logs match") {
                "two entries \(entry.term)/\(index) differ, or what is before them: on \(id) after term \(previous), elsewhere after \(known.previous)"
            }
        } else {
            entries[key] = (content, previous)
        }
        if entry.type != .normal && node.isLeader && entry.term == node.term {
            let first = max(node.applied.rawValue, seen.shadow.base.index)
            let pending = (first..<max(first, index - 1)).first {
                seen.shadow.isConfChange[Int($0 - seen.shadow.base.index)]
            }
            try require(pending == nil, "one configuration change at a time") {
                "\(id) appends one at \(index) while \((pending ?? 0) + 1) is not applied"
            }
        }
        seen.shadow.terms.append(entry.term)
        seen.shadow.isConfChange.append(entry.type != .normal)
    }

    private mutating func commit(
        _ index: UInt64, _ id: MemberID, _ inTerm: Term, _ log: Shadow
    ) throws(RaftViolation) {
        if index <= log.base.index { return }
        guard let term = log.term(index) else {
            throw RaftViolation(rule: "commits are written", detail: "\(id) committed \(index), never written")
        }
        if index <= committed.count {
            let known = committed[Int(index) - 1]
            try require(known.term == term, "committed entries stay") {
                "\(id) committed \(term)/\(index), elsewhere it is of term \(known.term)"
            }
        } else if index == committed.count + 1 {
            committed.append(Committed(term: term, inTerm: inTerm))
        }
    }

    // MARK: State machines, messages, reads, restarts

    /// An entry has been applied; `state` stands for the whole state after it.
    public mutating func applied(_ entry: Entry, state: UInt64, on id: MemberID) throws(RaftViolation) {
        if let known = applied[entry.index.rawValue] {
            try require(known.term == entry.term && known.state == state, "state machines agree") {
                "\(id) applied \(entry.term)/\(entry.index), elsewhere it is of term \(known.term)"
            }
        } else {
            applied[entry.index.rawValue] = (entry.term, state)
        }
    }

    /// A configuration is in force from an index on.
    public mutating func configured(
        _ state: ConfState, before: ConfState, at index: LogIndex, on id: MemberID
    ) throws(RaftViolation) {
        if let known = configurations[index.rawValue] {
            try require(known == state, "configurations agree") {
                "\(id) has \(state.text) at \(index), elsewhere it is \(known.text)"
            }
        }
        configurations[index.rawValue] = state
        if before.votersOutgoing.isEmpty && state.votersOutgoing.isEmpty && !before.voters.isEmpty {
            let changed = Set(before.voters).symmetricDifference(state.voters)
            try require(changed.count <= 1, "one voter changes without a joint configuration") {
                "\(id) went from \(before.text) to \(state.text)"
            }
        }
    }

    /// A message leaves a node whose disk holds `storage`.
    public mutating func sent(_ message: Message, storage: MemoryStorage) throws(RaftViolation) {
        let hard = storage.initialState.hardState
        switch message.type {
        case .voteResponse where !message.reject:
            try require(
                hard.term > message.term || (hard.term == message.term && hard.vote == message.to),
                "votes are durable"
            ) { "\(message.from) votes for \(message.to) in \(message.term) with \(hard) on disk" }
            let key = EntryKey(index: LogIndex(message.from.rawValue), term: message.term)
            if let other = votes[key], other != message.to {
                throw RaftViolation(
                    rule: "one vote a term",
                    detail: "\(message.from) votes for \(other) and \(message.to) in term \(message.term)")
            }
            votes[key] = message.to
        case .appendResponse where !message.reject:
            try require(
                storage.lastIndex >= message.index || hard.term > message.term, "acknowledgements are durable"
            ) { "\(message.from) acknowledges \(message.index) with \(storage.lastIndex) on disk" }
        default: break
        }
    }

    /// A read is asked for now: it must see all that is committed by now. Returns the context of the request.
    public mutating func requestRead() -> [UInt8] {
        nextRead += 1
        reads[nextRead] = maxCommitted
        return (0..<8).map { UInt8(truncatingIfNeeded: nextRead >> (56 - $0 * 8)) }
    }

    /// A node starts again from what its disk holds.
    public mutating func restarted(_ id: MemberID, storage: MemoryStorage) throws(RaftViolation) {
        var seen = Observed()
        let hard = storage.initialState.hardState
        let first = storage.firstIndex.previous()
        let term = (try? storage.term(at: first)) ?? .zero
        seen.shadow.base = (first.rawValue, term)
        let kept =
            (try? storage.entries(from: storage.firstIndex, to: storage.lastIndex.next(), maxSize: noLimit)) ?? []
        seen.shadow.terms = kept.map(\.term)
        seen.shadow.isConfChange = kept.map { $0.type != .normal }
        seen.term = hard.term
        seen.committed = max(hard.commit, first)
        seen.checkedCommit = seen.committed
        nodes[id] = seen
    }

    private func require(
        _ condition: Bool, _ rule: String, _ detail: () -> String
    ) throws(RaftViolation) {
        if !condition { throw RaftViolation(rule: rule, detail: detail()) }
    }
}
