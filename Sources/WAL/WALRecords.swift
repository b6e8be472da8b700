public import Base
package import EtcdProto
public import RaftCore
internal import RaftProto

/// What a record holds. The raw values are walpb's.
package enum RecordType: Int64, Sendable {
    case metadata = 1
    case entry = 2
    case state = 3
    case crc = 4
    case snapshot = 5
}

/// Who writes the log: the first data of every segment, as `Metadata { NodeID = 1; ClusterID = 2 }`.
public struct WALMetadata: Hashable, Sendable {
    public var memberID: MemberID
    public var clusterID: ClusterID

    public init(memberID: MemberID, clusterID: ClusterID) {
        self.memberID = memberID
        self.clusterID = clusterID
    }

    package func encoded() -> [UInt8] {
        var out: [UInt8] = []
        Wire.appendVarintField(1, memberID.rawValue, to: &out)
        Wire.appendVarintField(2, clusterID.rawValue, to: &out)
        return out
    }

    package init(decoding bytes: [UInt8]) throws(WireError) {
        var member: UInt64 = 0
        var cluster: UInt64 = 0
        var cursor = WireCursor(bytes.indices)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch (field, value) {
            case (1, .varint(let id)): member = id
            case (2, .varint(let id)): cluster = id
            case (1...2, _): throw .unexpectedWireType(field: field)
            default: break
            }
        }
        self.init(memberID: MemberID(member), clusterID: ClusterID(cluster))
    }
}

/// The record of a raft snapshot: a place from which the log can be read, as
/// `Snapshot { index = 1; term = 2; conf_state = 3 }`.
public struct WALSnapshot: Hashable, Sendable {
    public var index: LogIndex
    public var term: Term
    /// The membership at `index`; nil in logs of 3.4 and in the first record of a log.
    public var confState: ConfState?

    public init(index: LogIndex = .zero, term: Term = .zero, confState: ConfState? = nil) {
        self.index = index
        self.term = term
        self.confState = confState
    }

    package func encode(to out: inout [UInt8]) {
        Wire.appendVarintField(1, index.rawValue, to: &out)
        Wire.appendVarintField(2, term.rawValue, to: &out)
        if let confState {
            var inner: [UInt8] = []
            confState.encode(to: &inner)
            Wire.appendBytesField(3, inner, to: &out)
        }
    }

    package init(decoding bytes: [UInt8], in range: Range<Int>) throws(WireError) {
        self.init()
        var cursor = WireCursor(range)
        while let (field, value) = try cursor.next(in: bytes.span) {
            switch (field, value) {
            case (1, .varint(let number)): index = LogIndex(number)
            case (2, .varint(let number)): term = Term(number)
            case (3, .bytes(let inner)): confState = try ConfState(decoding: bytes, in: inner)
            case (1...3, _): throw .unexpectedWireType(field: field)
            default: break
            }
        }
    }
}
