/// How many connections each event loop has, and which loop takes the next one: the one that has the fewest, and of
/// those with equally many the first.
package struct LoopLoads {
    private var counts: [Int]
    /// The loop that takes the next connection, by its place.
    package private(set) var taker = 0

    /// - Parameter loops: how many there are; at least one.
    package init(loops: Int) {
        precondition(loops > 0)
        counts = Array(repeating: 0, count: loops)
    }

    package mutating func opened(on loop: Int) {
        counts[loop] += 1
        choose()
    }

    package mutating func closed(on loop: Int) {
        counts[loop] -= 1
        choose()
    }

    private mutating func choose() {
        taker = counts.indices.min { (counts[$0], $0) < (counts[$1], $1) } ?? 0
    }
}
