/// A cumulative histogram with fixed upper bounds, in the shape of a Prometheus one. Owned by one thread.
public struct Histogram: Sendable, Equatable {
    /// The upper bounds of the buckets, ascending; the last bucket, +Inf, is not listed.
    public let bounds: [Double]
    /// How many observations fell into each bucket alone, the +Inf bucket last.
    public private(set) var counts: [UInt64]
    public private(set) var sum: Double = 0

    public init(bounds: [Double]) {
        self.bounds = bounds
        counts = [UInt64](repeating: 0, count: bounds.count + 1)
    }

    /// Bounds `start`, `start * 2`, `start * 4`, … — `count` of them.
    public init(from start: Double, doubling count: Int) {
        self.init(bounds: (0..<count).map { start * Double(1 << $0) })
    }

    public var count: UInt64 { counts.reduce(0, +) }

    /// Records one value. O(number of buckets).
    public mutating func observe(_ value: Double) {
        counts[bounds.firstIndex { value <= $0 } ?? bounds.count] += 1
        sum += value
    }

    /// Adds the observations of `other`, which must have the same bounds.
    public mutating func merge(_ other: Histogram) {
        precondition(bounds == other.bounds)
        for i in counts.indices { counts[i] += other.counts[i] }
        sum += other.sum
    }
}
