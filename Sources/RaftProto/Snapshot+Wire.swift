internal import Base
public import EtcdProto
public import RaftCore

// raftpb.ConfState { voters = 1; learners = 2; voters_outgoing = 3; learners_next = 4; auto_leave = 5 }, its lists not
// packed; SnapshotMetadata { conf_state = 1; index = 2; term = 3 }; Snapshot { data = 1; metadata = 2 }. Written as
// etcd up to 3.6 does: numbers and inner messages always, lists and data only when there is something in them.

extension ConfState {
    public func encode(to out: inout [UInt8]) {
        for (field, list) in [(1, voters), (2, learners), (3, votersOutgoing), (4, learnersNext)] {
            for id in list { Wire.appendVarintField(field, id.rawValue, to: &out) }
        }
        Wire.appendVarintField(5, autoLeave ? 1 : 0, to: &out)
    }

    public init(decoding bytes: [UInt8], in range: Range<Int>? = nil) throws(WireError) {
        self.init()
        var cursor = WireCursor(range ?? bytes.indices)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch field {
            case 1: try ConfState.append(value, field, of: bytes, to: &voters)
            case 2: try ConfState.append(value, field, of: bytes, to: &learners)
            case 3: try ConfState.append(value, field, of: bytes, to: &votersOutgoing)
            case 4: try ConfState.append(value, field, of: bytes, to: &learnersNext)
            case 5: autoLeave = try value.integer(field) != 0
            default: break
            }
        }
    }

    /// One element, or several packed into one field.
    private static func append(
        _ value: WireValue, _ field: Int, of bytes: [UInt8], to list: inout [MemberID]
    ) throws(WireError) {
        switch value {
        case .varint(let id): list.append(MemberID(id))
        case .bytes(let range):
            var packed = WireCursor(range)
            while packed.offset < packed.end { list.append(MemberID(try packed.varint(in: bytes.span))) }
        case .fixed32, .fixed64: throw .unexpectedWireType(field: field)
        }
    }
}

extension SnapshotMetadata {
    public func encode(to out: inout [UInt8]) {
        var inner: [UInt8] = []
        confState.encode(to: &inner)
        Wire.appendBytesField(1, inner, to: &out)
        Wire.appendVarintField(2, index.rawValue, to: &out)
        Wire.appendVarintField(3, term.rawValue, to: &out)
    }

    public init(decoding bytes: [UInt8], in range: Range<Int>? = nil) throws(WireError) {
        self.init()
        var cursor = WireCursor(range ?? bytes.indices)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch field {
            case 1: confState = try ConfState(decoding: bytes, in: value.range(field))
            case 2: index = LogIndex(try value.integer(field))
            case 3: term = Term(try value.integer(field))
            default: break
            }
        }
    }
}

extension Snapshot {
    public func encode(to out: inout [UInt8]) {
        if !data.isEmpty { Wire.appendBytesField(1, data, to: &out) }
        var inner: [UInt8] = []
        metadata.encode(to: &inner)
        Wire.appendBytesField(2, inner, to: &out)
    }

    public init(decoding bytes: [UInt8], in range: Range<Int>? = nil) throws(WireError) {
        self.init()
        var cursor = WireCursor(range ?? bytes.indices)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch field {
            case 1: data = Array(bytes[try value.range(field)])
            case 2: metadata = try SnapshotMetadata(decoding: bytes, in: value.range(field))
            default: break
            }
        }
    }
}
