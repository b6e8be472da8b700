import Base
import EtcdProto
import Member
import Platform
import PlatformSim
import RaftCore
import SwiftProtobuf
import Testing

/// Reads that say how old the state may be that they are answered from.
@Suite struct BoundedReadTests {
    private func at(_ milliseconds: Int) -> Instant { Instant(nanoseconds: UInt64(milliseconds) * 1_000_000) }

    // MARK: The queues

    private func read(_ ticket: UInt64, limit: Int, came: Int) -> BoundedReads.Read {
        .init(
            address: ReplyAddress(sink: 0, ticket: ticket), body: .probe(linearizable: false),
            limit: .milliseconds(limit), deadline: at(came + limit))
    }

    @Test("The state is as old as the newest round that it has caught up with")
    func stateAge() {
        var reads = LinearizableReads()
        #expect(reads.stateAsOf == nil)
        reads.beginRound(1, at: at(10))
        reads.confirm(1, at: LogIndex(5))
        reads.beginRound(2, at: at(20))
        reads.confirm(2, at: LogIndex(7))
        #expect(reads.newestRound == at(20))
        _ = reads.takeReadable(applied: LogIndex(4))
        #expect(reads.stateAsOf == nil)
        _ = reads.takeReadable(applied: LogIndex(6))
        #expect(reads.stateAsOf == at(10))
        _ = reads.takeReadable(applied: LogIndex(7))
        #expect(reads.stateAsOf == at(20))
        #expect(reads.newestRound == nil)
        // A round that a change of the leader has made void says nothing.
        reads.beginRound(3, at: at(30))
        _ = reads.takeUnconfirmed()
        reads.confirm(3, at: LogIndex(7))
        _ = reads.takeReadable(applied: .max)
        #expect(reads.stateAsOf == at(20))
    }

    @Test("A round that nobody waits for is not started anew")
    func abandonedRound() {
        var reads = LinearizableReads()
        #expect(reads.needsRound(at: at(0), isWanted: true))
        reads.beginRound(1, at: at(0))
        #expect(!reads.needsRound(at: at(499), isWanted: true))
        #expect(reads.needsRound(at: at(500), isWanted: true))
        #expect(!reads.needsRound(at: at(500), isWanted: false))
        reads.confirm(1, at: .zero)
        _ = reads.takeReadable(applied: .zero)
        #expect(reads.stateAsOf == at(0))
    }

    @Test("Each read is answered within its own limit, or refused at its end")
    func limits() {
        var waiting = BoundedReads()
        #expect(!waiting.needsRound(after: nil, at: at(100)))
        waiting.enqueue(read(1, limit: 50, came: 100))
        waiting.enqueue(read(2, limit: 10, came: 100))
        waiting.enqueue(read(3, limit: 20, came: 100))
        #expect(waiting.nextDeadline == at(110))
        #expect(waiting.needsRound(after: nil, at: at(100)))
        #expect(!waiting.needsRound(after: at(90), at: at(100)))
        #expect(waiting.needsRound(after: at(89), at: at(100)))
        #expect(waiting.takeExpired(at: at(109)).isEmpty)
        #expect(waiting.takeReadable(asOf: at(95), at: at(109)).map(\.address.ticket) == [1, 3])
        #expect(waiting.takeExpired(at: at(110)).map(\.address.ticket) == [2])
        #expect(waiting.count == 0 && waiting.nextDeadline == nil)
    }

    // MARK: Members

