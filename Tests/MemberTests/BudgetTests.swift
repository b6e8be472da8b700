import Base
import EtcdProto
import MVCC
import Member
import Platform
import PlatformSim
import SwiftProtobuf
import Testing

/// Counts, which say the same on every run: what a batch of requests may cost the disk and the loop.
@Suite("Budgets of a member") struct BudgetTests {
    private func started() throws -> SimulatedMember {
        var configuration = SimulatedMember.configuration()
        configuration.snapshotCount = 100_000
        let member = try SimulatedMember(on: SimDisk(), clock: ManualClock(), configuration: configuration)
        #expect(member.run { $0.isReady })
        // The commit index of what was applied so far goes out with the backend's commits.
        for _ in 0..<3 {
            member.clock.advance(.milliseconds(100))
            member.turn()
            member.writeLog()
            member.writeBackend()
        }
        member.turn()
        member.writeLog()
        return member
    }

    @Test("A batch of puts costs one append with one sync, and its commit index nothing")
    func batch() throws {
        let member = try started()
        for round in 0..<3 {
            let before = (appends: member.appends, syncs: member.syncs)
            member.post(
                try (0..<100).map { ClientRequest(ticket: UInt64($0), body: try KV.put("key-\(round)-\($0)", "value")) }
            )
            member.turn()
            #expect(member.waitingLogWork == 1)
            #expect(member.answered == 0)
            member.writeLog()
            member.turn()
            #expect(member.answered == 100)
            #expect(member.waitingLogWork == 0)
            #expect(member.appends - before.appends == 1)
            #expect(member.syncs - before.syncs == 1)
            for ticket in 0..<100 { _ = member.takeResponse(UInt64(ticket)) }
        }
    }

    @Test("Batches that come while the disk works share the next append")
    func pipelined() throws {
        let member = try started()
        let before = member.syncs
        for batch in 0..<8 {
            member.post(
                try (0..<10).map { ClientRequest(ticket: UInt64(batch * 10 + $0), body: try KV.put("\($0)", "v")) })
            member.turn()
        }
        member.writeLog()
        member.turn()
        #expect(member.answered == 80)
        #expect(member.syncs - before == 1)
    }

    @Test("The commit index that was held back is in the log before a restart would need it")
    func commitIndex() throws {
        let member = try started()
        member.post([ClientRequest(ticket: 1, body: try KV.put("a", "1"))])
        #expect(member.run { $0.answered == 1 })
        let before = member.appends
        member.clock.advance(.milliseconds(100))
        member.turn()
        #expect(member.waitingLogWork == 1)
        member.writeLog()
        #expect(member.appends - before == 1)
        member.clock.advance(.milliseconds(100))
        member.turn()
        #expect(member.waitingLogWork == 0)
    }

    @Test("Linearizable reads of one turn are answered in that turn, without the log")
    func reads() throws {
        let member = try started()
        member.post(try (0..<50).map { ClientRequest(ticket: UInt64($0), body: try KV.get("a")) })
        member.turn()
        #expect(member.answered == 50)
        #expect(member.waitingLogWork == 0)
    }

    @Test("A physical compaction is answered after the commit that takes the history from the file")
    func physicalCompaction() throws {
        let member = try started()
        for i in 0..<5 {
            member.post([ClientRequest(ticket: UInt64(i), body: try KV.put("a", "\(i)"))])
            #expect(member.run { $0.takeResponse(UInt64(i)) != nil })
        }
        var request = Etcdserverpb_CompactionRequest()
        request.revision = 4
        request.physical = true
        member.post([ClientRequest(ticket: 9, body: .compaction(try request.serializedBytes()))])
        var commits = 0
        for _ in 0..<20 {
            member.turn()
            member.writeLog()
            member.clock.advance(.milliseconds(10))
            if member.waitsForBackend {
                // The history is removed by now, or is about to be; the file still has it.
                #expect(member.responses[9] == nil)
                commits += 1
                member.writeBackend()
            }
            if member.responses[9] != nil { break }
        }
        #expect(member.responses[9] != nil)
        #expect(commits >= 1)
        #expect(!member.isCompacting)
    }

