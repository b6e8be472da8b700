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

/// Bits that flip, files that end early and reads that come back short, anywhere in the log and the snapshot files: the
/// member refuses to start or says what it repaired, or the damage does no harm. It never traps, and never serves
/// something else in silence.
@Suite("Damaged logs and snapshots") struct DamageTests {
    enum Damage: UInt64, CaseIterable {
        case bit
        case cut
        case shortRead
    }

    enum Result: Hashable {
        case harmless
        case refused
        /// The end of the log was lost, and the log of the process says so.
        case repaired
    }

    /// A run that was ended by a power cut which lost nothing.
    private struct Base {
        let run: CrashRun
        let files: [(path: String, size: Int64)]

        init(seed: UInt64) throws {
            let disk = SimDisk()
            run = CrashRun(on: disk, changes: 70, seed: seed, stops: false)
            files = try ["data/member/wal", "data/member/snap"].flatMap { directory in
                try disk.list(directory).filter { $0.hasSuffix(".wal") || $0.hasSuffix(".snap") }
                    .map { ("\(directory)/\($0)", try disk.open("\(directory)/\($0)", .read).size()) }
            }
        }
    }

    private func result(_ base: Base, _ seed: UInt64) throws -> Result {
        var random = SeededGenerator(seed: seed)
        let image = base.run.disk.crash(.keepUnsynced)
        let file = base.files[random.next(below: base.files.count)]
        let offset = Int64(random.next(below: Int(file.size)))
        switch Damage.allCases[random.next(below: 3)] {
        case .bit: try image.flipBit(random.next(below: 8), at: offset, of: file.path)
        case .cut: try image.open(file.path, .readWrite).truncate(to: offset)
        case .shortRead:
            image.inject(
                Fault(.read, path: file.path, after: random.next(below: 3), .shortRead(count: Int(offset))))
        }
        let comment: Comment = "seed \(seed): \(file.path) at \(offset)"
        let member: SimulatedMember
        do {
            member = try SimulatedMember(
                on: image, clock: ManualClock(), seed: seed, configuration: CrashRun.configuration())
        } catch { return .refused }
        try #require(member.run { $0.isReady }, comment)
        let store = member.core.applier.store
        let revision = store.currentRevision
        try #require(revision <= base.run.model.revision, comment)
        let request = Etcdserverpb_RangeRequest.with {
            $0.key = Data([0])
            $0.rangeEnd = Data([0])
            $0.serializable = true
        }
        member.post([ClientRequest(ticket: 1, body: .range(try request.serializedBytes()))])
        member.turn()
        let response = try Etcdserverpb_RangeResponse(
            serializedBytes: try #require(member.takeResponse(1), comment).get())
        let rows = response.kvs.map { (String(decoding: $0.key, as: UTF8.self), $0.modRevision) }
        let expected = base.run.model.states[Int(revision)].map { ($0.key, $0.value.mod) }.sorted { $0.0 < $1.0 }
        #expect(rows.elementsEqual(expected) { $0 == $1 }, comment)
        guard revision < base.run.acknowledged else { return .harmless }
        let tells = member.openingLines.contains { $0.level == .warn && $0.message == "repairing WAL" }
        #expect(tells, "\(base.run.acknowledged - revision) changes lost in silence; \(comment)")
        return .repaired
    }

    static let batches: [UInt64] = CrashTests.isSoak ? Array(0..<20) : [0]

    @Test("Refused, repaired and told, or harmless", arguments: batches) func damage(batch: UInt64) throws {
        let base = try Base(seed: batch + 4)
        #expect(base.files.contains { $0.path.hasSuffix(".snap") } && base.files.contains { $0.path.hasSuffix(".wal") })
        var counts: [Result: Int] = [:]
        for seed in batch * 500..<(batch + 1) * 500 { counts[try result(base, seed), default: 0] += 1 }
        #expect(counts[.harmless, default: 0] > 0 && counts[.refused, default: 0] > 0, "\(counts)")
        // Rare: it takes a damage in the unsynced end of the last segment.
        if batch == 0 { #expect(counts[.repaired, default: 0] > 0, "\(counts)") }
        print("damages: \(counts)")
    }
}
