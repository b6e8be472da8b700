import Base
import EtcdProto
import Member
import Platform
import PlatformSim
import Testing

/// The whole member, stopped at each sync of a workload, under each way in which unsynced writes can be lost.
@Suite("Crash at every sync") struct CrashTests {
    /// What a run acknowledged, and what it had asked for when it stopped.
    struct Run {
        var acknowledged: [String: Int] = [:]
        var asked: [String: Int] = [:]
        var disk: SimDisk
    }

    /// Puts ascending numbers to a few keys, several at a time, until the disk stops or the work is done.
    private func work(on disk: SimDisk, puts: Int, seed: UInt64) -> Run {
        var run = Run(disk: disk)
        let clock = ManualClock()
        var random = SeededGenerator(seed: seed)
        do {
            let member = try SimulatedMember(on: disk, clock: clock, seed: seed)
            guard member.run(until: { $0.isReady }) else { return run }
            var next = 0
            var inFlight: [UInt64: (key: String, number: Int)] = [:]
            while next < puts || !inFlight.isEmpty {
                if next < puts && inFlight.count < 8 {
                    var batch: [ClientRequest] = []
                    for _ in 0...random.next(below: 4) {
                        next += 1
                        let key = "k\(random.next(below: 5))"
                        run.asked[key] = next
                        inFlight[UInt64(next)] = (key, next)
                        batch.append(ClientRequest(ticket: UInt64(next), body: try KV.put(key, "\(next)")))
                    }
                    member.post(batch)
                }
                member.turn()
                if random.chance(2, in: 3) { member.writeLog() }
                if random.chance(1, in: 3) { member.writeBackend() }
                clock.advance(.milliseconds(Int64(random.next(below: 60))))
                for ticket in inFlight.keys.sorted() {
                    guard let response = member.takeResponse(ticket), let put = inFlight.removeValue(forKey: ticket)
                    else { continue }
                    if case .success = response { run.acknowledged[put.key] = put.number }
                }
                if member.failure != nil { return run }
            }
        } catch {
            return run
        }
        return run
    }

    private func check(_ run: Run, _ policy: CrashPolicy, _ point: Int, _ seed: UInt64) throws {
        let image = run.disk.crash(policy)
        let comment: Comment = "sync \(point), \(policy), seed \(seed)"
        let member = try SimulatedMember(on: image, clock: ManualClock(), seed: seed)
        try #require(member.run { $0.isReady }, comment)
        member.post([ClientRequest(ticket: 1, body: try KV.all())])
        try #require(member.run { $0.responses[1] != nil }, comment)
        let pairs = try KV.pairs(try #require(member.takeResponse(1)).get())
        for (key, number) in run.acknowledged.sorted(by: { $0.key < $1.key }) {
            let found = pairs[key].flatMap { Int($0) } ?? 0
            #expect(found >= number, "\(key): acknowledged \(number), found \(found); \(comment)")
            #expect(found <= run.asked[key] ?? 0, comment)
        }
        member.post([ClientRequest(ticket: 2, body: try KV.put("after", "crash"))])
        #expect(member.run { $0.responses[2] != nil }, comment)
    }

    @Test("No acknowledged put is lost, and the member works on", arguments: [UInt64(1), 2])
    func everySync(seed: UInt64) throws {
        let whole = SimDisk()
        #expect(work(on: whole, puts: 120, seed: seed).acknowledged.count == 5)
        let total = whole.syncCount
        #expect(total > 40)
        let policies = CrashPolicy.all(seeds: [seed])
        for point in stride(from: 1, through: total, by: 2) {
            let disk = SimDisk()
            disk.stop(atSync: point)
            let run = work(on: disk, puts: 120, seed: seed)
            try check(run, policies[point / 2 % policies.count], point, seed)
        }
    }
}
