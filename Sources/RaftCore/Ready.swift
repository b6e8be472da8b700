public import Base

/// What a node is and whom it follows; not persisted.
public struct SoftState: Sendable, Hashable {
    /// The leader, none if unknown.
    public var leader: MemberID
    /// The part that the node plays.
    public var role: Role

    /// A state of these; that of a node without a leader without arguments.
    @inlinable public init(leader: MemberID = .none, role: Role = .follower) {
        self.leader = leader
        self.role = role
    }
}

/// What the application has to do for a node, all of it, in the order that each field states.
///
/// In synchronous mode: persist `hardState`, `entries` and `snapshot`, then send `messages`, apply `committedEntries`,
/// and hand the value back with `RawNode.advance(_:)`.
///
/// With asynchronous storage writes: send `messages` at once, queue `append` for the thread that writes and `apply` for
/// the one that applies, each in order. Their receipts go back with `RawNode.appended(_:)` and `RawNode.applied(_:)`
/// when the work is done. A receipt that is skipped traps when the next one comes.
public struct Ready: Sendable {
    /// Only if changed.
    public internal(set) var softState: SoftState?
    /// Only if changed. To be durable before `messages` leave in synchronous mode, and as part of `append` otherwise.
    public internal(set) var hardState: HardState?
    /// Reads that may be served once their index is applied.
    public internal(set) var readStates: [ReadState] = []
    /// To be appended to the storage, and durable.
    public internal(set) var entries: [Entry] = []
    /// To replace the storage.
    public internal(set) var snapshot: Snapshot?
    /// To be applied to the state machine, in order. Always durable here with asynchronous storage writes.
    public internal(set) var committedEntries: [Entry] = []
    /// To be sent: at once with asynchronous storage writes, after persisting otherwise.
    public internal(set) var messages: [Message] = []
    /// Whether the storage must reach the disk before going on; false if only the commit index changed.
    public internal(set) var mustSync = false
    /// What to write, with asynchronous storage writes.
    public internal(set) var append: AppendWork?
    /// What to apply, with asynchronous storage writes.
    public internal(set) var apply: ApplyWork?

    /// Proof of the order in which Readys are handed back.
    var sequence: UInt64 = 0

    init() {}

    /// All messages as one list, the local storage work last and in the form of messages: what etcd's `Ready` holds.
    package func allMessages(from id: MemberID) -> [Message] {
        var all = messages
        if let append { all.append(append.message(from: id)) }
        if let apply { all.append(apply.message(from: id)) }
        return all
    }
}

/// One write to the storage: hard state, snapshot or entries, and what may be said once it is durable.
public struct AppendWork: Sendable {
    /// To be kept; nil if unchanged.
    public let hardState: HardState?
    /// To be appended behind what is stored, or in place of it from the first index on.
    public let entries: [Entry]
    /// To replace the storage, before the entries.
    public let snapshot: Snapshot?
    /// Whether it has to reach the disk before `responses` leave and the receipt is given back.
    public let mustSync: Bool
    /// Goes back to the node once the work is done and `responses` are on their way.
    public let receipt: AppendReceipt

    /// Whether it is but a new commit index. That needs no sync and nobody waits for it, so it may be written together
    /// with later work, and counts as done when the work before it is.
    public var isCommitOnly: Bool { entries.isEmpty && snapshot == nil && !mustSync && receipt.deferred.isEmpty }

    /// Whether the receipt also reports entries of earlier works.
    public var reportsEntries: Bool { receipt.last != nil }

    /// To be sent to peers once the work is done. Allocates only where they are mixed with the node's own.
    public var responses: [Message] { receipt.deferred.toOthers(than: receipt.id) }

    /// The work in the form of etcd's `MsgStorageAppend`, with all its responses.
    package func message(from id: MemberID) -> Message {
        var message = Message(
            type: .storageAppend, to: .localAppendThread, from: id, entries: entries, snapshot: snapshot)
        if let hardState {
            message.term = hardState.term
            message.vote = hardState.vote
            message.commit = hardState.commit
        }
        message.responses = receipt.deferred.all
        if let response = receipt.storageResponse { message.responses.append(response) }
        return message
    }
}

/// What a node must learn when an `AppendWork` is done: its own acknowledgement or vote, and how far the log is stable.
public struct AppendReceipt: Sendable {
    let id: MemberID
    let sequence: UInt64
    /// The term when the work was handed out; in a later one the entries may have been replaced.
    let term: Term
    /// The end of the log when the work was handed out, if any of it was unstable.
    let last: EntryID?
    let snapshot: Snapshot?
    let deferred: DeferredMessages

    /// The work's completion in the form of etcd's `MsgStorageAppendResp`.
    var storageResponse: Message? {
        if last == nil && snapshot == nil { return nil }
        return Message(
            type: .storageAppendResponse, to: id, from: .localAppendThread, term: term, logTerm: last?.term ?? .zero,
            index: last?.index ?? .zero, snapshot: snapshot)
    }
}

/// Committed entries to apply to the state machine.
public struct ApplyWork: Sendable {
    /// In the order of the log.
    public let entries: [Entry]
    /// Goes back to the node once they are applied.
    public let receipt: ApplyReceipt

    /// The work in the form of etcd's `MsgStorageApply`, with its response.
    package func message(from id: MemberID) -> Message {
        let response = Message(type: .storageApplyResponse, to: id, from: .localApplyThread, entries: entries)
        return Message(
            type: .storageApply, to: .localApplyThread, from: id, entries: entries, responses: [response])
    }
}

/// What a node must learn when an `ApplyWork` is done.
public struct ApplyReceipt: Sendable {
    let sequence: UInt64
    /// The last entry that was to be applied.
    public let index: LogIndex
    let size: UInt64
    let payload: UInt64
}

extension SoftState: CustomStringConvertible {
    public var description: String { "Lead:\(leader.rawValue) State:\(role.name)" }
}

extension Ready {
    /// In the form of transcripts.
    package func text(from id: MemberID) -> String {
        var lines: [String] = []
        if let softState { lines.append(softState.description) }
        if let hardState { lines.append("HardState \(hardState)") }
        if !readStates.isEmpty {
            let reads = readStates.map { read in
                "{\(read.index) [\(read.context.map(String.init).joined(separator: " "))]}"
            }
            lines.append("ReadStates [\(reads.joined(separator: " "))]")
        }
        if !entries.isEmpty { lines += ["Entries:"] + entries.map(\.text) }
        if let snapshot { lines.append("Snapshot \(snapshot.text)") }
        if !committedEntries.isEmpty { lines += ["CommittedEntries:"] + committedEntries.map(\.text) }
        let all = allMessages(from: id)
        if !all.isEmpty { lines += ["Messages:"] + all.map { $0.text() } }
        if lines.isEmpty { return "<empty Ready>" }
        return "Ready MustSync=\(mustSync):\n" + lines.joined(separator: "\n") + "\n"
    }
}
