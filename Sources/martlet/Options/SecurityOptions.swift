/// What the flags say about TLS on client URLs, or on peer URLs.
package struct SecurityOptions: Sendable, Equatable {
    package var certFile = ""
    package var keyFile = ""
    package var clientCertFile = ""
    package var clientKeyFile = ""
    package var trustedCAFile = ""
    package var clientCertAuth = false
    package var crlFile = ""
    package var allowedCNs: [String] = []
    package var allowedHostnames: [String] = []
    package var autoTLS = false
    package var skipClientSANVerification = false

    package init() {}

    package var hasCertificate: Bool { !certFile.isEmpty || !keyFile.isEmpty }
}
