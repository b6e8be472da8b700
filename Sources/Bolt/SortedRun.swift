/// Keys with values in one block of bytes, in the order in which they are to be put: keys ascending strictly.
///
/// Fill it, hand it to `WriteTransaction.putSorted`, empty it with `removeAll(keepingCapacity:)` and fill it again.
/// As a list of keys to delete its values are empty.
@frozen public struct SortedRun: Sendable {
    /// Where an item's key and value are in `bytes`.
    @frozen public struct Item: Sendable {
        public var keyStart: Int
        public var valueStart: Int
        public var keyCount: UInt32
        public var valueCount: UInt32

        @inlinable public init(keyStart: Int, keyCount: Int, valueStart: Int, valueCount: Int) {
            self.keyStart = keyStart
            self.valueStart = valueStart
            self.keyCount = UInt32(keyCount)
            self.valueCount = UInt32(valueCount)
        }
    }

    public private(set) var bytes: [UInt8] = []
    public private(set) var items: [Item] = []

    @inlinable public init() { self.init(bytes: [], items: []) }

    /// A run over bytes that are laid out already.
    /// - Precondition: every item lies inside `bytes`.
    public init(bytes: [UInt8], items: [Item]) {
        for item in items {
            precondition(item.keyStart >= 0 && item.keyStart + Int(item.keyCount) <= bytes.count)
            precondition(item.valueStart >= 0 && item.valueStart + Int(item.valueCount) <= bytes.count)
        }
        self.bytes = bytes
        self.items = items
    }

    public var count: Int { items.count }
    public var isEmpty: Bool { items.isEmpty }

    public mutating func reserveCapacity(items count: Int, bytes byteCount: Int) {
        items.reserveCapacity(count)
        bytes.reserveCapacity(byteCount)
    }

    public mutating func removeAll(keepingCapacity: Bool = false) {
        bytes.removeAll(keepingCapacity: keepingCapacity)
        items.removeAll(keepingCapacity: keepingCapacity)
    }

    /// Appends an item. That its key is above the one before is checked when the run is used.
    public mutating func append(key: [UInt8], value: [UInt8] = []) {
        let start = bytes.count
        bytes.append(contentsOf: key)
        bytes.append(contentsOf: value)
        items.append(
            Item(keyStart: start, keyCount: key.count, valueStart: start + key.count, valueCount: value.count))
    }

    public func key(at index: Int) -> ArraySlice<UInt8> {
        let item = items[index]
        return bytes[item.keyStart..<item.keyStart + Int(item.keyCount)]
    }

    public func value(at index: Int) -> ArraySlice<UInt8> {
        let item = items[index]
        return bytes[item.valueStart..<item.valueStart + Int(item.valueCount)]
    }
}