    @Test("A hash of many rows is worked out over several turns, between which puts are answered")
    func hashInSlices() throws {
        let member = try started()
        let rows = KeyValueStore.hashSlice * 3
        member.post(try (0..<rows).map { ClientRequest(ticket: UInt64($0), body: try KV.put("k\($0)", "v")) })
        #expect(member.run { $0.answered == rows })
        for i in 0..<rows { _ = member.takeResponse(UInt64(i)) }
        let hashed = Etcdserverpb_HashKVRequest.with { $0.revision = Int64(rows) }
        let hash = try ClientRequest.Body.hashKV(hashed.serializedBytes())
        member.post([ClientRequest(ticket: 1, body: hash), ClientRequest(ticket: 2, body: hash)])
        var turns = 0
        while member.responses[1] == nil {
            member.post([ClientRequest(ticket: 100, body: try KV.put("between", "\(turns)"))])
            member.turn()
            member.writeLog()
            member.turn()
            #expect(member.takeResponse(100) != nil)
            member.clock.advance(.milliseconds(1))
            turns += 1
            try #require(turns < 100)
        }
        #expect(turns > 2)
        #expect(member.run { $0.responses[2] != nil })
        let answers = try [1, 2].map {
            try Etcdserverpb_HashKVResponse(serializedBytes: #require(member.takeResponse($0)).get())
        }
        #expect(answers[0].hash == answers[1].hash)
        #expect(answers[0].hashRevision == Int64(rows))
        #expect(member.core.statistics().hashKV.count == 2)
    }

    private func error(_ result: Result<[UInt8], EtcdError>?) -> EtcdError? {
        if case .failure(let error)? = result { return error }
        return nil
    }

    @Test("Hashes beyond the limit are refused, and those that take too long are given up")
    func hashLimits() throws {
        let member = try started()
        let rows = KeyValueStore.hashSlice * 2
        member.post(try (0..<rows).map { ClientRequest(ticket: UInt64($0), body: try KV.put("k\($0)", "v")) })
        #expect(member.run { $0.answered == rows })
        for i in 0..<rows { _ = member.takeResponse(UInt64(i)) }
        let limit = UInt64(MemberLimits.awaitedHashes)
        let deadline = member.clock.now() + .milliseconds(1)
        member.post(
            (0...limit).map {
                ClientRequest(ticket: $0, body: .hashKV([]), deadline: $0 == 1 ? deadline : nil)
            })
        member.turn()
        #expect(error(member.takeResponse(limit)) == .tooManyRequests)
        #expect(member.answered == 0)
        member.clock.advance(.milliseconds(200))
        #expect(member.run { $0.answered == Int(limit) })
        #expect(error(member.takeResponse(1)) == .timeout)
    }

    @Test("A read of many keys is answered over several turns, between which puts and small reads are answered")
    func rangeInSlices() throws {
        let member = try started()
        let rows = KeyValueStore.rangeSlice * 4
        member.post(try (0..<rows).map { ClientRequest(ticket: UInt64($0), body: try KV.put("k\($0)", "v\($0)")) })
        #expect(member.run { $0.answered == rows })
        for i in 0..<rows { _ = member.takeResponse(UInt64(i)) }
        member.post([
            ClientRequest(ticket: 1, body: try KV.all()), ClientRequest(ticket: 2, body: try KV.all()),
            ClientRequest(ticket: 3, body: try KV.all(), deadline: member.clock.now() + .milliseconds(1)),
        ])
        var turns = 0
        while member.responses[1] == nil || member.responses[2] == nil {
            member.post([
                ClientRequest(ticket: 100, body: try KV.put("between/\(turns)", "")),
                ClientRequest(ticket: 101, body: try KV.get("k0", serializable: true)),
            ])
            member.turn()
            member.writeLog()
            member.turn()
            #expect(member.takeResponse(100) != nil)
            #expect(try KV.pairs(#require(member.takeResponse(101)).get()) == ["k0": "v0"])
            member.clock.advance(.milliseconds(1))
            turns += 1
            try #require(turns < 100)
        }
        #expect(turns > 4)
        #expect(error(member.takeResponse(3)) == .timeout)
        for ticket in [1, 2] as [UInt64] {
            let pairs = try KV.pairs(#require(member.takeResponse(ticket)).get())
            #expect(pairs.count == rows)
            #expect(pairs["k77"] == "v77")
        }
    }
}
