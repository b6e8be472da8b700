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

    private func append(
        _ entry: Revised, to model: inout (slot: UInt32, entries: [Revised]), and history: inout RevisionHistory
    ) {
        model.slot = history.append(
            .init(main: entry.main, sub: 0, isTombstone: entry.isTombstone), to: model.slot)
        model.entries.append(entry)
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
                append(Revised(main: main, isTombstone: isTombstone), to: &model[key], and: &history)
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

    /// More keys than a piece of slots has, with none to three revisions each, which stand in the slot or beside it.
    @Test(arguments: 1...4 as ClosedRange<UInt64>) func agreesWithManyShortLists(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var history = RevisionHistory()
        var model: [(slot: UInt32, entries: [Revised])] = Array(repeating: (0, []), count: 3000)
        var main: Int64 = 0
        for _ in 0..<6 {
            for key in model.indices where Int.random(in: 0..<3, using: &random) > 0 {
                for _ in 0..<Int.random(in: 1...2, using: &random) {
                    main += 1
                    let isTombstone = Int.random(in: 0..<3, using: &random) == 0
                    append(Revised(main: main, isTombstone: isTombstone), to: &model[key], and: &history)
                }
            }
            let at = main - Int64.random(in: 0...3000, using: &random)
            for key in model.indices where model[key].slot != 0 {
                if Int.random(in: 0..<8, using: &random) == 0 {
                    history.release(model[key].slot)
                    model[key] = (0, [])
                    continue
                }
                let (left, kept) = compacted(model[key].entries, at: at)
                let result = history.compact(model[key].slot, at: at)
                #expect(result.kept == kept && (result.slot == 0) == left.isEmpty, "seed \(seed), key \(key)")
                model[key] = (result.slot, left)
            }
            var wrong = 0
            for (slot, entries) in model where slot != 0 {
                if history.entries(of: slot).map(revised) != entries { wrong += 1 }
                for revision in [at, at + 1, entries[0].main, main] {
                    let newest = entries.last { $0.main <= revision }
                    if history.newest(in: slot, through: revision).map(revised) != newest { wrong += 1 }
                }
            }
            #expect(wrong == 0, "seed \(seed)")
            #expect(history.count == model.reduce(0) { $0 + $1.entries.count }, "seed \(seed)")
            let slots = model.map(\.slot).filter { $0 != 0 }
            #expect(Set(slots).count == slots.count, "seed \(seed)")
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
