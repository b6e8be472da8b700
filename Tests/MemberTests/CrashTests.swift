import Apply
import Base
import EtcdProto
import Foundation
import MVCC
import Member
import Platform
import PlatformSim
import SwiftProtobuf
import Testing

/// The whole member, stopped at each sync of a mixed workload, under each way in which unsynced writes can be lost.
@Suite("Crash at every sync") struct CrashTests {
    static let isSoak = ProcessInfo.processInfo.environment["MARTLET_SOAK"] != nil
    static let seeds: [UInt64] = isSoak ? Array(1...48) : [1, 2]
    static let changes = 120

    private func open(_ disk: SimDisk, _ seed: UInt64) throws -> SimulatedMember {
        try SimulatedMember(on: disk, clock: ManualClock(), seed: seed, configuration: CrashRun.configuration())
    }

    private func rows(_ member: SimulatedMember, at revision: Int64) throws -> [String: CrashModel.Row]? {
        let request = Etcdserverpb_RangeRequest.with {
            $0.key = Data([0])
            $0.rangeEnd = Data([0])
            $0.revision = revision
            $0.serializable = true
        }
        member.post([ClientRequest(ticket: 1, body: .range(try request.serializedBytes()))])
        member.turn()
        guard case .success(let bytes)? = member.takeResponse(1) else { return nil }
        let response = try Etcdserverpb_RangeResponse(serializedBytes: bytes)
        return Dictionary(
            uniqueKeysWithValues: response.kvs.map {
                (
                    String(decoding: $0.key, as: UTF8.self),
                    CrashModel.Row(
                        value: String(decoding: $0.value, as: UTF8.self), create: $0.createRevision,
                        mod: $0.modRevision, version: $0.version)
                )
            })
    }

    /// Everything that was acknowledged is there; of what was not, a beginning of the log, whole.
    private func check(_ run: CrashRun, _ image: SimDisk, _ comment: Comment, _ seed: UInt64) throws {
        let member = try open(image, seed)
        try #require(member.run { $0.isReady }, comment)
        let store = member.core.applier.store
        let revision = store.currentRevision
        #expect(revision >= run.acknowledged && revision <= run.model.revision, comment)
        #expect(store.compactRevision >= run.compacted && store.compactRevision <= run.wantedCompaction, comment)
        for past in max(1, store.compactRevision)...revision {
            let rows = try rows(member, at: past)
            #expect(rows == run.model.states[Int(past)], "revision \(past); \(comment)")
        }
        if store.compactRevision > 1 { #expect(try rows(member, at: store.compactRevision - 1) == nil, comment) }
        member.post([ClientRequest(ticket: 2, body: try KV.put("after", "crash"))])
        try #require(member.run { $0.responses[2] != nil }, comment)
        #expect(store.currentRevision == revision + 1, comment)
        try member.stop()
    }

    @Test("What was acknowledged is there after any crash, and the rest whole or not at all", arguments: seeds)
    func everySync(seed: UInt64) throws {
        let whole = SimDisk()
        let complete = CrashRun(on: whole, changes: Self.changes, seed: seed)
        #expect(complete.acknowledged == complete.model.revision)
        #expect(complete.cuts > 0 && complete.snapshots > 0 && complete.compacted > 0, "something is left out")
        let policies = CrashPolicy.all(seeds: [seed])
        var points = 0
        for sync in 1...whole.syncCount {
            let disk = SimDisk()
            disk.stop(atSync: sync)
            let run = CrashRun(on: disk, changes: Self.changes, seed: seed)
            for policy in policies {
                points += 1
                let image = disk.crash(policy)
                let comment: Comment = "sync \(sync), \(policy), seed \(seed)"
                // Every third time the machine stops once more, while the member recovers.
                if points % 3 == 0 {
                    image.stop(atSync: image.syncCount + 1 + points / 3 % 4)
                    if let member = try? open(image, seed) { _ = member.run(upTo: .seconds(1)) { $0.isReady } }
                    try check(run, image.crash(policy), "\(comment), then again while recovering", seed)
                } else {
                    try check(run, image, comment, seed)
                }
            }
        }
        print("crash points: \(points) (\(whole.syncCount) syncs), seed \(seed)")
        #expect(points >= 400)
    }

    @Test("The control: without syncs a crash loses what was acknowledged, and the check sees it")
    func control() throws {
        let disk = SimDisk()
        let run = CrashRun(on: disk, changes: 60, seed: 3, syncs: false, stops: false)
        #expect(run.acknowledged > 20)
        let image = disk.crash(.loseUnsynced)
        let member = try? open(image, 3)
        if member?.run(until: { $0.isReady }) == true, let store = member?.core.applier.store {
            #expect(store.currentRevision < run.acknowledged)
        }
        #expect(throws: Never.self) { try check(run, disk.crash(.keepUnsynced), "all kept", 3) }
    }
}
