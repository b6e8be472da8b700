public import EtcdProto

/// A `RangeRequest` as it lies in a message: keys are offsets into the message's bytes.
public struct RangeCommand: Sendable, Equatable {
    public enum SortOrder: Sendable, Equatable {
        case none
        case ascending
        case descending
        /// A number that is none of the above; read as "do not sort".
        case unknown
    }

    public enum SortTarget: Sendable, Equatable {
        case key
        case version
        case createRevision
        case modRevision
        case value
        case unknown
    }

    public var key = 0..<0
    public var rangeEnd = 0..<0
    public var limit: Int64 = 0
    public var revision: Int64 = 0
    public var sortOrder = SortOrder.none
    public var sortTarget = SortTarget.key
    public var isSerializable = false
    public var keysOnly = false
    public var countOnly = false
    public var minModRevision: Int64 = 0
    public var maxModRevision: Int64 = 0
    public var minCreateRevision: Int64 = 0
    public var maxCreateRevision: Int64 = 0

    public init() {}

    /// Decodes the message that lies at `range` of `bytes`.
    public init(_ bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        let span = bytes.span
        var cursor = WireCursor(range)
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: key = try value.bytes(field)
            case 2: rangeEnd = try value.bytes(field)
            case 3: limit = try value.signed(field)
            case 4: revision = try value.signed(field)
            case 5: sortOrder = SortOrder(number: try value.unsigned(field))
            case 6: sortTarget = SortTarget(number: try value.unsigned(field))
            case 7: isSerializable = try value.bool(field)
            case 8: keysOnly = try value.bool(field)
            case 9: countOnly = try value.bool(field)
            case 10: minModRevision = try value.signed(field)
            case 11: maxModRevision = try value.signed(field)
            case 12: minCreateRevision = try value.signed(field)
            case 13: maxCreateRevision = try value.signed(field)
            default: break
            }
        }
    }

    public init(_ bytes: [UInt8]) throws(WireError) { try self.init(bytes, at: bytes.indices) }

    /// Whether results are dropped by their revisions.
    var hasFilter: Bool {
        minModRevision != 0 || maxModRevision != 0 || minCreateRevision != 0 || maxCreateRevision != 0
    }
}

extension RangeCommand.SortOrder {
    init(number: UInt64) {
        switch number {
        case 0: self = .none
        case 1: self = .ascending
        case 2: self = .descending
        default: self = .unknown
        }
    }
}

extension RangeCommand.SortTarget {
    init(number: UInt64) {
        switch number {
        case 0: self = .key
        case 1: self = .version
        case 2: self = .createRevision
        case 3: self = .modRevision
        case 4: self = .value
        default: self = .unknown
        }
    }
}

extension WireValue {
    /// The value as a field of type `bytes`, `string` or message.
    package func bytes(_ field: Int) throws(WireError) -> Range<Int> {
        guard case .bytes(let range) = self else { throw .unexpectedWireType(field: field) }
        return range
    }

    package func unsigned(_ field: Int) throws(WireError) -> UInt64 {
        guard case .varint(let value) = self else { throw .unexpectedWireType(field: field) }
        return value
    }

    package func signed(_ field: Int) throws(WireError) -> Int64 {
        Int64(bitPattern: try unsigned(field))
    }

    package func bool(_ field: Int) throws(WireError) -> Bool {
        try unsigned(field) != 0
    }
}
