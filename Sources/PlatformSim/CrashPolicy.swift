internal import Base

/// What a power loss leaves of the changes that no sync had covered. What a sync had covered is always there.
///
/// A change is one write, one change of a file's size, or one creation, renaming or removal in a directory. Renaming is
/// all or nothing. Data reach the disk in sectors of 512 bytes, each of them old or new, never a mixture.
public enum CrashPolicy: Sendable, Hashable, CustomStringConvertible {
    /// Nothing unsynced survives.
    case loseUnsynced
    /// Everything survives, as when only the process died.
    case keepUnsynced
    /// A number of changes, drawn from the seed, had been written back in the given order; the next one was torn: some
    /// of its sectors are new.
    case partial(seed: UInt64, order: WritebackOrder)

    /// The order in which the disk took the changes.
    public enum WritebackOrder: Sendable, Hashable, CaseIterable {
        /// As they were issued.
        case issued
        /// The last one first.
        case reversed
        /// Any sector of any change by itself.
        case scattered
    }

    /// Losing all, keeping all, and for each seed each order.
    public static func all(seeds: some Sequence<UInt64>) -> [CrashPolicy] {
        [.loseUnsynced, .keepUnsynced]
            + seeds.flatMap { seed in WritebackOrder.allCases.map { .partial(seed: seed, order: $0) } }
    }

    public var description: String {
        switch self {
        case .loseUnsynced: "lose unsynced"
        case .keepUnsynced: "keep unsynced"
        case .partial(let seed, let order): "partial, \(order), seed \(seed)"
        }
    }
}

/// Decides about each unsynced change of a crash.
struct CrashFilter {
    private enum Rule {
        case all(Bool)
        /// Keeps the changes with these sequence numbers; the one at `torn` in part.
        case range(ClosedRange<Int>?, torn: Int)
        case scattered
    }

    private let rule: Rule
    private var random: SeededGenerator

    /// - Parameter sequence: the numbers of all unsynced changes, ascending.
    init(_ policy: CrashPolicy, sequence: [Int]) {
        switch policy {
        case .loseUnsynced:
            (rule, random) = (.all(false), SeededGenerator(seed: 0))
        case .keepUnsynced:
            (rule, random) = (.all(true), SeededGenerator(seed: 0))
        case .partial(let seed, .scattered):
            (rule, random) = (.scattered, SeededGenerator(seed: seed))
        case .partial(let seed, let order):
            random = SeededGenerator(seed: seed)
            guard let first = sequence.first, let last = sequence.last else {
                rule = .all(false)
                return
            }
            let kept = random.next(below: sequence.count)
            if order == .issued {
                rule = .range(kept > 0 ? first...sequence[kept - 1] : nil, torn: sequence[kept])
            } else {
                let start = sequence.count - kept
                rule = .range(kept > 0 ? sequence[start]...last : nil, torn: sequence[start - 1])
            }
        }
    }

    /// Whether one indivisible part of the change survives.
    mutating func keeps(_ sequence: Int) -> Bool {
        switch rule {
        case .all(let keep): keep
        case .range(let range, let torn):
            sequence == torn ? random.chance(1, in: 2) : range?.contains(sequence) ?? false
        case .scattered: random.chance(1, in: 2)
        }
    }
}
