public import Base

// The hash over the effects of entries. Whoever applies them says where one begins and ends.
extension Backend {
    /// An entry begins: what is written from here on is its effect.
    /// - Parameter state: figures of the store, asked for at the end of a window.
    public func beginEffects(of index: LogIndex, state: () -> [Int64]) {
        if effects.endsBefore(index) { effects.close(before: index, state: state()) }
        effectsStart = pending.rows.bytes.count
        recordsEffects = true
    }

    /// The entry has had its effects. O(bytes that it wrote).
    public func endEffects() {
        recordsEffects = false
        let bytes = pending.rows.bytes
        guard bytes.count > effectsStart else { return }
        let span = bytes.span
        effects.add(span.extracting(effectsStart..<bytes.count).bytes)
    }

    /// A change of a bucket other than `key`. Leases are left out: how long the shortest may be, and whether
    /// checkpoints are stored, each member is told by its own flags. What leases do to keys is in the rows.
    func recordEffect(_ key: [UInt8], _ value: [UInt8]?, in bucket: BackendBucket) {
        guard recordsEffects, bucket != .lease else { return }
        let kind: UInt8 = value == nil ? 0 : 1
        effects.add([UInt8(truncatingIfNeeded: bucket.rawValue), kind].span.bytes)
        effects.add(key.span.bytes)
        if let value { effects.add(value.span.bytes) }
    }
}
