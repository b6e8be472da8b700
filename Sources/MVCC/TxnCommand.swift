public import EtcdProto

/// A `Compare` as it lies in a message.
public struct CompareCommand: Sendable, Equatable {
    public enum Result: Sendable, Equatable {
        case equal
        case greater
        case less
        case notEqual
        /// A number that is none of the above: always true.
        case unknown
    }

    public enum Target: Sendable, Equatable {
        case version
        case createRevision
        case modRevision
        case value
        case lease
        case unknown
    }

    /// The value given, as the message's `target_union` says.
    public enum Operand: Sendable, Equatable {
        case none
        case version(Int64)
        case createRevision(Int64)
        case modRevision(Int64)
        case value(Range<Int>)
        case lease(Int64)
    }

    public var result = Result.equal
    public var target = Target.version
    public var key = 0..<0
    public var rangeEnd = 0..<0
    public var operand = Operand.none

    public init() {}

    init(_ bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        let span = bytes.span
        var cursor = WireCursor(range)
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: result = Result(number: try value.unsigned(field))
            case 2: target = Target(number: try value.unsigned(field))
            case 3: key = try value.bytes(field)
            case 4: operand = .version(try value.signed(field))
            case 5: operand = .createRevision(try value.signed(field))
            case 6: operand = .modRevision(try value.signed(field))
            case 7: operand = .value(try value.bytes(field))
            case 8: operand = .lease(try value.signed(field))
            case 64: rangeEnd = try value.bytes(field)
            default: break
            }
        }
    }
}

extension CompareCommand.Result {
    init(number: UInt64) {
        switch number {
        case 0: self = .equal
        case 1: self = .greater
        case 2: self = .less
        case 3: self = .notEqual
        default: self = .unknown
        }
    }
}

extension CompareCommand.Target {
    init(number: UInt64) {
        switch number {
        case 0: self = .version
        case 1: self = .createRevision
        case 2: self = .modRevision
        case 3: self = .value
        case 4: self = .lease
        default: self = .unknown
        }
    }
}

/// A `RequestOp` as it lies in a message.
public enum TxnOperation: Sendable, Equatable {
    case range(RangeCommand)
    case put(PutCommand)
    case deleteRange(DeleteRangeCommand)
    indirect case txn(TxnCommand)
    /// No member of the union is set.
    case empty
}

/// A `TxnRequest` as it lies in a message, with its nested transactions.
public struct TxnCommand: Sendable, Equatable {
    /// Transactions nested deeper than this are refused as malformed; etcd's own limit is that of its protobuf library.
    public static let depthLimit = 100

    public var compares: [CompareCommand] = []
    public var success: [TxnOperation] = []
    public var failure: [TxnOperation] = []

    public init() {}

    /// Decodes the message that lies at `range` of `bytes`.
    public init(_ bytes: [UInt8], at range: Range<Int>) throws(WireError) {
        try self.init(bytes, at: range, depth: 1)
    }

    public init(_ bytes: [UInt8]) throws(WireError) { try self.init(bytes, at: bytes.indices) }

    private init(_ bytes: [UInt8], at range: Range<Int>, depth: Int) throws(WireError) {
        guard depth <= TxnCommand.depthLimit else { throw .outOfRange(field: 4) }
        let span = bytes.span
        var cursor = WireCursor(range)
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: compares.append(try CompareCommand(bytes, at: value.bytes(field)))
            case 2: success.append(try TxnCommand.operation(bytes, at: value.bytes(field), depth: depth))
            case 3: failure.append(try TxnCommand.operation(bytes, at: value.bytes(field), depth: depth))
            default: break
            }
        }
    }

    private static func operation(_ bytes: [UInt8], at range: Range<Int>, depth: Int) throws(WireError) -> TxnOperation
    {
        let span = bytes.span
        var cursor = WireCursor(range)
        var operation = TxnOperation.empty
        while let (field, value) = try cursor.next(in: span) {
            switch field {
            case 1: operation = .range(try RangeCommand(bytes, at: value.bytes(field)))
            case 2: operation = .put(try PutCommand(bytes, at: value.bytes(field)))
            case 3: operation = .deleteRange(try DeleteRangeCommand(bytes, at: value.bytes(field)))
            case 4: operation = .txn(try TxnCommand(bytes, at: value.bytes(field), depth: depth + 1))
            default: break
            }
        }
        return operation
    }

    /// Whether it can be answered without raft: both branches hold only ranges. A nested transaction counts as a
    /// change.
    public var isReadOnly: Bool {
        (success + failure).allSatisfy { operation in
            if case .range = operation { true } else { false }
        }
    }

    /// Whether every range in it is serializable; also true of a transaction without operations.
    public var isSerializable: Bool {
        (success + failure).allSatisfy { operation in
            if case .range(let range) = operation { range.isSerializable } else { false }
        }
    }
}
