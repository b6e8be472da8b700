internal import EtcdProto

/// A field of ours with the wrong wire type is refused: taking it for an unknown one would read it as zero.
extension WireValue {
    func integer(_ field: Int) throws(WireError) -> UInt64 {
        guard case .varint(let value) = self else { throw .unexpectedWireType(field: field) }
        return value
    }

    func range(_ field: Int) throws(WireError) -> Range<Int> {
        guard case .bytes(let range) = self else { throw .unexpectedWireType(field: field) }
        return range
    }
}
