internal import NIOCore
internal import NIOSSL
internal import SwiftASN1

/// Whom a certificate names: RFC 5280 sections 4.1.2.6 and 4.2.1.6.
package struct CertificateNames: Equatable {
    /// Empty when it has none; the last when it has several, as Go takes it.
    package var commonName = ""
    package var dnsNames: [String] = []
    /// In the form that `address` gives.
    package var addresses: [String] = []

    private static let alternativeName: ASN1ObjectIdentifier = "2.5.29.17"
    private static let extensionsTag: UInt = 3
    private static let dnsNameTag: UInt = 2
    private static let addressTag: UInt = 7

    package init(commonName: String = "", dnsNames: [String] = [], addresses: [String] = []) {
        self.commonName = commonName
        self.dnsNames = dnsNames
        self.addresses = addresses
    }

    init(_ certificate: NIOSSLCertificate) throws {
        commonName = certificate.subjectName.last { $0.type == .commonName }?.value ?? ""
        guard let body = try DERTree(certificate.toDERBytes()).children.first,
            let extensions = body.tagged(Self.extensionsTag)?.children.first
        else { return }
        for entry in extensions.children {
            // Identifier, perhaps a mark that it is critical, value.
            guard let identifier = entry.children.first, identifier.is(Self.alternativeName),
                let value = entry.children.last
            else { continue }
            read(try DERTree(value.bytes))
        }
    }

    private mutating func read(_ names: DERTree) {
        let dnsName = ASN1Identifier(tagWithNumber: Self.dnsNameTag, tagClass: .contextSpecific)
        let address = ASN1Identifier(tagWithNumber: Self.addressTag, tagClass: .contextSpecific)
        for name in names.children {
            if name.identifier == dnsName {
                dnsNames.append(String(decoding: name.bytes, as: UTF8.self))
            } else if name.identifier == address {
                let packed = try? SocketAddress(packedIPAddress: ByteBuffer(bytes: name.bytes), port: 0)
                if let text = Self.canonical(packed) { addresses.append(text) }
            }
        }
    }

    /// Whether the certificate is valid for a host, given by name or by address: an address must be among the
    /// addresses, a name must be a DNS name or fit one whose first label is `*`.
    package func match(_ host: String) -> Bool {
        if let address = Self.address(host) { return addresses.contains(address) }
        let name = Self.labels(host)
        guard !name.isEmpty else { return false }
        return dnsNames.contains { pattern in
            let pattern = Self.labels(pattern)
            guard pattern.count == name.count, pattern.dropFirst() == name.dropFirst() else { return false }
            return pattern[0] == name[0] || (pattern[0] == "*" && name.count > 1)
        }
    }

    /// In lower case, without the point of the root.
    private static func labels(_ name: String) -> [Substring] {
        let name = name.lowercased()
        let trimmed = name.hasSuffix(".") ? name.dropLast() : name[...]
        let labels = trimmed.split(separator: ".", omittingEmptySubsequences: false)
        return labels.contains { $0.isEmpty } ? [] : labels
    }

    /// A numeric address in the one form that is compared; nil for a name. IPv4 inside of IPv6 is that IPv4 address.
    package static func address(_ text: String) -> String? {
        let bare = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
        return canonical(try? SocketAddress(ipAddress: bare, port: 0))
    }

    private static func canonical(_ address: SocketAddress?) -> String? {
        let mapped = "::ffff:"
        guard let text = address?.ipAddress else { return nil }
        return text.hasPrefix(mapped) && text.contains(".") ? String(text.dropFirst(mapped.count)) : text
    }
}