    private func started(_ count: Int = 3, seed: UInt64 = 1) throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(count, seed: seed)
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } }, "seed \(seed)")
        return cluster
    }

    private func bounded(
        _ ticket: UInt64, _ milliseconds: Int, serializable: Bool = false
    ) throws -> ClientRequest {
        ClientRequest(
            ticket: ticket, body: try KV.get("k", serializable: serializable),
            maxStaleness: .milliseconds(milliseconds))
    }

    private func put(_ value: Int, ticket: UInt64, at i: Int, _ cluster: SimulatedCluster) throws {
        cluster[i].post([ClientRequest(ticket: ticket, body: try KV.put("k", "\(value)"))])
        #expect(try cluster.run { $0[i].responses[ticket] != nil })
        _ = try cluster[i].takeResponse(ticket)?.get()
    }

    private func value(_ response: [UInt8]) throws -> Int { Int(try KV.pairs(response)["k"] ?? "0") ?? 0 }

    @Test("A follower that has caught up with a round answers at once as long as the limit allows, and no longer")
    func answersLocally() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let follower = (leader + 1) % 3
        try put(1, ticket: 1, at: leader, cluster)
        cluster[follower].post([try bounded(2, 1000)])
        #expect(try cluster.run { $0[follower].responses[2] != nil })
        #expect(try value(#require(try cluster[follower].takeResponse(2)?.get())) == 1)
        let asOf = try #require(cluster[follower].ages[2]).asOf
        // Nobody hears of it any more, and time passes.
        cluster.cutOff = [follower]
        while cluster.clock.now() - asOf < .milliseconds(1000) { try cluster.step() }
        #expect(cluster.clock.now() - asOf == .milliseconds(1000))
        let before = cluster[follower].core.committedIndex
        cluster[follower].post([try bounded(3, 1000), try bounded(4, 999), try bounded(5, 999, serializable: true)])
        cluster[follower].turn()
        #expect(try value(#require(try cluster[follower].takeResponse(3)?.get())) == 1)
        #expect(cluster[follower].ages[3] == StateAge(asOf: asOf, limit: .milliseconds(1000)))
        #expect(cluster[follower].responses[4] == nil, "999 ms are not enough")
        #expect(cluster[follower].responses[5] == nil, "also when it would take anything")
        let came = cluster.clock.now()
        #expect(try cluster.run { $0[follower].responses[4] != nil && $0[follower].responses[5] != nil })
        #expect(cluster.clock.now() - came <= .milliseconds(999 + 20))
        #expect(cluster[follower].core.committedIndex == before)
        let error = try #require(throws: EtcdError.self) { _ = try cluster[follower].takeResponse(4)?.get() }
        #expect(error.code == .unavailable)
        #expect(
            error.message == """
                martlet: this member's state was last confirmed 2000 ms ago, the client allows 999 ms, and it knows no \
                leader that could confirm it: try another member, try again, or allow more
                """)
        let figures = try #require(cluster[follower].figures())
        #expect(figures.boundedReadsAtOnce == 1)
        #expect(figures.boundedReadsAfterRound == 1)
        #expect(figures.boundedReadsRefused == 2)
    }

    @Test("A read that waits when the leader changes is answered by the next one's confirmation")
    func outlastsTheLeader() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let follower = (leader + 1) % 3
        cluster.cutOff = [leader]
        cluster[follower].post([
            try bounded(1, 6000), ClientRequest(ticket: 2, body: try KV.get("k")), try bounded(3, 20),
        ])
        #expect(try cluster.run { $0[follower].responses[1] != nil })
        #expect(cluster.leader != leader)
        #expect(throws: Never.self) { _ = try cluster[follower].takeResponse(1)?.get() }
        #expect(throws: EtcdError.leaderChanged) { _ = try cluster[follower].takeResponse(2)?.get() }
        let error = try #require(throws: EtcdError.self) { _ = try cluster[follower].takeResponse(3)?.get() }
        #expect(error.message.contains("has not been confirmed since it started"), "\(error)")
    }

    @Test("A leader that has been cut off cannot confirm itself")
    func cutOffLeader() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        try put(1, ticket: 1, at: leader, cluster)
        cluster[leader].post([try bounded(2, 100)])
        #expect(try cluster.run { $0[leader].responses[2] != nil })
        #expect(throws: Never.self) { _ = try cluster[leader].takeResponse(2)?.get() }
        cluster.cutOff = [leader]
        // It still takes itself for the leader.
        for _ in 0..<20 { try cluster.step() }
        #expect(cluster[leader].core.isLeader)
        cluster[leader].post([try bounded(3, 100)])
        #expect(try cluster.run { $0[leader].responses[3] != nil })
        let error = try #require(throws: EtcdError.self) { _ = try cluster[leader].takeResponse(3)?.get() }
        #expect(error.message.contains("no confirmation came in time"), "\(error)")
    }

    @Test("A restarted member knows nothing of its state's age")
    func restart() throws {
        let cluster = try started()
        let follower = (try #require(cluster.leader) + 1) % 3
        cluster[follower].post([try bounded(1, 60_000)])
        #expect(try cluster.run { $0[follower].responses[1] != nil })
        cluster.crash(follower, .loseUnsynced)
        cluster.cutOff = [follower]
        try cluster.restart(follower)
        cluster[follower].post([try bounded(2, 60_000)])
        #expect(try cluster.run { $0[follower].responses[2] != nil })
        // Longer than any request waits.
        let error = try #require(throws: EtcdError.self) { _ = try cluster[follower].takeResponse(2)?.get() }
        #expect(error.message.contains("has not been confirmed since it started"), "\(error)")
    }

    @Test("A limit of 0 ms is a linearizable read, also for a serializable one; changes ignore any")
    func zero() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let follower = (leader + 1) % 3
        try put(1, ticket: 1, at: leader, cluster)
        cluster[follower].post([try bounded(2, 60_000)])
        #expect(try cluster.run { $0[follower].responses[2] != nil })
        cluster[follower].post([try bounded(3, 0, serializable: true)])
        cluster[follower].turn()
        #expect(cluster[follower].responses[3] == nil, "it needs a round")
        #expect(try cluster.run { $0[follower].responses[3] != nil })
        #expect(try value(#require(try cluster[follower].takeResponse(3)?.get())) == 1)
        #expect(cluster[follower].ages[3] == nil)
        cluster[follower].post([
            ClientRequest(ticket: 4, body: try KV.put("k", "2"), maxStaleness: .milliseconds(1)),
            ClientRequest(ticket: 5, body: .status, maxStaleness: .milliseconds(1)),
        ])
        #expect(try cluster.run { $0[follower].responses[4] != nil && $0[follower].responses[5] != nil })
        #expect(throws: Never.self) { _ = try cluster[follower].takeResponse(4)?.get() }
        #expect(throws: Never.self) { _ = try cluster[follower].takeResponse(5)?.get() }
    }

    @Test("Many waiting reads share rounds with the linearizable ones")
    func sharesRounds() throws {
        let cluster = try started()
        let follower = (try #require(cluster.leader) + 1) % 3
        var asked = 0
        for ticket in UInt64(1)...200 {
            let read = ClientRequest(ticket: ticket, body: try KV.get("k"))
            cluster[follower].post([ticket % 2 == 0 ? try bounded(ticket, 500) : read])
        }
        while cluster[follower].answered < 200 {
            cluster[follower].turn()
            asked += cluster[follower].outgoing.flatMap(\.messages).count { $0.type == .readIndex }
            try cluster.step()
        }
        #expect(asked == 1)
        #expect(cluster[follower].responses.values.allSatisfy { (try? $0.get()) != nil })
    }

    // MARK: Histories

    private struct History {
        var acknowledged: [(time: Instant, value: Int)] = []
        var answers = 0
        var refusals = 0
        var violations = 0
    }

    /// Members are cut off and come back, leaders change; one client counts, others read with limits everywhere.
    private func history(seed: UInt64, serializable: Bool) throws -> History {
        var random = SeededGenerator(seed: seed)
        let cluster = try started(seed: seed)
        var history = History()
        var writing: (member: Int, value: Int)?
        var reading: [UInt64: (member: Int, limit: Duration, came: Instant)] = [:]
        var ticket: UInt64 = 1000
        var next = 1
        for _ in 0..<1500 {
            if Int.random(in: 0..<60, using: &random) == 0 {
                cluster.cutOff =
                    Int.random(in: 0..<3, using: &random) == 0 ? [] : [Int.random(in: 0..<3, using: &random)]
            }
            if writing == nil, let leader = cluster.leader {
                writing = (leader, next)
                cluster[leader].post([
                    ClientRequest(
                        ticket: UInt64(next), body: try KV.put("k", "\(next)"),
                        deadline: cluster.clock.now() + .seconds(2))
                ])
                next += 1
            }
            let i = Int.random(in: 0..<3, using: &random)
            let limit = [20, 50, 200, 800][Int.random(in: 0..<4, using: &random)]
            ticket += 1
            reading[ticket] = (i, .milliseconds(limit), cluster.clock.now())
            cluster[i].post([
                serializable
                    ? ClientRequest(ticket: ticket, body: try KV.get("k", serializable: true))
                    : try bounded(ticket, limit)
            ])
            let now = cluster.clock.now()
            try cluster.step()
            if let write = writing, let response = cluster[write.member].takeResponse(UInt64(write.value)) {
                if (try? response.get()) != nil { history.acknowledged.append((now, write.value)) }
                writing = nil
            }
            for (ticket, read) in reading.sorted(by: { $0.key < $1.key }) {
                guard let response = cluster[read.member].takeResponse(ticket) else {
                    #expect(now - read.came < read.limit + .milliseconds(20), "seed \(seed): it waits too long")
                    continue
                }
                reading[ticket] = nil
                guard let bytes = try? response.get() else {
                    history.refusals += 1
                    continue
                }
                history.answers += 1
                let least = history.acknowledged.last { now - $0.time > read.limit }?.value ?? 0
                if try value(bytes) < least { history.violations += 1 }
            }
        }
        return history
    }

    @Test("Whatever is cut off, no answer is older than its limit", arguments: 1...12 as ClosedRange<UInt64>)
    func neverOlder(seed: UInt64) throws {
        let history = try history(seed: seed, serializable: false)
        #expect(history.violations == 0, "seed \(seed)")
        #expect(history.answers > 300 && history.refusals > 10, "seed \(seed): \(history)")
        #expect(history.acknowledged.count > 30, "seed \(seed)")
    }

    @Test("Control: serializable reads of such a history are older") func control() throws {
        #expect(
            try (1...4 as ClosedRange<UInt64>).contains { try history(seed: $0, serializable: true).violations > 0 })
    }
}
