public import Logging
public import NIOCore
internal import NIOSSL
public import Platform

/// The client side of TLS: verifies servers and shows the member's certificate where one is asked for.
///
/// Usable from any thread.
public final class ClientTLS: Sendable {
    private let context: Reloading<NIOSSLContext>
    private let check: CertificateCheck
    private let verifiesServers: Bool
    private let serverName: String
    private let logger: Logger

    /// - Parameters:
    ///   - settings: without a certificate, none is shown; without authorities, the system's are trusted.
    ///   - protocols: what is offered by ALPN.
    ///   - system: nil for the authorities in the usual places.
    /// - Throws: when settings or files cannot be used.
    public init(
        _ settings: TLSSettings, offering protocols: [String] = [], disk: any StampingDisk,
        system: SystemAuthorities? = nil, logger: Logger
    ) throws(TLSSetupError) {
        try settings.validate()
        self.logger = logger
        let files = CredentialFiles(settings: settings, disk: disk)
        let authorities = settings.trustsAllServers ? [] : try files.authorities(or: system)
        let suites = try CipherSuites(settings.cipherSuites)
        let shown =
            settings.clientCertificateFile.isEmpty
            ? [settings.certificateFile, settings.keyFile]
            : [settings.clientCertificateFile, settings.clientKeyFile]
        context = try Reloading(
            shown.filter { !$0.isEmpty }, disk: disk, logger: logger
        ) { () throws(TLSSetupError) in
            var configuration = TLSConfiguration.makeClientConfiguration()
            configuration.set(settings, suites)
            configuration.applicationProtocols = protocols
            if !shown[0].isEmpty {
                let pair = try files.clientKeyPair()
                configuration.certificateChain = pair.chain.map { .certificate($0) }
                configuration.privateKey = .privateKey(pair.key)
            }
            if settings.trustsAllServers {
                configuration.certificateVerification = .none
            } else {
                configuration.certificateVerification = .noHostnameVerification
                configuration.trustRoots = .certificates(authorities)
            }
            return try NIOSSLContext.make(configuration)
        }
        serverName = settings.serverName
        verifiesServers = !settings.trustsAllServers
        // Like etcd: members that demand a name of whoever dials them demand it of those that they dial.
        check = CertificateCheck(settings, revoked: nil, authorities: [], names: nil)
    }

    /// Adds the handlers to a channel that is about to connect.
    /// - Parameter host: name or address for which the server's certificate must be valid, unless the settings say
    ///   another one.
    public func install(on channel: any Channel, host: String) throws {
        let pipeline = channel.pipeline.syncOperations
        let host = serverName.isEmpty ? host : serverName
        // An address is not sent as a name (RFC 6066 section 3).
        let name = CertificateNames.address(host) == nil ? host : nil
        var check = check
        if verifiesServers { check.host = host }
        try pipeline.addHandler(NIOSSLClientHandler(context: context.current(), serverHostname: name))
        try pipeline.addHandler(HandshakeGuard(side: .client, check: check, logger: logger))
    }
}
