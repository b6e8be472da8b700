/// A bucket of a read transaction: keys with values, and buckets under names of their own, in one order of bytes.
///
/// It keeps its transaction alive. Looking a bucket up costs a search; keep it for as long as the transaction is used.
public struct Bucket: Sendable {
    public let transaction: ReadTransaction
    let place: BucketRoot

    /// The bucket's counter, which only its users give a meaning.
    public var sequence: UInt64 { place.header.sequence }
    /// Whether the bucket is stored in its parent's page.
    public var isInline: Bool { place.inline != nil }
    /// The root page's id, 0 for an inline bucket.
    public var rootPage: UInt64 { place.header.root }

    func root() throws(BoltError) -> Page {
        try transaction.checkOpen()
        return try place.page(in: transaction.version)
    }

    /// The bucket called `name` inside this one, or nil.
    /// - Throws: `.incompatibleValue` if the name is a key with a value.
    /// - Complexity: O(log n).
    public func bucket(_ name: [UInt8]) throws(BoltError) -> Bucket? {
        let root = try root()
        let place = try withBytes(name) { (name) throws(BoltError) in
            try BucketRoot.find(name, below: root, in: transaction.version)
        }
        return place.map { Bucket(transaction: transaction, place: $0) }
    }

    /// A copy of the value of `key`, or nil if there is none or the key names a bucket.
    /// - Complexity: O(log n) and the value's length.
    public func get(_ key: [UInt8]) throws(BoltError) -> [UInt8]? {
        guard let value = try valueBytes(of: key.span) else { return nil }
        return withExtendedLifetime(transaction) { value.array }
    }

    /// Lends the value of `key` to `body` where it lies in the file, without a copy. Nil, and no call, if there is none
    /// or the key names a bucket. `body` must not close the transaction.
    /// - Complexity: O(log n).
    @inlinable
    public func withValue<R>(
        for key: [UInt8], _ body: (Span<UInt8>) throws(BoltError) -> R
    ) throws(BoltError) -> R? {
        try withValue(for: key.span, body)
    }

    /// Likewise for a key that lies somewhere else than in an array.
    @inlinable
    public func withValue<R>(
        for key: Span<UInt8>, _ body: (Span<UInt8>) throws(BoltError) -> R
    ) throws(BoltError) -> R? {
        guard let value = try valueBytes(of: key) else { return nil }
        // The transaction keeps the page, and nothing else here keeps the transaction.
        return try withExtendedLifetime(transaction) { () throws(BoltError) in try value.withSpan(body) }
    }

    /// Where the value of `key` lies in the file, good as long as the transaction is kept. Nil if there is none or the
    /// key names a bucket.
    @usableFromInline
    func valueBytes(of key: Span<UInt8>) throws(BoltError) -> PageBytes? {
        let root = try root()
        return try withBytes(key) { (key) throws(BoltError) -> PageBytes? in
            guard let (page, element) = try transaction.version.find(key, from: root), !element.isBucket else {
                return nil
            }
            return page.value(element)
        }
    }

    /// A cursor over the bucket, not yet on an item.
    public func cursor() -> Cursor { Cursor(self) }

    /// The names of the buckets directly inside this one, ascending.
    /// - Complexity: O(n) in all items of this bucket.
    public func bucketNames() throws(BoltError) -> [[UInt8]] {
        var names: [[UInt8]] = []
        var cursor = cursor()
        var more = try cursor.first()
        while more {
            if cursor.isBucket { names.append(cursor.key) }
            more = try cursor.next()
        }
        return names
    }
}
