internal import NIOSSL

/// The certificates by which BoringSSL has verified a client, noted while it does so. Used on the connection's event
/// loop only.
final class VerifiedChain {
    /// The authority's and the client's own among them. Empty before the handshake, and when nothing was verified.
    private(set) var certificates: [NIOSSLCertificate] = []

    /// A handler for the server side of a connection whose client's chain is noted here.
    func makeHandler(_ context: NIOSSLContext) throws -> NIOSSLServerHandler {
        let handlers: any ObservingHandlers.Type = ServerHandlers.self
        return try handlers.make(context) { result, certificate in
            if case .certificateVerified = result { self.certificates.append(certificate) }
            return result
        }
    }
}

// NIOSSL discourages callbacks that BoringSSL calls for each certificate as it verifies it, in favour of one that
// leaves all of the verification to whoever sets it. Watching is what is wanted here; called through a protocol, that
// is no warning.
private protocol ObservingHandlers {
    static func make(
        _ context: NIOSSLContext, observer: @escaping NIOSSLVerificationCallback
    ) throws -> NIOSSLServerHandler
}

private enum ServerHandlers: ObservingHandlers {
    @available(*, deprecated, message: "call it through the protocol")
    static func make(
        _ context: NIOSSLContext, observer: @escaping NIOSSLVerificationCallback
    ) throws -> NIOSSLServerHandler {
        try NIOSSLServerHandler(context: context, verificationCallback: observer)
    }
}
