import Base
import TestSupport

/// Ways to make a right history wrong, so that it certainly is.
enum SeededViolation: CaseIterable {
    /// A read shows a value that was overwritten before the read was called.
    case staleRead
    /// A read shows what nobody wrote.
    case inventedValue
    /// A swap succeeds although the value it expects was overwritten before.
    case lostUpdate
    /// A put that was acknowledged is gone when the next read is called.
    case lostWrite

    /// - Returns: nil if the history has no place for it.
    func seed(into history: [KeyOperation], _ random: inout SeededGenerator) -> [KeyOperation]? {
        var history = history
        switch self {
        case .inventedValue:
            let reads = history.indices.filter {
                if case .read = history[$0].completion?.answer { true } else { false }
            }
            guard let read = reads.randomElement(using: &random) else { return nil }
            history[read].completion?.answer = .read(SeenValue(1 << 40, modRevision: 1))
        case .staleRead, .lostUpdate:
            let wanted = self == .staleRead ? KeyOperation.Action.get : nil
            let places = history.indices.filter { i in
                let isRefused = if case .refused = history[i].completion?.answer { true } else { false }
                return (history[i].action == wanted && history[i].completion != nil) || (wanted == nil && isRefused)
            }.shuffled(using: &random)
            for place in places {
                guard let old = overwrittenBefore(history[place], in: history) else { continue }
                if self == .staleRead {
                    history[place].completion?.answer = .read(
                        SeenValue(old.writtenValue ?? 0, modRevision: old.completion?.revision))
                } else if case .compareAndSwap(_, let new) = history[place].action {
                    // Its new value is its own; the revision may stay, as only the search is asked about this one.
                    history[place].action = .compareAndSwap(expected: old.writtenValue, new: new)
                    history[place].completion?.answer = .swapped
                }
                return history
            }
            return nil
        case .lostWrite:
            for place in history.indices.shuffled(using: &random) where history[place].action == .get {
                guard case .read(let seen?) = history[place].completion?.answer,
                    let put = history.first(where: { $0.writtenValue == seen.value }),
                    ended(put, before: history[place]),
                    !history.contains(where: { mayDelete($0, put, history[place]) })
                else { continue }
                history[place].completion?.answer = .read(nil)
                return history
            }
            return nil
        }
        return history
    }

    private func ended(_ first: KeyOperation, before second: KeyOperation) -> Bool {
        first.completion.map { $0.time < second.call } ?? false
    }

    private func mayDelete(_ operation: KeyOperation, _ put: KeyOperation, _ read: KeyOperation) -> Bool {
        operation.action == .delete && operation.key == put.key && !ended(operation, before: put)
            && operation.call <= (read.completion?.time ?? 0)
    }

    /// A write that was followed by another, both with an answer, before `operation` was called.
    private func overwrittenBefore(_ operation: KeyOperation, in history: [KeyOperation]) -> KeyOperation? {
        let writes = history.filter {
            $0.key == operation.key && $0.changedKey && $0.writtenValue != nil && ended($0, before: operation)
        }
        return writes.first { old in writes.contains { ended(old, before: $0) } }
    }
}
