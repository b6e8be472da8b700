package import EtcdProto

/// The value of the metadata `martlet-max-staleness-ms`: how old the state may be that a read of keys is answered from.
package enum StalenessBound {
    /// In milliseconds: 49 days. More would be a mistake.
    package static let longest: UInt64 = 4_294_967_295

    /// - Throws: what the client is told when the value is no whole number of milliseconds up to ``longest``.
    package static func parse(_ value: [UInt8]) throws(EtcdError) -> Duration {
        var milliseconds: UInt64 = 0
        for byte in value {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9"), milliseconds <= longest else {
                throw malformed(value)
            }
            milliseconds = milliseconds * 10 + UInt64(byte - UInt8(ascii: "0"))
        }
        guard !value.isEmpty, milliseconds <= longest else { throw malformed(value) }
        return .milliseconds(milliseconds)
    }

    /// What is repeated of a value that is none.
    private static let repeatedBytes = 64

    private static func malformed(_ value: [UInt8]) -> EtcdError {
        let text = String(decoding: value.prefix(repeatedBytes), as: UTF8.self)
        return EtcdError(
            .invalidArgument,
            "martlet: the metadata martlet-max-staleness-ms is \"\(text)\": it must be a whole number of milliseconds, "
                + "from 0 to \(longest)")
    }
}
