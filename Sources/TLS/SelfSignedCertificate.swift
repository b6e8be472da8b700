internal import Base
internal import Crypto
internal import NIOCore
public import Platform
internal import SwiftASN1

/// A certificate that a member makes for itself, so that its traffic is encrypted although nobody vouches for it:
/// `--auto-tls`, `--peer-auto-tls`.
public enum SelfSignedCertificate {
    /// Makes `cert.pem` and `key.pem` in a directory unless both are there already.
    /// - Parameters:
    ///   - hosts: names and addresses for which it is to be valid.
    ///   - years: of 365 days, from now.
    /// - Returns: the paths of certificate and key.
    /// - Throws: `DiskError` when they cannot be written.
    public static func files(
        in directory: String, hosts: [String], years: Int, disk: any Disk, clock: any Clock, entropy: any Entropy
    ) throws -> (certificate: String, key: String) {
        let paths = (certificate: directory + "/cert.pem", key: directory + "/key.pem")
        if try disk.exists(paths.certificate), try disk.exists(paths.key) { return paths }
        try createDirectories(directory, disk)
        let made = try make(hosts: hosts, years: years, now: clock.unixMilliseconds() / 1000, entropy: entropy)
        try write(made.key, to: paths.key, disk)
        try write(made.certificate, to: paths.certificate, disk)
        return paths
    }

    private static func createDirectories(_ path: String, _ disk: any Disk) throws {
        if try disk.exists(path) { return }
        if let slash = path.lastIndex(of: "/"), slash != path.startIndex {
            try createDirectories(String(path[..<slash]), disk)
        }
        try disk.createDirectory(path)
    }

    private static func write(_ text: String, to path: String, _ disk: any Disk) throws {
        let file = try disk.open(path, .truncate)
        try file.write(Array(text.utf8).span.bytes, at: 0)
        try file.sync()
        try file.close()
    }

    /// A certificate for servers with a new key on P-256, both in PEM. Format: RFC 5280 section 4.1.
    /// - Parameter now: seconds since 1970.
    package static func make(
        hosts: [String], years: Int, now: Int64, entropy: any Entropy
    ) throws -> (certificate: String, key: String) {
        let key = P256.Signing.PrivateKey()
        var serial: [UInt8] = []
        for _ in 0..<2 { serial += withBigEndianBytes(entropy.random()) }
        // Positive and not empty, whatever was drawn.
        serial[0] = serial[0] & 0x7F | 0x40
        let end = now + Int64(years) * 365 * 86_400
        var body = DER.Serializer()
        try body.appendConstructedNode(identifier: .sequence) { body in
            try body.appendConstructedNode(identifier: tag(0)) { try $0.serialize(2) }
            try body.serialize(serial[...])
            try appendAlgorithm(to: &body)
            try appendName(to: &body)
            try body.appendConstructedNode(identifier: .sequence) {
                try $0.serialize(time(now))
                try $0.serialize(time(end))
            }
            try appendName(to: &body)
            body.serialize(try DER.parse(Array(key.publicKey.derRepresentation)))
            try body.appendConstructedNode(identifier: tag(3)) { explicit in
                try explicit.appendConstructedNode(identifier: .sequence) { try appendExtensions(hosts, to: &$0) }
            }
        }
        let signature = try key.signature(for: body.serializedBytes)
        var certificate = DER.Serializer()
        try certificate.appendConstructedNode(identifier: .sequence) {
            $0.serialize(try DER.parse(body.serializedBytes))
            try appendAlgorithm(to: &$0)
            try $0.serialize(ASN1BitString(bytes: Array(signature.derRepresentation)[...]))
        }
        let document = PEMDocument(type: "CERTIFICATE", derBytes: certificate.serializedBytes)
        return (document.pemString + "\n", key.pemRepresentation + "\n")
    }

    /// ECDSA with SHA-256.
    private static func appendAlgorithm(to output: inout DER.Serializer) throws {
        try output.appendConstructedNode(identifier: .sequence) {
            try $0.serialize("1.2.840.10045.4.3.2" as ASN1ObjectIdentifier)
        }
    }

