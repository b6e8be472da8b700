public import Base
internal import EtcdProto

/// The header of an answer. A field that is zero is not written.
public struct ResponseHeader: Sendable, Equatable {
    public var clusterID: UInt64
    public var memberID: UInt64
    public var revision: Int64
    public var term: UInt64

    public init(clusterID: ClusterID, memberID: MemberID, revision: Int64 = 0, term: Term) {
        self.clusterID = clusterID.rawValue
        self.memberID = memberID.rawValue
        self.revision = revision
        self.term = term.rawValue
    }

    /// The header of an operation inside a transaction.
    init(revision: Int64) {
        clusterID = 0
        memberID = 0
        self.revision = revision
        term = 0
    }

    private var encodedSize: Int {
        var size = 0
        if clusterID != 0 { size += 1 + Wire.varintSize(clusterID) }
        if memberID != 0 { size += 1 + Wire.varintSize(memberID) }
        if revision != 0 { size += 1 + Wire.varintSize(UInt64(bitPattern: revision)) }
        if term != 0 { size += 1 + Wire.varintSize(term) }
        return size
    }

    /// Appends it as field 1 of a response, present even when it is empty.
    public func append(to out: inout [UInt8]) {
        Wire.appendBytesHeader(1, count: encodedSize, to: &out)
        if clusterID != 0 { Wire.appendVarintField(1, clusterID, to: &out) }
        if memberID != 0 { Wire.appendVarintField(2, memberID, to: &out) }
        if revision != 0 { Wire.appendVarintField(3, UInt64(bitPattern: revision), to: &out) }
        if term != 0 { Wire.appendVarintField(4, term, to: &out) }
    }
}
