internal import Base

/// A key index by itself, for measuring what it takes: the store keeps its own out of sight.
package struct IndexProbe {
    private var index = KeyIndex()

    package init() {}

    /// Puts keys, each at a revision of its own.
    package mutating func put(_ keys: [[UInt8]], from revision: Int64) {
        for i in keys.indices {
            let key = keys[i]
            index.put(key.span.bytes, at: Revision(main: revision + Int64(i)), hasLease: false)
        }
    }

    /// How many of the keys are there.
    package func find(_ keys: [[UInt8]]) -> Int {
        keys.reduce(0) { $0 + (index.record(of: $1.span.bytes) == nil ? 0 : 1) }
    }

    package var count: Int { index.count }
    package var allocatedBytes: Int { index.allocatedBytes }
}