    /// O=martlet, who has issued it and whom it is for.
    private static func appendName(to output: inout DER.Serializer) throws {
        try output.appendConstructedNode(identifier: .sequence) { name in
            try name.appendConstructedNode(identifier: .set) { part in
                try part.appendConstructedNode(identifier: .sequence) {
                    try $0.serialize("2.5.4.10" as ASN1ObjectIdentifier)
                    try $0.serialize(ASN1UTF8String("martlet"))
                }
            }
        }
    }

    private static func appendExtensions(_ hosts: [String], to output: inout DER.Serializer) throws {
        // No usage of the key: one that leaves out signing certificates would not be trusted to have signed this one.
        // For servers, and for clients, which members are to each other.
        try append("2.5.29.37", to: &output) { value in
            try value.appendConstructedNode(identifier: .sequence) {
                try $0.serialize("1.3.6.1.5.5.7.3.1" as ASN1ObjectIdentifier)
                try $0.serialize("1.3.6.1.5.5.7.3.2" as ASN1ObjectIdentifier)
            }
        }
        // No authority.
        try append("2.5.29.19", isCritical: true, to: &output) { value in
            value.appendConstructedNode(identifier: .sequence) { _ in }
        }
        try append("2.5.29.17", to: &output) { value in
            try value.appendConstructedNode(identifier: .sequence) { names in
                for host in hosts { try appendHost(host, to: &names) }
            }
        }
    }

    private static func appendHost(_ host: String, to names: inout DER.Serializer) throws {
        if let packed = packed(host) {
            names.appendPrimitiveNode(identifier: tag(7)) { $0.append(contentsOf: packed) }
        } else {
            names.appendPrimitiveNode(identifier: tag(2)) { $0.append(contentsOf: Array(host.utf8)) }
        }
    }

    private static func append(
        _ identifier: ASN1ObjectIdentifier, isCritical: Bool = false, to output: inout DER.Serializer,
        _ value: (inout DER.Serializer) throws -> Void
    ) throws {
        var content = DER.Serializer()
        try value(&content)
        try output.appendConstructedNode(identifier: .sequence) {
            try $0.serialize(identifier)
            if isCritical { try $0.serialize(true) }
            try $0.serialize(ASN1OctetString(contentBytes: content.serializedBytes[...]))
        }
    }

    private static func tag(_ number: UInt) -> ASN1Identifier {
        ASN1Identifier(tagWithNumber: number, tagClass: .contextSpecific)
    }

    private static func time(_ seconds: Int64) throws -> GeneralizedTime {
        let day = seconds.flooring(by: 86_400)
        let date = CivilDate(daysSince1970: day)
        let time = Int(seconds - day * 86_400)
        return try GeneralizedTime(
            year: Int(date.year), month: Int(date.month), day: Int(date.day), hours: time / 3600,
            minutes: time / 60 % 60, seconds: time % 60, fractionalSeconds: 0)
    }

    /// The bytes of a numeric address; nil for a name.
    private static func packed(_ host: String) -> [UInt8]? {
        guard let address = CertificateNames.address(host) else { return nil }
        let groups = address.split(separator: ".").compactMap { UInt8($0) }
        if groups.count == 4 { return groups }
        return IPv6Bytes.parse(address)
    }

    private static func withBigEndianBytes(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> (56 - 8 * $0)) }
    }
}

/// The bytes of an IPv6 address.
enum IPv6Bytes {
    /// - Parameter text: as the system prints addresses: groups in hexadecimal, one run of zeros left out.
    static func parse(_ text: String) -> [UInt8]? {
        let bare = text.prefix { $0 != "%" }
        var halves: [[UInt16]] = []
        for half in bare.split(separator: "::", maxSplits: 1, omittingEmptySubsequences: false) {
            let groups = half.split(separator: ":").map { UInt16($0, radix: 16) }
            guard !groups.contains(nil) else { return nil }
            halves.append(groups.compactMap { $0 })
        }
        let count = halves.reduce(0) { $0 + $1.count }
        guard count <= 8, halves.count == 2 || count == 8 else { return nil }
        var groups = halves[0]
        if halves.count == 2 { groups += Array(repeating: 0, count: 8 - count) + halves[1] }
        return groups.flatMap { [UInt8($0 >> 8), UInt8(truncatingIfNeeded: $0)] }
    }
}
