import Base
import MVCC
import Testing

/// The former revisions of keys with few and with very many of them, against a list.
@Suite struct RevisionHistoryTests {
    private struct Revised: Equatable {
        var main: Int64
        var isTombstone: Bool
    }

    private func revised(_ entry: RevisionHistory.Entry) -> Revised {
        Revised(main: entry.main, isTombstone: entry.isTombstone)
    }

    /// What a compaction leaves, by its definition.
    private func compacted(_ entries: [Revised], at revision: Int64) -> (left: [Revised], kept: Bool) {
        guard let newest = entries.lastIndex(where: { $0.main <= revision }) else { return (entries, false) }
        let kept = !entries[newest].isTombstone || entries[newest].main == revision
        return (Array(entries[(kept ? newest : newest + 1)...]), kept)
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>) func agreesWithAList(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var history = RevisionHistory()
        var model: [(slot: UInt32, entries: [Revised])] = Array(repeating: (0, []), count: 4)
        var main: Int64 = 0
        for _ in 0..<40 {
            let key = Int.random(in: 0..<model.count, using: &random)
            for _ in 0..<Int.random(in: 1...1500, using: &random) {
                main += 1
                let isTombstone = Int.random(in: 0..<5, using: &random) == 0
                model[key].slot = history.append(
                    .init(main: main, sub: 0, isTombstone: isTombstone), to: model[key].slot)
                model[key].entries.append(Revised(main: main, isTombstone: isTombstone))
            }
            let other = Int.random(in: 0..<model.count, using: &random)
            let at = Int64.random(in: 0...main, using: &random)
            if Int.random(in: 0..<10, using: &random) == 0 {
                history.release(model[other].slot)
                model[other] = (0, [])
            } else if model[other].slot != 0 {
                let (left, kept) = compacted(model[other].entries, at: at)
                let result = history.compact(model[other].slot, at: at)
                #expect(result.kept == kept, "seed \(seed)")
                #expect((result.slot == 0) == left.isEmpty, "seed \(seed)")
                model[other] = (result.slot, left)
            }
            for (slot, entries) in model where slot != 0 {
                #expect(history.entries(of: slot).map(revised) == entries, "seed \(seed)")
                for _ in 0..<20 {
                    let revision = Int64.random(in: 0...main, using: &random)
                    #expect(
                        history.newest(in: slot, through: revision).map(revised)
                            == entries.last { $0.main <= revision }, "seed \(seed), revision \(revision)")
                }
            }
            #expect(history.count == model.reduce(0) { $0 + $1.entries.count }, "seed \(seed)")
        }
    }

    @Test func slotsAreUsedAgain() {
        var history = RevisionHistory()
        let slots = (1...10_000).map { history.append(.init(main: Int64($0), sub: 0, isTombstone: false), to: 0) }
        #expect(Set(slots).count == 10_000)
        for slot in slots { history.release(slot) }
        #expect(history.count == 0)
        let again = (1...10_000).map { history.append(.init(main: Int64($0), sub: 0, isTombstone: false), to: 0) }
        #expect(Set(again) == Set(slots))
    }
}
