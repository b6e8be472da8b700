/// The search for a linear order of one key's operations.
///
/// Calls and returns stand in a doubly linked list by time. Whatever is called before the first return may come next;
/// an operation that is taken leaves the list, and comes back when the search turns around.
struct KeySearch {
    /// The set of operations done and the state they led to.
    ///
    /// The operations with an answer are numbered by call, so that those done are nearly a prefix: only the words
    /// behind the full ones are kept.
    private struct Configuration: Hashable {
        var full: Int
        var rest: [UInt64]
        var unanswered: [UInt64]
        var state: KeyState
    }

    private struct Event {
        var operation: Int
        var isCall: Bool
        var previous: Int
        var next: Int
    }

    private let key: Int
    private let limits: LinearizabilityChecker.Limits
    /// Those with an answer by time of call, then the others.
    private let operations: [KeyOperation]
    private let answered: Int
    /// For operations without an answer: the revision at which somebody saw their value.
    private let seenAt: [Int64?]

    /// Event 0 is the list's head; -1 ends it.
    private var events: [Event] = [Event(operation: -1, isCall: false, previous: -1, next: -1)]
    private var callOf: [Int]
    private var returnOf: [Int]

    private var done: [UInt64]
    /// Words of `done` before this one are full.
    private var full = 0
    private var unanswered: [UInt64]
    private var taken: [(operation: Int, before: KeyState)] = []
    private var answeredTaken = 0
    private var state = KeyState()
    private var tried: Set<Configuration> = []
    private var words = 0

    init(key: Int, _ all: [KeyOperation], _ limits: LinearizabilityChecker.Limits) {
        self.key = key
        self.limits = limits
        let known = all.filter { $0.completion != nil }.sorted { $0.call < $1.call }
        var seen: Set<UInt64> = []
        var revisions: [UInt64: Int64] = [:]
        for operation in all {
            if case .some(.some(let value)) = operation.seen {
                seen.insert(value.value)
                if let revision = value.modRevision { revisions[value.value] = revision }
            }
            // Also a swap of which nobody knows whether it happened may be what saw the value.
            if case .compareAndSwap(let expected?, _) = operation.action { seen.insert(expected) }
        }
        // A value that nobody saw was either never there or overwritten unseen: it makes no difference. A delete does.
        let open = all.filter { operation in
            guard operation.completion == nil, operation.action != .get else { return false }
            return operation.writtenValue.map(seen.contains) ?? true
        }
        operations = known + open.sorted { $0.call < $1.call }
        answered = known.count
        seenAt = operations.map { $0.completion == nil ? $0.writtenValue.flatMap { revisions[$0] } : nil }
        callOf = [Int](repeating: -1, count: operations.count)
        returnOf = callOf
        done = [UInt64](repeating: 0, count: (answered + 63) / 64)
        unanswered = [UInt64](repeating: 0, count: (operations.count - answered + 63) / 64)
        makeEvents()
    }

    private mutating func makeEvents() {
        var moments: [(time: Int64, operation: Int, isCall: Bool)] = []
        for (number, operation) in operations.enumerated() {
            moments.append((operation.call, number, true))
            if let completion = operation.completion { moments.append((completion.time, number, false)) }
        }
        // What touches in time counts as concurrent: calls first.
        moments.sort { ($0.time, $0.isCall ? 0 : 1, $0.operation) < ($1.time, $1.isCall ? 0 : 1, $1.operation) }
        for (_, operation, isCall) in moments {
            let event = events.count
            events.append(Event(operation: operation, isCall: isCall, previous: event - 1, next: -1))
            events[event - 1].next = event
            if isCall { callOf[operation] = event } else { returnOf[operation] = event }
        }
    }

    mutating func run() -> LinearizabilityChecker.Verdict {
        var deepest: [Int] = []
        var stuck: [Int] = []
        var event = events[0].next
        while answeredTaken < answered {
            // Every operation with an answer that is not taken has its return in the list.
            precondition(event > 0, "a return is missing")
            let operation = events[event].operation
            if events[event].isCall {
                if let after = state.after(operations[operation], seenAt: seenAt[operation]), take(operation, after) {
                    guard tried.count <= limits.configurations, words <= limits.words else {
                        return .gaveUp(key: key, operations: operations.count)
                    }
                    event = events[0].next
                } else {
                    event = events[event].next
                }
                continue
            }
            // Its time was over before it could be taken: the last choice was wrong.
            if taken.count >= deepest.count, stuck.isEmpty || taken.count > deepest.count {
                deepest = taken.map(\.operation)
                stuck = candidates()
            }
            guard let last = taken.popLast() else {
                return .violation(
                    LinearizabilityChecker.Violation(
                        key: key, explained: deepest.suffix(8).map { operations[$0] },
                        unexplained: stuck.prefix(16).map { operations[$0] }))
            }
            putBack(last.operation)
            state = last.before
            event = events[callOf[last.operation]].next
        }
        return .linearizable
    }

    /// Takes the operation as the next one.
    /// - Returns: false if all that follows from there has been tried.
    private mutating func take(_ operation: Int, _ after: KeyState) -> Bool {
        mark(operation)
        let rest = Array(done[full...])
        let trimmed = Array(rest.prefix((rest.lastIndex { $0 != 0 } ?? -1) + 1))
        let configuration = Configuration(full: full, rest: trimmed, unanswered: unanswered, state: after)
        guard tried.insert(configuration).inserted else {
            unmark(operation)
            return false
        }
        words += trimmed.count + unanswered.count + 8
        taken.append((operation, state))
        state = after
        unlink(callOf[operation])
        if operation < answered {
            unlink(returnOf[operation])
            answeredTaken += 1
        }
        return true
    }

    private mutating func putBack(_ operation: Int) {
        unmark(operation)
        if operation < answered {
            link(returnOf[operation])
            answeredTaken -= 1
        }
        link(callOf[operation])
    }

    private mutating func mark(_ operation: Int) {
        if operation < answered {
            done[operation / 64] |= 1 << (operation % 64)
            while full < done.count, done[full] == .max { full += 1 }
        } else {
            unanswered[(operation - answered) / 64] |= 1 << ((operation - answered) % 64)
        }
    }

    private mutating func unmark(_ operation: Int) {
        if operation < answered {
            done[operation / 64] &= ~(1 << (operation % 64))
            full = min(full, operation / 64)
        } else {
            unanswered[(operation - answered) / 64] &= ~(1 << ((operation - answered) % 64))
        }
    }

    private mutating func unlink(_ event: Int) {
        let (previous, next) = (events[event].previous, events[event].next)
        events[previous].next = next
        if next >= 0 { events[next].previous = previous }
    }

    /// Undoes `unlink`; the last unlinked first.
    private mutating func link(_ event: Int) {
        let (previous, next) = (events[event].previous, events[event].next)
        events[previous].next = event
        if next >= 0 { events[next].previous = event }
    }

    /// The operations that were called before the first return in the list.
    private func candidates() -> [Int] {
        var found: [Int] = []
        var event = events[0].next
        while event >= 0, events[event].isCall {
            found.append(events[event].operation)
            event = events[event].next
        }
        return found
    }
}
