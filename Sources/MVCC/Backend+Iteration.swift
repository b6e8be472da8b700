internal import Base

extension Backend {
    /// The items of a bucket in key order, the buffered changes merged in.
    /// - Parameters:
    ///   - start: the first key wanted; empty for the bucket's first.
    ///   - end: the first key not wanted; nil for no end.
    ///   - limit: the most items to hand out; nil for all.
    ///   - body: called for each item, returns whether to go on. It must not change the backend.
    /// - Complexity: O(items visited + n log n) for n buffered changes of the bucket.
    public func forEach(
        in bucket: BackendBucket, from start: [UInt8] = [], to end: [UInt8]? = nil, limit: Int? = nil,
        _ body: (_ key: [UInt8], _ value: [UInt8]) throws(StoreError) -> Bool
    ) throws(StoreError) {
        var left = limit ?? Int.max
        guard left > 0 else { return }
        if bucket == .key {
            try forEachRowItem(from: start, to: end, limit: left, body)
            return
        }
        let overlay = overlay(of: bucket, from: start, to: end)
        var next = 0
        var goOn = true
        /// Hands out the buffered items before `key` (all of them for nil).
        func flush(before key: [UInt8]?) throws(StoreError) {
            while goOn, next < overlay.count, key.map({ precedes(overlay[next].key, $0) }) ?? true {
                if case .put(let value) = overlay[next].change {
                    goOn = try body(overlay[next].key, value)
                    left -= 1
                    if left == 0 { goOn = false }
                }
                next += 1
            }
        }
        try stored.forEach(in: bucket, from: start) { (keySpan, value) throws(StoreError) -> Bool in
            let key = keySpan.array
            if let end, !precedes(key, end) { return false }
            try flush(before: key)
            guard goOn else { return false }
            if next < overlay.count, overlay[next].key == key { return true }
            goOn = try body(key, value.array)
            left -= 1
            if left == 0 { goOn = false }
            return goOn
        }
        try flush(before: nil)
    }

    /// All items of a bucket in key order.
    public func items(in bucket: BackendBucket) throws(StoreError) -> [(key: [UInt8], value: [UInt8])] {
        var items: [(key: [UInt8], value: [UInt8])] = []
        try forEach(in: bucket) { (key, value) throws(StoreError) -> Bool in
            items.append((key: key, value: value))
            return true
        }
        return items
    }

    private func overlay(of bucket: BackendBucket, from start: [UInt8], to end: [UInt8]?) -> [(
        key: [UInt8], change: PendingTable.Change
    )] {
        var merged = frozen.tables[bucket.rawValue]
        for (key, change) in pending.tables[bucket.rawValue].sorted { merged[key] = change }
        return merged.sorted.filter { item in
            !precedes(item.key, start) && end.map { precedes(item.key, $0) } ?? true
        }
    }

    private func forEachRowItem(
        from start: [UInt8], to end: [UInt8]?, limit: Int, _ body: ([UInt8], [UInt8]) throws(StoreError) -> Bool
    ) throws(StoreError) {
        var left = limit
        try forEachRow(from: Revision.zero) { (row, value) throws(StoreError) -> Bool in
            let key = row.encoded
            if precedes(key, start) { return true }
            if let end, !precedes(key, end) { return false }
            left -= 1
            return try body(key, value.array) && left > 0
        }
    }
}
