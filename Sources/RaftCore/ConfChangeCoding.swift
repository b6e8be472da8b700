internal import Base

// The protobuf form of raftpb.ConfChange and raftpb.ConfChangeV2, the only messages whose bytes raft itself must
// understand. Numeric fields are always written, as etcd up to 3.6 does; absent ones are read as zero.

extension ConfChange {
    /// raftpb: id = 1, type = 2, node_id = 3, context = 4.
    public func encoded() -> [UInt8] {
        var out = ProtobufWriter()
        out.field(1, id)
        out.field(2, UInt64(type.rawValue))
        out.field(3, nodeID.rawValue)
        if !context.isEmpty { out.field(4, context) }
        return out.bytes
    }

    /// - Throws: where the bytes stop being a configuration change.
    public init(decoding bytes: [UInt8]) throws(ConfChangeDecodingError) {
        self.init(type: .addNode, nodeID: .none)
        var input = ProtobufReader(bytes)
        while let field = try input.next() {
            switch (field.number, field.value) {
            case (1, .varint(let v)): id = v
            case (2, .varint(let v)): type = try .init(decoding: v)
            case (3, .varint(let v)): nodeID = MemberID(v)
            case (4, .bytes(let range)): context = Array(bytes[range])
            default: break
            }
        }
    }

    /// The entry that proposes this change.
    public var entry: Entry { Entry(type: .confChange, term: .zero, index: .zero, data: encoded()) }
}

extension ConfChangeV2 {
    /// raftpb: transition = 1, changes = 2 {type = 1, node_id = 2}, context = 3.
    public func encoded() -> [UInt8] {
        var out = ProtobufWriter()
        out.field(1, UInt64(transition.rawValue))
        for change in changes {
            var single = ProtobufWriter()
            single.field(1, UInt64(change.type.rawValue))
            single.field(2, change.nodeID.rawValue)
            out.field(2, single.bytes)
        }
        if !context.isEmpty { out.field(3, context) }
        return out.bytes
    }

    /// - Throws: where the bytes stop being a configuration change.
    public init(decoding bytes: [UInt8]) throws(ConfChangeDecodingError) {
        self.init()
        var input = ProtobufReader(bytes)
        while let field = try input.next() {
            switch (field.number, field.value) {
            case (1, .varint(let v)):
                guard v <= 2, let known = ConfChangeTransition(rawValue: UInt8(v)) else {
                    throw .unknownValue(field: "transition", value: v)
                }
                transition = known
            case (2, .bytes(let range)):
                var single = ConfChangeSingle(.addNode, .none)
                var inner = ProtobufReader(bytes, range)
                while let field = try inner.next() {
                    switch (field.number, field.value) {
                    case (1, .varint(let v)): single.type = try .init(decoding: v)
                    case (2, .varint(let v)): single.nodeID = MemberID(v)
                    default: break
                    }
                }
                changes.append(single)
            case (3, .bytes(let range)): context = Array(bytes[range])
            default: break
            }
        }
    }

    /// The entry that proposes this change. Without changes and context its data is empty: the way a joint
    /// configuration is left by itself.
    public var entry: Entry { Entry(type: .confChangeV2, term: .zero, index: .zero, data: encoded()) }

    /// Reads the change that an entry of either form carries; nil for a normal entry.
    public static func carried(by entry: Entry) throws(ConfChangeDecodingError) -> ConfChangeV2? {
        switch entry.type {
        case .normal: nil
        case .confChange: ConfChangeV2(try ConfChange(decoding: entry.data))
        case .confChangeV2: try ConfChangeV2(decoding: entry.data)
        }
    }
}

extension ConfChangeType {
    fileprivate init(decoding value: UInt64) throws(ConfChangeDecodingError) {
        guard value <= 3, let known = ConfChangeType(rawValue: UInt8(value)) else {
            throw .unknownValue(field: "type", value: value)
        }
        self = known
    }
}

private struct ProtobufWriter {
    var bytes: [UInt8] = []

    mutating func varint(_ value: UInt64) {
        var v = value
        while v >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: v) | 0x80)
            v >>= 7
        }
        bytes.append(UInt8(v))
    }

    mutating func field(_ number: UInt64, _ value: UInt64) {
        varint(number << 3)
        varint(value)
    }

    mutating func field(_ number: UInt64, _ value: [UInt8]) {
        varint(number << 3 | 2)
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }
}

private struct ProtobufReader {
    enum Value {
        case varint(UInt64)
        case bytes(Range<Int>)
        case other
    }

    private let bytes: [UInt8]
    private var offset: Int
    private let end: Int

    init(_ bytes: [UInt8], _ range: Range<Int>? = nil) {
        self.bytes = bytes
        offset = range?.lowerBound ?? 0
        end = range?.upperBound ?? bytes.count
    }

    mutating func next() throws(ConfChangeDecodingError) -> (number: UInt64, value: Value)? {
        if offset == end { return nil }
        let start = offset
        let tag = try varint()
        guard tag >> 3 != 0 else { throw .badTag(offset: start) }
        switch tag & 7 {
        case 0: return (tag >> 3, .varint(try varint()))
        case 1: return (tag >> 3, try skip(8))
        case 2:
            let length = try varint()
            guard length <= UInt64(end - offset) else { throw .truncated(offset: end) }
            let range = offset..<offset + Int(length)
            offset = range.upperBound
            return (tag >> 3, .bytes(range))
        case 5: return (tag >> 3, try skip(4))
        default: throw .badTag(offset: start)
        }
    }

    private mutating func skip(_ n: Int) throws(ConfChangeDecodingError) -> Value {
        guard end - offset >= n else { throw .truncated(offset: end) }
        offset += n
        return .other
    }

    private mutating func varint() throws(ConfChangeDecodingError) -> UInt64 {
        let start = offset
        var value: UInt64 = 0
        var shift: UInt64 = 0
        while true {
            guard offset < end else { throw .truncated(offset: end) }
            guard shift < 70 else { throw .varintTooLong(offset: start) }
            let byte = bytes[offset]
            offset += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
            shift += 7
        }
    }
}
