/// What etcd's flags say about TLS on one kind of listener, and on the connections that the member opens itself.
public struct TLSSettings: Sendable, Equatable {
    /// PEM files; the certificate may have its intermediates behind it.
    public var certificateFile = ""
    public var keyFile = ""
    /// What the member shows where it is the client; empty: the same as where it is the server.
    public var clientCertificateFile = ""
    public var clientKeyFile = ""
    /// PEM file of authorities; empty: the system's. Naming one demands certificates of clients, as with etcd.
    public var trustedCAFile = ""
    public var demandsClientCertificates = false
    /// DER or PEM; empty: nothing is revoked.
    public var revocationListFile = ""
    /// Common names of which the other side's certificate must have one; empty: any.
    public var allowedCommonNames: [String] = []
    /// Host names or addresses of which the other side's certificate must be valid for one; empty: any.
    public var allowedHostNames: [String] = []
    /// Whether the names in a client's certificate must fit the address that it comes from.
    public var checksClientAddress = false
    /// Names of RFC suites, such as `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`; empty: the library's choice.
    public var cipherSuites: [String] = []
    public var minimumVersion = TLSProtocol.tls12
    public var maximumVersion: TLSProtocol?
    /// Whether servers that are dialled are taken for what they say they are: where all members have made their
    /// certificates themselves, or an operator wants it.
    public var trustsAllServers = false
    /// The name that certificates of servers must be valid for, whatever the URL says; empty: the URL's host.
    public var serverName = ""
    /// The flags that these settings come from, for errors.
    public var flags = TLSFlags.clients

    public init() {}

    /// Neither certificate nor key.
    public var isEmpty: Bool { certificateFile.isEmpty && keyFile.isEmpty }

    /// Whether connections without a certificate are refused.
    var verifiesClients: Bool { demandsClientCertificates || !trustedCAFile.isEmpty }

    /// - Throws: what does not fit together, before a file is touched.
    public func validate() throws(TLSSetupError) {
        if certificateFile.isEmpty != keyFile.isEmpty {
            throw TLSSetupError(
                "KeyFile and CertFile must both be present[key: \(keyFile), cert: \(certificateFile)]")
        }
        if clientCertificateFile.isEmpty != clientKeyFile.isEmpty {
            throw TLSSetupError(
                "ClientKeyFile and ClientCertFile must both be present or both absent: "
                    + "key: \(clientKeyFile), cert: \(clientCertificateFile)]")
        }
        if !allowedCommonNames.isEmpty && !allowedHostNames.isEmpty {
            throw TLSSetupError(
                "AllowedCN and AllowedHostname are mutually exclusive "
                    + "(cn=\"\(allowedCommonNames.joined(separator: ","))\", "
                    + "hostname=\"\(allowedHostNames.joined(separator: ","))\")")
        }
        try checkVersions()
        _ = try CipherSuites(cipherSuites)
    }

    private func checkVersions() throws(TLSSetupError) {
        if let maximumVersion, maximumVersion < minimumVersion {
            throw TLSSetupError(
                "min version (\(minimumVersion.rawValue)) is greater than max version (\(maximumVersion.rawValue))")
        }
        if minimumVersion == .tls13 && !cipherSuites.isEmpty {
            throw TLSSetupError("cipher suites cannot be configured when only TLS1.3 is enabled")
        }
    }
}

/// What the flags that name files are called, without `--`.
public struct TLSFlags: Sendable, Equatable {
    public var certificate: String
    public var key: String
    public var clientCertificate: String
    public var clientKey: String
    public var authorities: String
    public var revocationList: String

    public static let clients = TLSFlags(prefix: "", revocationList: "client-crl-file")
    public static let peers = TLSFlags(prefix: "peer-", revocationList: "peer-crl-file")
    /// Of one who only dials.
    public static let discovery = TLSFlags(
        certificate: "discovery-cert", key: "discovery-key", authorities: "discovery-cacert")

    private init(prefix: String, revocationList: String) {
        certificate = prefix + "cert-file"
        key = prefix + "key-file"
        clientCertificate = prefix + "client-cert-file"
        clientKey = prefix + "client-key-file"
        authorities = prefix + "trusted-ca-file"
        self.revocationList = revocationList
    }

    private init(certificate: String, key: String, authorities: String) {
        self.certificate = certificate
        self.key = key
        clientCertificate = certificate
        clientKey = key
        self.authorities = authorities
        revocationList = ""
    }
}

/// The versions that etcd's flags name.
public enum TLSProtocol: String, Sendable, CaseIterable, Comparable {
    case tls12 = "TLS1.2"
    case tls13 = "TLS1.3"

    public static func < (a: TLSProtocol, b: TLSProtocol) -> Bool { a == .tls12 && b == .tls13 }

    /// - Throws: for a text that names none of them.
    public init(named text: String) throws(TLSSetupError) {
        guard let version = TLSProtocol(rawValue: text) else {
            throw TLSSetupError("unexpected TLS version \"\(text)\", must be one of [TLS1.2 TLS1.3]")
        }
        self = version
    }
}

/// Settings or files with which TLS cannot be set up: what, which file, and what to do.
public struct TLSSetupError: Error, Equatable, CustomStringConvertible {
    public var description: String
    public init(_ description: String) { self.description = description }
}

/// The named limits of TLS.
public enum TLSLimits {
    /// Bytes of a certificate, key or authority file.
    public static let fileBytes = 4 << 20
    /// Bytes of a revocation list.
    public static let revocationListBytes = 64 << 20
    /// Bytes of a client's first message, with what surrounds it.
    public static let helloBytes = 32 << 10
    /// Bytes that a server may write before its client's first message has come.
    public static let earlyBytes = 64 << 10
    /// What a handshake, the checks of the certificate included, may take.
    public static let handshakeSeconds: Int64 = 10
}
