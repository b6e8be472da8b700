import Platform
import TLS
import TestSupport
import Testing

/// The parts that need no socket: names in certificates, revocation lists, cipher suites.
@Suite struct PartsTests {
    @Test(arguments: [
        ("example.com", ["example.com"], true), ("EXAMPLE.com.", ["example.COM"], true),
        ("a.example.com", ["*.example.com"], true), ("a.b.example.com", ["*.example.com"], false),
        ("example.com", ["*.example.com"], false), ("com", ["*"], false), ("a.example.com", ["example.com"], false),
        ("", [""], false), ("a..b", ["a..b"], false), ("10.0.0.1", ["10.0.0.1"], false),
    ])
    func names(_ host: String, _ dnsNames: [String], _ fits: Bool) {
        #expect(CertificateNames(dnsNames: dnsNames).match(host) == fits)
    }

    @Test(arguments: [
        ("10.0.0.1", ["10.0.0.1"], true), ("10.0.0.2", ["10.0.0.1"], false), ("::1", ["::1"], true),
        ("[::1]", ["::1"], true), ("0:0::1", ["::1"], true), ("::ffff:10.0.0.1", ["10.0.0.1"], true),
        ("example.com", ["10.0.0.1"], false),
    ])
    func addresses(_ host: String, _ addresses: [String], _ fits: Bool) {
        #expect(CertificateNames(addresses: addresses).match(host) == fits)
    }

    /// A name service with fixed answers.
    private struct Names: HostNames {
        func addresses(of name: String) -> [String] { name == "m1.example" ? ["10.0.0.9", "10.0.0.1"] : [] }
        func name(of address: String) -> String? { address == "10.0.0.2" ? "m2.example." : nil }
    }

    @Test(arguments: [
        ("10.0.0.1", ["m1.example"], true), ("10.0.0.2", ["m1.example"], false), ("10.0.0.2", ["m2.example"], true),
        ("10.0.0.2", ["*.example"], true), ("10.0.0.1", ["*.example"], false), ("10.0.0.2", [], false),
    ])
    func namesOfAddresses(_ host: String, _ dnsNames: [String], _ belongs: Bool) {
        #expect(CertificateNames(dnsNames: dnsNames).belongs(to: host, by: Names()) == belongs)
    }

    @Test func cipherSuites() throws {
        #expect(try CipherSuites([]).tls12 == nil)
        let both = try CipherSuites([
            "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_128_GCM_SHA256", "TLS_RSA_WITH_RC4_128_SHA",
            "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
        ])
        #expect(both.tls12 == "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305")
        #expect(both.missing == ["TLS_RSA_WITH_RC4_128_SHA"] && !both.needsTLS13)
        #expect(try CipherSuites(["TLS_AES_256_GCM_SHA384"]).needsTLS13)
        #expect(throws: TLSSetupError.self) { try CipherSuites(["TLS_RSA_WITH_RC4_128_SHA"]) }
    }

    @Test(arguments: [[], [0x30], [0x30, 0x00], [0x30, 0x80, 0x00, 0x00], Array("-----BEGIN X509 CRL-----\n".utf8)])
    func badRevocationLists(_ bytes: [UInt8]) {
        #expect(throws: (any Error).self) { try RevocationList(bytes) }
    }
}
