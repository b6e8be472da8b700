import Apply
import Base
import EtcdProto
import Foundation
import MVCC
import PlatformSim
import SwiftProtobuf
import Testing

@Suite("Hash over effects") struct EffectsHashTests {
    private func write(_ test: TestApplier, _ range: ClosedRange<UInt64>, odd: UInt64? = nil) throws {
        for index in range {
            try test.apply { request in
                request.put = .with {
                    $0.key = Data("k\(index % 50)".utf8)
                    $0.value = Data((index == odd ? "other" : "value \(index)").utf8)
                }
            }
        }
    }

    @Test("Members that apply the same entries agree, whenever they commit, compact and restart")
    func agree() throws {
        let one = try TestApplier()
        let two = try TestApplier()
        try write(one, 1...3200)
        try write(two, 1...700)
        try two.commit()
        try two.reopen()
        try write(two, 701...1000)
        try two.commit()
        try two.reopen()
        try write(two, 1001...2500)
        try two.commit()
        try write(two, 2501...3200)
        let windows = one.applier.backend.effects.finished
        #expect(windows.map(\.index.rawValue) == [1000, 2000, 3000])
        // Finished windows are not kept over a restart, only the one under way.
        #expect(two.applier.backend.effects.finished == Array(windows.dropFirst()))
        #expect(
            EffectsHash.compare(windows, two.applier.backend.effects.finished) == .agree(through: LogIndex(3000)))
    }

    @Test("A different effect shows in its window, and a lasting difference in every later one")
    func differ() throws {
        let one = try TestApplier()
        let two = try TestApplier()
        try write(one, 1...3200)
        try write(two, 1...3200, odd: 1500)
        let (a, b) = (one.applier.backend.effects.finished, two.applier.backend.effects.finished)
        #expect(a[0] == b[0] && a[1] != b[1] && a[2] == b[2])
        #expect(EffectsHash.compare(a, b) == .differ(at: LogIndex(2000)))
        let three = try TestApplier()
        try write(three, 1...900)
        // One member misses what an entry did: every later window ends with another state.
        try three.apply([], at: 901)
        try write(three, 902...3200)
        #expect(zip(a, three.applier.backend.effects.finished).allSatisfy { $0 != $1 })
        #expect(EffectsHash.compare(a, []) == .unknown)
    }

    @Test("What depends on a member's own flags is left out: the shortest lease")
    func flags() throws {
        let one = try TestApplier(limits: ApplyLimits(minimumLeaseTTL: 2))
        let two = try TestApplier(limits: ApplyLimits(minimumLeaseTTL: 15))
        for test in [one, two] {
            try test.apply { request in
                request.leaseGrant = .with {
                    $0.id = 7
                    $0.ttl = 1
                }
            }
            try write(test, 2...1001)
        }
        #expect(one.applier.store.lease(LeaseID(7)) != two.applier.store.lease(LeaseID(7)))
        #expect(one.applier.backend.effects.finished == two.applier.backend.effects.finished)
        #expect(one.applier.backend.effects.finished.count == 1)
    }

    @Test("After another program wrote the file the window under way is left out")
    func foreignWriter() throws {
        let test = try TestApplier()
        try write(test, 1...500)
        let stored = try #require(test.applier.backend.effects.encoded(at: LogIndex(500)))
        #expect(EffectsHash(after: LogIndex(500), stored: stored).encoded(at: LogIndex(500)) == stored)
        // As etcd leaves it: a later index, and the hash of an earlier one. Or a torn value.
        #expect(EffectsHash(after: LogIndex(600), stored: stored).encoded(at: LogIndex(600)) == nil)
        #expect(EffectsHash(after: LogIndex(500), stored: nil).encoded(at: LogIndex(500)) == nil)
        #expect(EffectsHash(after: LogIndex(500), stored: [1, 2]).encoded(at: LogIndex(500)) == nil)
        // A window can always be begun.
        #expect(EffectsHash(after: LogIndex(2000), stored: nil).encoded(at: LogIndex(2000)) == nil)
        #expect(EffectsHash(after: LogIndex(2000), stored: nil).encoded(at: LogIndex(2001)) != nil)
    }
}
