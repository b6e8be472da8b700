import Base
import EtcdProto
import Foundation
import MVCC
import Platform
import PlatformSim
import Testing

/// Stops the disk at each sync of a workload and opens what every kind of crash leaves.
@Suite struct CrashTests {
    /// Puts, deletes, a compaction and its removal, with a commit now and then. `states[i]` is what the store held
    /// after entry i.
    private func run(_ seed: UInt64, on disk: SimDisk) -> (acknowledged: UInt64, states: [[Mvccpb_KeyValue]]) {
        var random = SeededGenerator(seed: seed)
        var states: [[Mvccpb_KeyValue]] = [[]]
        var acknowledged: UInt64 = 0
        do {
            let real = try TestStore(on: disk)
            for step in 0..<60 {
                let key = "k\(random.next(below: 12))"
                if random.chance(1, in: 5) { try real.delete(key) } else { try real.put(key, "value \(step)") }
                states.append(try real.all())
                if step == 30 {
                    try real.compact(real.store.currentRevision - 4)
                    states.append(try real.all())
                }
                if step > 30 { _ = try real.store.compactStep(limit: 5) }
                if random.chance(1, in: 6) {
                    try real.commit()
                    acknowledged = real.store.backend.committedIndex.rawValue
                }
            }
        } catch is BackendError {
            // The disk has stopped.
        } catch {
            Issue.record("seed \(seed): \(error)")
        }
        return (acknowledged, states)
    }

    @Test(arguments: 1...(ProcessInfo.processInfo.environment["MARTLET_SOAK"] == nil ? 2 : 40) as ClosedRange<UInt64>)
    func everySync(seed: UInt64) throws {
        let whole = SimDisk()
        let (acknowledged, _) = run(seed, on: whole)
        #expect(acknowledged > 0)
        for sync in 1...whole.syncCount {
            let disk = SimDisk()
            disk.stop(atSync: sync)
            let (acknowledged, states) = run(seed, on: disk)
            for policy in CrashPolicy.all(seeds: 0..<2) {
                let context: Comment = "seed \(seed), sync \(sync), \(policy)"
                let left = try TestStore(on: disk.crash(policy))
                let index = left.store.backend.consistentIndex.rawValue
                // Nothing acknowledged is lost, and the state is exactly that of the index beside it.
                #expect(index >= acknowledged, context)
                #expect(try left.all() == states[Int(index)], context)
                try left.finishCompaction()
                #expect(try left.all() == states[Int(index)], context)
                try left.put("after", "the crash")
                try left.commit()
            }
        }
    }
}
