public import Base
public import EtcdProto
public import RaftCore

// raftpb.Entry { Type = 1; Term = 2; Index = 3; Data = 4 } and raftpb.HardState { term = 1; vote = 2; commit = 3 }.
// Written as etcd up to 3.6 does, because these bytes are checksummed and compared: numbers always, zero or not, data
// only when there are any. Read leniently: 3.7 leaves out what was not set.

extension Entry {
    /// Bytes that `encode` appends. O(1).
    @inlinable public var wireSize: Int {
        headerWireSize + (data.isEmpty ? 0 : Wire.bytesFieldSize(4, data.count))
    }

    @usableFromInline var headerWireSize: Int {
        4 + Wire.varintSize(term.rawValue) + Wire.varintSize(index.rawValue)
    }

    /// Appends everything but the content of `data`: a writer that streams adds that itself, without a copy.
    @inlinable public func encodeHeader(to out: inout [UInt8]) {
        Wire.appendVarintField(1, UInt64(type.rawValue), to: &out)
        Wire.appendVarintField(2, term.rawValue, to: &out)
        Wire.appendVarintField(3, index.rawValue, to: &out)
        if !data.isEmpty { Wire.appendBytesHeader(4, count: data.count, to: &out) }
    }

    @inlinable public func encode(to out: inout [UInt8]) {
        encodeHeader(to: &out)
        out.append(contentsOf: data)
    }

    /// - Parameter range: where the message lies in `bytes`; nil for all of them.
    public init(decoding bytes: [UInt8], in range: Range<Int>? = nil) throws(WireError) {
        self.init(term: .zero, index: .zero)
        var cursor = WireCursor(range ?? bytes.indices)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch field {
            case 1:
                let raw = try value.integer(field)
                guard raw <= 2, let known = EntryType(rawValue: UInt8(raw)) else { throw .outOfRange(field: field) }
                type = known
            case 2: term = Term(try value.integer(field))
            case 3: index = LogIndex(try value.integer(field))
            case 4: data = Array(bytes[try value.range(field)])
            default: break
            }
        }
    }
}

extension HardState {
    public func encode(to out: inout [UInt8]) {
        Wire.appendVarintField(1, term.rawValue, to: &out)
        Wire.appendVarintField(2, vote.rawValue, to: &out)
        Wire.appendVarintField(3, commit.rawValue, to: &out)
    }

    public init(decoding bytes: [UInt8], in range: Range<Int>? = nil) throws(WireError) {
        self.init()
        var cursor = WireCursor(range ?? bytes.indices)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch field {
            case 1: term = Term(try value.integer(field))
            case 2: vote = MemberID(try value.integer(field))
            case 3: commit = LogIndex(try value.integer(field))
            default: break
            }
        }
    }
}
