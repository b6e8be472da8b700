import Base
import TestSupport

/// Makes histories of a store that is right: clients call, each call takes effect at one moment, and answers come later
/// or never.
struct HistoryGenerator {
    struct Shape {
        var clients = 5
        var keys = 3
        var operations = 300
        /// One in so many calls is never answered, and may take effect at any later time.
        var lostEvery = 20
    }

    private enum Moment {
        case call(client: Int)
        case effect(operation: Int)
    }

    private var random: SeededGenerator
    private let shape: Shape
    private var agenda: [(time: Int64, order: Int, moment: Moment)] = []
    private var scheduled = 0
    private var history: [KeyOperation] = []
    private var store: [Int: SeenValue] = [:]
    private var revision: Int64 = 1
    private var lastValue: UInt64 = 0

    init(seed: UInt64, _ shape: Shape = Shape()) {
        random = SeededGenerator(seed: seed)
        self.shape = shape
    }

    static func history(seed: UInt64, _ shape: Shape = Shape()) -> [KeyOperation] {
        var generator = HistoryGenerator(seed: seed, shape)
        return generator.run()
    }

    private mutating func run() -> [KeyOperation] {
        for client in 0..<shape.clients { schedule(.call(client: client), in: 5) }
        while let next = agenda.indices.min(by: {
            (agenda[$0].time, agenda[$0].order) < (agenda[$1].time, agenda[$1].order)
        }) {
            let (time, _, moment) = agenda.remove(at: next)
            switch moment {
            case .call(let client): call(client, at: time)
            case .effect(let operation): takeEffect(operation, at: time)
            }
        }
        return history
    }

    private mutating func schedule(_ moment: Moment, at time: Int64 = 0, in span: Int) {
        scheduled += 1
        agenda.append((time + 1 + Int64(random.next(below: span)), scheduled, moment))
    }

    private mutating func call(_ client: Int, at time: Int64) {
        guard history.count < shape.operations else { return }
        let key = random.next(below: shape.keys)
        lastValue += 1
        let action: KeyOperation.Action
        switch random.next(below: 10) {
        case 0..<4: action = .get
        case 4..<7: action = .put(lastValue)
        case 7: action = .delete
        default:
            // Mostly what is there, so that many succeed.
            let expected = random.chance(1, in: 4) ? lastValue / 2 + 1 : store[key]?.value
            action = .compareAndSwap(expected: expected, new: lastValue)
        }
        history.append(KeyOperation(client: client, key: key, action: action, call: time))
        if random.chance(1, in: shape.lostEvery) {
            if random.chance(1, in: 2) { schedule(.effect(operation: history.count - 1), at: time, in: 200) }
            schedule(.call(client: client), at: time, in: 40)
        } else {
            // The answer's time is noted as the completion; the effect comes before it.
            let effect = Int64(1 + random.next(below: 10))
            scheduled += 1
            agenda.append((time + effect, scheduled, .effect(operation: history.count - 1)))
            let end = time + effect + Int64(1 + random.next(below: 10))
            history[history.count - 1].completion = KeyOperation.Completion(time: end, answer: .put)
            schedule(.call(client: client), at: end, in: 5)
        }
    }

    private mutating func takeEffect(_ number: Int, at time: Int64) {
        let (key, before) = (history[number].key, store[history[number].key])
        let answer: KeyOperation.Answer
        switch history[number].action {
        case .get: answer = .read(before)
        case .put(let value):
            write(key, value)
            answer = .put
        case .delete:
            if before != nil { write(key, nil) }
            answer = .deleted(before)
        case .compareAndSwap(let expected, let new):
            if before?.value == expected {
                write(key, new)
                answer = .swapped
            } else {
                answer = .refused(before)
            }
        }
        guard history[number].completion != nil else { return }
        history[number].completion?.answer = answer
        history[number].completion?.revision = revision
    }

    private mutating func write(_ key: Int, _ value: UInt64?) {
        revision += 1
        store[key] = value.map { SeenValue($0, modRevision: revision) }
    }
}
