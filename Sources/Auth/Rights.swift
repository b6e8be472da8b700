internal import MVCC

/// What a user may read and write: its roles' permissions, joined.
struct Rights: Sendable {
    /// The role `root`: everything.
    var isRoot = false
    private var reads: [KeyRange] = []
    private var writes: [KeyRange] = []

    init() {}

    init(isRoot: Bool, permissions: [Permission]) {
        self.isRoot = isRoot
        reads = Self.joined(permissions.filter(\.kind.allowsReads))
        writes = Self.joined(permissions.filter(\.kind.allowsWrites))
    }

    func mayRead(_ range: KeyRange) -> Bool { isRoot || Self.covers(reads, range) }
    func mayWrite(_ range: KeyRange) -> Bool { isRoot || Self.covers(writes, range) }

    /// Disjoint ranges, ascending, those that touch made one.
    private static func joined(_ permissions: [Permission]) -> [KeyRange] {
        let ranges = permissions.map { KeyRange(key: $0.key, rangeEnd: $0.rangeEnd) }
            .sorted { precedes($0.start, $1.start) }
        var out: [KeyRange] = []
        for range in ranges {
            guard let last = out.last, !last.endsBefore(range.start) else {
                out.append(range)
                continue
            }
            if let end = last.end, range.end.map({ precedes(end, $0) }) ?? true { out[out.count - 1].end = range.end }
        }
        return out
    }

    private static func covers(_ ranges: [KeyRange], _ wanted: KeyRange) -> Bool {
        // The last range that starts at or before the one that is wanted.
        var low = 0
        var high = ranges.count
        while low < high {
            let middle = (low + high) / 2
            if precedes(wanted.start, ranges[middle].start) { high = middle } else { low = middle + 1 }
        }
        guard low > 0 else { return false }
        let range = ranges[low - 1]
        guard let end = range.end else { return true }
        guard let wantedEnd = wanted.end else { return false }
        return precedes(wanted.start, end) && !precedes(end, wantedEnd)
    }
}

/// The keys that a request or a permission means.
public struct KeyRange: Sendable, Equatable {
    public var start: [UInt8]
    /// The first key that is not meant; nil for none.
    public var end: [UInt8]?

    /// - Parameter rangeEnd: as in a `RangeRequest`: empty for one key, `[0]` for all from it on.
    public init(key: [UInt8], rangeEnd: [UInt8]) {
        start = key
        end = rangeEnd.isEmpty ? key + [0] : rangeEnd == [0] ? nil : rangeEnd
    }

    /// Whether there is a key between this range and `start`.
    fileprivate func endsBefore(_ start: [UInt8]) -> Bool { end.map { precedes($0, start) } ?? false }
}
