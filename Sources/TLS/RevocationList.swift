internal import SwiftASN1

/// The serial numbers that a certificate revocation list names: RFC 5280 section 5. Like etcd's, the check is by serial
/// number alone, whoever has issued list and certificate.
package struct RevocationList: Equatable {
    /// Big-endian, without leading zeros.
    private var serials: Set<[UInt8]> = []

    /// - Parameter bytes: DER, or PEM with the label `X509 CRL`.
    /// - Throws: when they are neither.
    package init(_ bytes: [UInt8]) throws {
        var der = bytes
        if bytes.starts(with: Array("-----BEGIN".utf8)) {
            der = try PEMDocument(pemString: String(decoding: bytes, as: UTF8.self)).derBytes
        }
        guard let body = try DERTree(der).children.first, !body.children.isEmpty else { throw Malformed() }
        var fields = body.children[...]
        // Version, if any; algorithm; issuer; this update.
        if fields.first?.identifier == .integer { fields.removeFirst() }
        guard fields.count >= 3 else { throw Malformed() }
        fields.removeFirst(3)
        if fields.first?.identifier == .utcTime || fields.first?.identifier == .generalizedTime {
            fields.removeFirst()
        }
        guard let revoked = fields.first, revoked.identifier == .sequence else { return }
        for entry in revoked.children {
            guard let serial = entry.children.first, serial.identifier == .integer else { throw Malformed() }
            serials.insert(Self.canonical(serial.bytes))
        }
    }

    package var count: Int { serials.count }

    /// - Parameter serial: big-endian.
    package func contains(serial: some Sequence<UInt8>) -> Bool { serials.contains(Self.canonical(serial)) }

    private static func canonical(_ serial: some Sequence<UInt8>) -> [UInt8] { Array(serial.drop { $0 == 0 }) }

    struct Malformed: Error, CustomStringConvertible {
        var description: String { "no certificate revocation list" }
    }
}
