internal import Base
public import EtcdProto
public import RaftCore

// raftpb.Message { type = 1; to = 2; from = 3; term = 4; logTerm = 5; index = 6; entries = 7; commit = 8; snapshot = 9;
// reject = 10; rejectHint = 11; context = 12; vote = 13; responses = 14 }. Written as etcd up to 3.6 does: numbers and
// the snapshot always, the context only when there is one. `vote` and `responses` belong to local messages, which never
// leave the member: they are not written.

extension Message {
    /// Appends the message as it goes to a peer. Traps on a local one.
    public func encode(to out: inout [UInt8]) {
        precondition(!type.isLocal, "\(type) does not leave the member")
        Wire.appendVarintField(1, UInt64(type.rawValue), to: &out)
        Wire.appendVarintField(2, to.rawValue, to: &out)
        Wire.appendVarintField(3, from.rawValue, to: &out)
        Wire.appendVarintField(4, term.rawValue, to: &out)
        Wire.appendVarintField(5, logTerm.rawValue, to: &out)
        Wire.appendVarintField(6, index.rawValue, to: &out)
        for entry in entries {
            Wire.appendBytesHeader(7, count: entry.wireSize, to: &out)
            entry.encode(to: &out)
        }
        Wire.appendVarintField(8, commit.rawValue, to: &out)
        var inner: [UInt8] = []
        (snapshot ?? Snapshot()).encode(to: &inner)
        Wire.appendBytesField(9, inner, to: &out)
        Wire.appendVarintField(10, reject ? 1 : 0, to: &out)
        Wire.appendVarintField(11, rejectHint.rawValue, to: &out)
        if !context.isEmpty { Wire.appendBytesField(12, context, to: &out) }
    }

    /// Reads a peer's message. An empty snapshot, which older peers put into every message, is none.
    /// - Throws: also for a type that this version does not know: `.outOfRange(field: 1)`.
    public init(decoding bytes: [UInt8], in range: Range<Int>? = nil) throws(WireError) {
        // Type 0 is also what a message without the field has.
        self.init(type: .hup)
        var cursor = WireCursor(range ?? bytes.indices)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch field {
            case 1:
                let raw = try value.integer(field)
                guard let small = UInt8(exactly: raw), let known = MessageType(rawValue: small) else {
                    throw .outOfRange(field: field)
                }
                type = known
            case 2: to = MemberID(try value.integer(field))
            case 3: from = MemberID(try value.integer(field))
            case 4: term = Term(try value.integer(field))
            case 5: logTerm = Term(try value.integer(field))
            case 6: index = LogIndex(try value.integer(field))
            case 7: entries.append(try Entry(decoding: bytes, in: value.range(field)))
            case 8: commit = LogIndex(try value.integer(field))
            case 9:
                let decoded = try Snapshot(decoding: bytes, in: value.range(field))
                snapshot = decoded.isEmpty ? nil : decoded
            case 10: reject = try value.integer(field) != 0
            case 11: rejectHint = LogIndex(try value.integer(field))
            case 12: context = Array(bytes[try value.range(field)])
            default: break
            }
        }
    }
}
