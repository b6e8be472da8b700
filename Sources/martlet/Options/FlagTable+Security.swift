extension FlagTable {
    static let security = FlagSection(title: "Security", flags: access + clientTLS + peerTLS + allTLS)

    private static let access: [Flag] = [
        .list("cors", "*", \.corsOrigins, "Origins that browsers may call from; * is all."),
        .list("host-whitelist", "*", \.hostWhitelist, "Host names that plain HTTP requests may name; * is all."),
    ]

    private static let clientTLS: [Flag] = [
        .text(
            "cert-file", "", \.clientSecurity.certFile, fileKey: "client-transport-security.cert-file",
            "Certificate (PEM) of https client and metrics URLs; read again when it is replaced."),
        .text(
            "key-file", "", \.clientSecurity.keyFile, fileKey: "client-transport-security.key-file",
            "The certificate's key (PEM, without a passphrase)."),
        .text(
            "client-cert-file", "", \.clientSecurity.clientCertFile,
            fileKey: "client-transport-security.client-cert-file", "Certificate for the server's calls to itself."),
        .text(
            "client-key-file", "", \.clientSecurity.clientKeyFile,
            fileKey: "client-transport-security.client-key-file", "The certificate's key."),
        .bool(
            "client-cert-auth", "false", \.clientSecurity.clientCertAuth,
            fileKey: "client-transport-security.client-cert-auth",
            "Demand certificates of clients, signed by --trusted-ca-file or else by an authority of the system."),
        .text(
            "client-crl-file", "", \.clientSecurity.crlFile, fileKey: "",
            "Revocation list (DER or PEM) for certificates of clients."),
        .list(
            "client-cert-allowed-hostname", "", \.clientSecurity.allowedHostnames,
            fileKey: "client-transport-security.allowed-hostname",
            "Host names of which certificates of clients must have one."),
        .text(
            "trusted-ca-file", "", \.clientSecurity.trustedCAFile,
            fileKey: "client-transport-security.trusted-ca-file",
            "Authorities (PEM) for certificates of clients, which are then demanded."),
        .bool(
            "auto-tls", "false", \.clientSecurity.autoTLS, fileKey: "client-transport-security.auto-tls",
            "Make a certificate for client URLs, below the data directory, unless --cert-file names one."),
    ]

    private static let peerTLS: [Flag] = [
        .text(
            "peer-cert-file", "", \.peerSecurity.certFile, fileKey: "peer-transport-security.cert-file",
            "Certificate (PEM) of https peer URLs, also shown to other members."),
        .text(
            "peer-key-file", "", \.peerSecurity.keyFile, fileKey: "peer-transport-security.key-file",
            "The certificate's key (PEM, without a passphrase)."),
        .text(
            "peer-client-cert-file", "", \.peerSecurity.clientCertFile,
            fileKey: "peer-transport-security.client-cert-file",
            "Certificate to show to other members instead of --peer-cert-file."),
        .text(
            "peer-client-key-file", "", \.peerSecurity.clientKeyFile,
            fileKey: "peer-transport-security.client-key-file", "The certificate's key."),
        .bool(
            "peer-client-cert-auth", "false", \.peerSecurity.clientCertAuth,
            fileKey: "peer-transport-security.client-cert-auth", "Demand certificates of other members."),
        .text(
            "peer-trusted-ca-file", "", \.peerSecurity.trustedCAFile,
            fileKey: "peer-transport-security.trusted-ca-file",
            "Authorities (PEM) for certificates of other members, whoever opens the connection."),
        .list(
            "peer-cert-allowed-cn", "", \.peerSecurity.allowedCNs, fileKey: "peer-transport-security.allowed-cn",
            "Common names of which certificates of other members must have one."),
        .list(
            "peer-cert-allowed-hostname", "", \.peerSecurity.allowedHostnames,
            fileKey: "peer-transport-security.allowed-hostname",
            "Host names of which certificates of other members must have one."),
        .bool(
            "peer-auto-tls", "false", \.peerSecurity.autoTLS, fileKey: "peer-transport-security.auto-tls",
            "Make a certificate for peer URLs; members are then not verified."),
        .bool(
            "peer-skip-client-san-verification", "false", \.peerSecurity.skipClientSANVerification,
            fileKey: "peer-transport-security.skip-client-san-verification",
            "Do not compare the names in a member's certificate with the address that it comes from."),
        .text(
            "peer-crl-file", "", \.peerSecurity.crlFile, fileKey: "",
            "Revocation list (DER or PEM) for certificates of other members."),
    ]

    private static let allTLS: [Flag] = [
        .unsigned(
            "self-signed-cert-validity", "1", \.selfSignedCertificateYears,
            "Years that certificates of --auto-tls and --peer-auto-tls are valid."),
        .list(
            "cipher-suites", "", \.cipherSuites,
            "TLS 1.2 cipher suites, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256; empty is the library's choice."),
        .text("tls-min-version", "TLS1.2", \.tlsMinimumVersion, "Lowest TLS version: TLS1.2 or TLS1.3."),
        .text("tls-max-version", "", \.tlsMaximumVersion, "Highest TLS version; empty is the newest."),
    ]
}
