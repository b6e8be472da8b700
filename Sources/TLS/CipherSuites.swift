/// The cipher suites that an operator has named, sorted into what the library does with them.
///
/// etcd takes the names of all suites that Go knows. Some of these BoringSSL does not have, all of them broken or weak:
/// a list that also names these still works, and says what it leaves out.
package struct CipherSuites: Equatable {
    /// In BoringSSL's notation, for TLS 1.2; nil for the library's choice.
    package private(set) var tls12: String?
    /// Only suites of TLS 1.3 are named, which cannot be chosen from but rule TLS 1.2 out.
    package private(set) var needsTLS13 = false
    /// Known to Go, not there.
    package private(set) var missing: [String] = []

    /// - Throws: etcd's words for a name that nobody knows; an error when nothing is left.
    package init(_ names: [String]) throws(TLSSetupError) {
        guard !names.isEmpty else { return }
        var chosen: [String] = []
        var hasTLS13 = false
        for name in names {
            if let suite = Self.available[name] {
                if !chosen.contains(suite) { chosen.append(suite) }
            } else if Self.tls13.contains(name) {
                hasTLS13 = true
            } else if Self.knownToGo.contains(name) {
                missing.append(name)
            } else {
                throw TLSSetupError("unexpected TLS cipher suite \"\(name)\"")
            }
        }
        if !chosen.isEmpty {
            tls12 = chosen.joined(separator: ":")
        } else if hasTLS13 {
            needsTLS13 = true
        } else {
            throw TLSSetupError(
                "none of the cipher suites \(names.joined(separator: ",")) is supported; "
                    + "add one such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256")
        }
    }

    private static let tls13: Set<String> = [
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
    ]

    /// Name in RFCs and in BoringSSL's lists; Go also takes the ChaCha20 suites without their hash.
    private static let available: [String: String] = [
        "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
        "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
        "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
        "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
        "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
        "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
        "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    ]

    private static let knownToGo: Set<String> = [
        "TLS_RSA_WITH_RC4_128_SHA", "TLS_RSA_WITH_3DES_EDE_CBC_SHA", "TLS_RSA_WITH_AES_128_CBC_SHA256",
        "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", "TLS_ECDHE_RSA_WITH_RC4_128_SHA", "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
        "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    ]

    /// All names that have an effect, for tests and documentation.
    package static let names = available.keys.sorted() + tls13.sorted()
}
