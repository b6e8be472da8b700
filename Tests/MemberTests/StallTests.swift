import Base
import EtcdProto
import Member
import Platform
import PlatformSim
import Testing

/// A disk that hangs in the middle of a sync.
@Suite("Stalled disk") struct StallTests {
    private static func instant(_ milliseconds: UInt64) -> Instant {
        Instant(nanoseconds: milliseconds * 1_000_000)
    }

    @Test("The stall counts from the last progress, not from the last request")
    func counts() {
        var watch = LogWatch(now: Self.instant(0))
        #expect(watch.stall(at: Self.instant(900)) == .zero)
        watch.handedOut(1, at: Self.instant(1000))
        watch.handedOut(2, at: Self.instant(1500))
        #expect(watch.stall(at: Self.instant(1800)) == .milliseconds(800))
        #expect(watch.report(at: Self.instant(1999)) == nil)
        #expect(watch.report(at: Self.instant(2100)) == .milliseconds(1100))
        #expect(watch.report(at: Self.instant(2900)) == nil)
        #expect(watch.report(at: Self.instant(3100)) == .milliseconds(2100))
        watch.finished(through: 1, at: Self.instant(3200))
        #expect(watch.stall(at: Self.instant(3300)) == .milliseconds(100))
        #expect(watch.report(at: Self.instant(4300)) == .milliseconds(1100))
        watch.finished(through: 2, at: Self.instant(4400))
        #expect(watch.stall(at: Self.instant(9000)) == .zero)
    }

    @Test(
        "Only a leader with others beside it hands over after an election timeout, and steps down half of one later",
        arguments: [
            (stall: UInt64(999), leader: true, others: true, verdict: LogWatch.Verdict.goOn),
            (1000, true, true, .handOver), (1499, true, true, .handOver), (1500, true, true, .stepDown),
            (60_000, true, true, .stepDown), (1000, false, true, .hold),
            (60_000, true, false, .goOn), (60_000, false, false, .goOn),
        ])
    func verdict(stall: UInt64, leader: Bool, others: Bool, verdict: LogWatch.Verdict) {
        var watch = LogWatch(now: Self.instant(0))
        watch.handedOut(1, at: Self.instant(5000))
        let now = Self.instant(5000 + stall)
        #expect(
            watch.verdict(at: now, electionTimeout: .seconds(1), isLeader: leader, hasOtherVoters: others) == verdict)
        watch.finished(through: 1, at: now)
        #expect(watch.verdict(at: now, electionTimeout: .seconds(1), isLeader: leader, hasOtherVoters: others) == .goOn)
    }

    @Test("A lone member tells of the stall while it lasts, stays the leader, and answers when it is over")
    func loneMember() throws {
        let clock = ManualClock()
        let member = try SimulatedMember(on: SimDisk(), clock: clock)
        try #require(member.run { $0.isReady })
        member.post([ClientRequest(ticket: 1, body: try KV.put("a", "1"), deadline: clock.now() + .seconds(60))])
        member.turn()
        for _ in 0..<30 {
            clock.advance(.milliseconds(100))
            member.turn()
        }
        #expect(member.takeResponse(1) == nil)
        let stalls = member.lines.filter { $0.message == "the disk does not finish a write and sync of the log" }
        #expect(stalls.count == 2, "\(stalls)")
        let fields = try #require(stalls.first?.fields)
        #expect(fields.contains { $0.name == "path" && $0.value.hasSuffix("0000000000000000-0000000000000000.wal") })
        #expect(fields.contains { $0.name == "stalled-for" && $0.value.hasPrefix("1") })
        #expect(!member.lines.contains { $0.message.contains("stepping down") })
        try #require(member.run { $0.responses[1] != nil })
        #expect(try member.takeResponse(1)?.get() != nil)
    }

    @Test("A sync that took long is told with its file and its time")
    func slowSync() throws {
        let clock = ManualClock()
        let disk = SimDisk { clock.advance($0) }
        let member = try SimulatedMember(on: disk, clock: clock)
        try #require(member.run { $0.isReady })
        disk.inject(Fault(.sync, path: ".wal", .stall(.milliseconds(2500))))
        member.post([ClientRequest(ticket: 1, body: try KV.put("a", "1"))])
        try #require(member.run { $0.responses[1] != nil })
        let line = try #require(member.lines.first { $0.message == "slow fdatasync" })
        #expect(line.fields.contains { $0.name == "took" && $0.value == "2.5s" }, "\(line)")
        #expect(line.fields.contains { $0.name == "path" && $0.value.hasSuffix(".wal") }, "\(line)")
    }
}
