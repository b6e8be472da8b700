import Base
import EtcdProto
import Foundation
import Member
import PlatformSim
import SwiftProtobuf

/// What a client asks in the crash tests: one change of everything that reaches the disk.
enum CrashOperation: Sendable {
    case put(key: String, value: String)
    case delete(key: String)
    /// Puts two keys and deletes a third, in one revision.
    case txn(puts: [String], delete: String, value: String)
    case compact(Int64)

    func body() throws -> ClientRequest.Body {
        switch self {
        case .put(let key, let value): return try KV.put(key, value)
        case .delete(let key):
            return .deleteRange(
                try Etcdserverpb_DeleteRangeRequest.with { $0.key = Data(key.utf8) }.serializedBytes())
        case .txn(let puts, let delete, let value):
            let request = Etcdserverpb_TxnRequest.with { txn in
                for key in puts {
                    txn.success.append(
                        .with { operation in
                            operation.requestPut = .with {
                                $0.key = Data(key.utf8)
                                $0.value = Data(value.utf8)
                            }
                        })
                }
                txn.success.append(
                    .with { operation in operation.requestDeleteRange = .with { $0.key = Data(delete.utf8) } })
            }
            return .txn(try request.serializedBytes(), .write)
        case .compact(let revision):
            return .compaction(
                try Etcdserverpb_CompactionRequest.with {
                    $0.revision = revision
                    $0.physical = true
                }.serializedBytes())
        }
    }
}

/// What the store must hold after each revision.
struct CrashModel {
    struct Row: Equatable {
        var value: String
        var create: Int64
        var mod: Int64
        var version: Int64
    }

    /// By revision; the first is the empty store's.
    private(set) var states: [[String: Row]] = [[:], [:]]
    var revision: Int64 { Int64(states.count - 1) }

    mutating func apply(_ operation: CrashOperation) {
        var state = states[states.count - 1]
        let next = revision + 1
        func put(_ key: String, _ value: String) {
            let old = state[key]
            state[key] = Row(value: value, create: old?.create ?? next, mod: next, version: (old?.version ?? 0) + 1)
        }
        switch operation {
        case .put(let key, let value): put(key, value)
        case .delete(let key):
            guard state[key] != nil else { return }
            state[key] = nil
        case .txn(let puts, let delete, let value):
            for key in puts { put(key, value) }
            state[delete] = nil
        case .compact: return
        }
        states.append(state)
    }
}

/// A seeded run of a member on a disk that may stop at any sync.
struct CrashRun {
    let disk: SimDisk
    /// Everything that was asked, in the order of the log.
    private(set) var model = CrashModel()
    /// The revision after the last change that was acknowledged.
    private(set) var acknowledged: Int64 = 1
    /// The largest compaction that was acknowledged, and that was asked for.
    private(set) var compacted: Int64 = -1
    private(set) var wantedCompaction: Int64 = -1
    private(set) var cuts = 0
    private(set) var snapshots = 0

    static func configuration() -> MemberConfiguration {
        var configuration = SimulatedMember.configuration()
        configuration.logSegmentBytes = 6000
        configuration.snapshotCount = 25
        configuration.backendBatchInterval = .milliseconds(60)
        return configuration
    }

    /// - Parameters:
    ///   - syncs: false for the control, which must lose something.
    ///   - stops: whether the member is stopped at the end, as an operator does.
    init(on disk: SimDisk, changes: Int, seed: UInt64, syncs: Bool = true, stops: Bool = true) {
        self.disk = disk
        // A disk that stops fails every call after that: the run ends there, whatever it is at.
        try? work(changes, seed, syncs, stops)
    }

    private mutating func work(_ changes: Int, _ seed: UInt64, _ syncs: Bool, _ stops: Bool) throws {
        var configuration = Self.configuration()
        configuration.unsafeNoSync = !syncs
        let clock = ManualClock()
        var random = SeededGenerator(seed: seed)
        let member = try SimulatedMember(on: disk, clock: clock, seed: seed, configuration: configuration)
        guard member.run(until: { $0.isReady }) else { return }
        var next: UInt64 = 0
        var inFlight: [(ticket: UInt64, revision: Int64, compaction: Int64?)] = []
        while next < changes || !inFlight.isEmpty {
            if next < changes && inFlight.count < 8 {
                var batch: [ClientRequest] = []
                for _ in 0...random.next(below: 4) {
                    next += 1
                    let operation = operation(&random, next)
                    batch.append(ClientRequest(ticket: next, body: try operation.body()))
                    model.apply(operation)
                    var compaction: Int64?
                    if case .compact(let revision) = operation { compaction = revision }
                    inFlight.append((next, model.revision, compaction))
                }
                member.post(batch)
            }
            member.turn()
            if random.chance(2, in: 3) { member.writeLog() }
            if random.chance(1, in: 3) { member.writeBackend() }
            clock.advance(.milliseconds(Int64(random.next(below: 60))))
            inFlight.removeAll { item in
                guard case .success? = member.takeResponse(item.ticket) else { return false }
                acknowledged = max(acknowledged, item.revision)
                if let compaction = item.compaction { compacted = max(compacted, compaction) }
                return true
            }
            if member.failure != nil { return }
        }
        cuts = member.cuts
        snapshots = member.lines.count { $0.message == "saved snapshot" }
        if stops { try member.stop() }
    }

    private mutating func operation(_ random: inout SeededGenerator, _ number: UInt64) -> CrashOperation {
        let value = "\(number)" + String(repeating: "v", count: Int(random.next(below: 200)))
        switch random.next(below: 20) {
        case 0 where acknowledged > wantedCompaction && acknowledged > 1:
            wantedCompaction = acknowledged
            return .compact(acknowledged)
        case 0..<5: return .delete(key: "k\(random.next(below: 6))")
        case 5..<9:
            let first = random.next(below: 6)
            return .txn(puts: ["k\(first)", "k\((first + 1) % 6)"], delete: "k\((first + 2) % 6)", value: value)
        default: return .put(key: "k\(random.next(below: 6))", value: value)
        }
    }
}
