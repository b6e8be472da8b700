import Base
import Leasing
import MVCC
import Platform
import Testing

/// Random histories, against a model that looks at every lease each time.
@Suite struct ModelTests {
    private struct Model {
        struct Lease {
            var record: LeaseRecord
            /// nil while nobody leads.
            var end: Double?
        }

        var leases: [Int64: Lease] = [:]
        var isPrimary = false

        mutating func promote(at now: Double) {
            isPrimary = true
            leases = leases.mapValues { Lease(record: $0.record, end: now + 1 + Self.left($0.record)) }
        }

        private static func left(_ record: LeaseRecord) -> Double {
            Double(record.remaining > 0 ? record.remaining : record.timeToLive)
        }
    }

    /// Times are whole quarters of a second, so that both sides calculate exactly.
    @Test(arguments: 1...40 as ClosedRange<UInt64>) func agreesWithTheModel(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var lessor = Lessor(
            LessorSettings(
                grace: .seconds(1), minimumTTL: 2, checkpointInterval: seed.isMultiple(of: 2) ? .seconds(20) : nil))
        var model = Model()
        var now = 0.0
        var nextPass = 0.0
        /// When each was last handed out for revocation.
        var handedOut: [Int64: Double] = [:]
        var everEnded = 0
        for step in 0..<600 {
            now += Double(random.next(below: 9)) * 0.25
            let id = Int64(random.next(below: 40)) - 5
            switch random.next(below: 12) {
            case 0...3:
                guard id != 0, model.leases[id] == nil else { break }
                let record = LeaseRecord(id: LeaseID(id), timeToLive: 2 + Int64(random.next(below: 60)))
                model.leases[id] = .init(record: record, end: model.isPrimary ? now + Double(record.timeToLive) : nil)
                lessor.granted(record, at: .at(now))
            case 4, 5:
                let renewal = lessor.renew(LeaseID(id), at: .at(now))
                let lease = model.leases[id]
                if !model.isPrimary {
                    #expect(renewal == .notPrimary)
                } else if let lease {
                    if (lease.end ?? 0) <= now {
                        #expect(renewal == .ended)
                    } else if lease.record.remaining > 0, lessor.settings.checkpointInterval != nil {
                        #expect(renewal == .checkpointed)
                    } else {
                        #expect(renewal == .renewed(lease.record.timeToLive))
                        model.leases[id]?.end = now + Double(lease.record.timeToLive)
                    }
                } else {
                    #expect(renewal == .notFound)
                }
            case 6:
                model.leases[id] = nil
                handedOut[id] = nil
                lessor.revoked(LeaseID(id))
            case 7:
                let remaining = Int64(random.next(below: 3)) * 5
                model.leases[id]?.record.remaining = remaining
                lessor.checkpointed(LeaseCheckpoint(id: LeaseID(id), remaining: remaining), at: .at(now))
            case 8 where random.chance(1, in: 4):
                if model.isPrimary {
                    model.isPrimary = false
                    lessor.demote()
                    handedOut = [:]
                } else {
                    model.promote(at: now)
                    nextPass = now
                    lessor.promote(
                        model.leases.values.map(\.record).sorted { $0.id < $1.id }, at: .at(now))
                }
            default:
                let due = lessor.takeDue(at: .at(now))
                guard model.isPrimary, now >= nextPass else {
                    #expect(due.isEmpty)
                    break
                }
                nextPass = now + 0.5
                let expected = model.leases.filter { id, lease in
                    (lease.end ?? .infinity) <= now && now - (handedOut[id] ?? -10) >= 3
                }
                #expect(Set(due.ended.map(\.rawValue)) == Set(expected.keys), "seed \(seed), step \(step)")
                everEnded += due.ended.count
                for id in expected.keys { handedOut[id] = now }
                for checkpoint in due.checkpoints.joined() {
                    let lease = try #require(model.leases[checkpoint.id.rawValue])
                    #expect(Double(checkpoint.remaining) == ((lease.end ?? 0) - now).rounded(.up))
                    #expect(checkpoint.remaining < lease.record.timeToLive)
                }
            }
            for (id, lease) in model.leases {
                let found = lessor.timeToLive(of: LeaseID(id), at: .at(now))
                #expect(found?.left.inSeconds == lease.end.flatMap { model.isPrimary ? $0 - now : nil })
            }
            #expect(lessor.isConsistent, "seed \(seed), step \(step)")
        }
        #expect(everEnded > 0, "seed \(seed): no lease ended")
    }
}
