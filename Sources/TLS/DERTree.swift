internal import SwiftASN1

/// Walks through DER by position, for the few fields of certificates and revocation lists that are needed here.
struct DERTree {
    private let node: ASN1Node

    /// - Throws: `ASN1Error` when the bytes are no DER.
    init(_ bytes: some Sequence<UInt8>) throws { node = try DER.parse(Array(bytes)) }

    private init(_ node: ASN1Node) { self.node = node }

    var identifier: ASN1Identifier { node.identifier }

    var children: [DERTree] {
        guard case .constructed(let nodes) = node.content else { return [] }
        return nodes.map { DERTree($0) }
    }

    /// The content of a primitive value; empty for others.
    var bytes: ArraySlice<UInt8> {
        guard case .primitive(let bytes) = node.content else { return [] }
        return bytes
    }

    var isObjectIdentifier: Bool { identifier == .objectIdentifier }

    func `is`(_ identifier: ASN1ObjectIdentifier) -> Bool {
        (try? ASN1ObjectIdentifier(derEncoded: node)) == identifier
    }

    /// The child with a context tag.
    func tagged(_ number: UInt) -> DERTree? {
        let identifier = ASN1Identifier(tagWithNumber: number, tagClass: .contextSpecific)
        return children.first { $0.identifier == identifier }
    }
}
