package import Auth
package import Base
internal import EtcdProto
package import Platform

/// Linearizable reads on their way: those that wait for a read index, and those that have one and wait until the member
/// has applied up to it. One round serves every read that came in before it began.
package struct LinearizableReads {
    /// A read that waits.
    package struct Read: Sendable {
        package var address: ReplyAddress
        package var body: ClientRequest.Body
        package var deadline: Instant
        package var identity: ClientIdentity

        package init(
            address: ReplyAddress, body: ClientRequest.Body, deadline: Instant, identity: ClientIdentity = .nobody
        ) {
            self.address = address
            self.body = body
            self.deadline = deadline
            self.identity = identity
        }
    }

    /// How long a round may take before it is started anew.
    package static let retryInterval: Duration = .milliseconds(500)

    private struct Round {
        var id: UInt64
        var started: Instant
        var reads: [Read]
    }

    /// Came in since the last round began.
    private var queued: [Read] = []
    /// The round under way: at most one.
    private var round: Round?
    /// Confirmed, waiting for their index to be applied; indexes ascending.
    private var confirmed: [(index: LogIndex, started: Instant, reads: [Read])] = []
    /// When the newest round began whose index has been applied: what was acknowledged before then is part of the
    /// state. Nil until there was one.
    package private(set) var stateAsOf: Instant?
    /// Rounds that had to be started anew.
    package private(set) var slowRounds: UInt64 = 0

    package init() {}

    package var count: Int {
        queued.count + (round?.reads.count ?? 0) + confirmed.reduce(0) { $0 + $1.reads.count }
    }

    package mutating func enqueue(_ read: Read) { queued.append(read) }

    /// When the newest round began that is not yet applied.
    package var newestRound: Instant? { round?.started ?? confirmed.last?.started }

    /// Whether a round should begin: reads wait and none is under way, or the one under way got no answer in time.
    /// - Parameter isWanted: others than these reads want one, too.
    package func needsRound(at now: Instant, isWanted: Bool = false) -> Bool {
        let isWanted = isWanted || !queued.isEmpty
        guard let round else { return isWanted }
        return now - round.started >= Self.retryInterval && (isWanted || !round.reads.isEmpty)
    }

    /// Begins a round with the given ID, for all reads that wait for an index.
    package mutating func beginRound(_ id: UInt64, at now: Instant) {
        var reads = round?.reads ?? []
        if round != nil { slowRounds += 1 }
        reads.append(contentsOf: queued)
        queued.removeAll(keepingCapacity: true)
        round = Round(id: id, started: now, reads: reads)
    }

    /// The round under way has its index; an answer to an earlier one is ignored.
    package mutating func confirm(_ id: UInt64, at index: LogIndex) {
        guard let finished = round, finished.id == id else { return }
        round = nil
        // They never go back; only a peer at fault says so, and waiting longer is harmless.
        confirmed.append((max(index, confirmed.last?.index ?? .zero), finished.started, finished.reads))
    }

    /// Takes out the reads that may be answered, now that the member has applied up to `applied`.
    package mutating func takeReadable(applied: LogIndex) -> [Read] {
        guard let first = confirmed.first, first.index <= applied else { return [] }
        var readable: [Read] = []
        while let next = confirmed.first, next.index <= applied {
            readable.append(contentsOf: next.reads)
            stateAsOf = next.started
            confirmed.removeFirst()
        }
        return readable
    }

    /// Takes out every read without an index: the leader has changed, or the member stops.
    package mutating func takeUnconfirmed() -> [Read] {
        let reads = (round?.reads ?? []) + queued
        round = nil
        queued = []
        return reads
    }

    /// Takes out every read, with an index or without.
    package mutating func takeAll() -> [Read] {
        defer { confirmed = [] }
        return takeUnconfirmed() + confirmed.flatMap(\.reads)
    }

    /// Takes out the reads whose deadline has passed. O(waiting reads); called once a tick.
    package mutating func takeExpired(at now: Instant) -> [Read] {
        var expired: [Read] = []
        func split(_ reads: inout [Read]) {
            guard reads.contains(where: { $0.deadline <= now }) else { return }
            expired.append(contentsOf: reads.filter { $0.deadline <= now })
            reads.removeAll { $0.deadline <= now }
        }
        split(&queued)
        if round != nil { split(&round!.reads) }
        for i in confirmed.indices { split(&confirmed[i].reads) }
        return expired
    }
}
