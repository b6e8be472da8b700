public import EtcdProto

/// A `PutRequest` as it lies in a message: key and value are offsets into the message's bytes.
public struct PutCommand: Sendable, Equatable {
    public var key = 0..<0
    public var value = 0..<0
    public var lease: Int64 = 0
    public var returnsPrevious = false
    public var ignoresValue = false
    public var ignoresLease = false

    public init() {}

    /// Decodes the message that lies at `range` of `bytes`.
    public init(_ bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        let span = bytes.span
        var cursor = WireCursor(range)
        while let (field, wire) = try cursor.next(in: span) {
            switch field {
            case 1: key = try wire.bytes(field)
            case 2: value = try wire.bytes(field)
            case 3: lease = try wire.signed(field)
            case 4: returnsPrevious = try wire.bool(field)
            case 5: ignoresValue = try wire.bool(field)
            case 6: ignoresLease = try wire.bool(field)
            default: break
            }
        }
    }

    public init(_ bytes: [UInt8]) throws(WireError) { try self.init(bytes, at: bytes.indices) }
}

/// A `DeleteRangeRequest` as it lies in a message.
public struct DeleteRangeCommand: Sendable, Equatable {
    public var key = 0..<0
    public var rangeEnd = 0..<0
    public var returnsPrevious = false

    public init() {}

    /// Decodes the message that lies at `range` of `bytes`.
    public init(_ bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        let span = bytes.span
        var cursor = WireCursor(range)
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: key = try value.bytes(field)
            case 2: rangeEnd = try value.bytes(field)
            case 3: returnsPrevious = try value.bool(field)
            default: break
            }
        }
    }

    public init(_ bytes: [UInt8]) throws(WireError) { try self.init(bytes, at: bytes.indices) }
}

/// A `CompactionRequest`.
public struct CompactionCommand: Sendable, Equatable {
    public var revision: Int64 = 0
    /// The answer waits until the history is gone from the answering member's file.
    public var isPhysical = false

    public init() {}

    /// Decodes the message that lies at `range` of `bytes`.
    public init(_ bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        let span = bytes.span
        var cursor = WireCursor(range)
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: revision = try value.signed(field)
            case 2: isPhysical = try value.bool(field)
            default: break
            }
        }
    }

    public init(_ bytes: [UInt8]) throws(WireError) { try self.init(bytes, at: bytes.indices) }
}
