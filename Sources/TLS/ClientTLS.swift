public import Logging
public import NIOCore
internal import NIOPosix
internal import NIOSSL
public import Platform
internal import Synchronization

/// The client side of TLS: verifies servers and shows the member's certificate where one is asked for.
///
/// Usable from any thread.
public final class ClientTLS: Sendable {
    private let load: @Sendable () throws(TLSSetupError) -> Reloading<NIOSSLContext>
    /// nil until it is first needed, which may be never.
    private let loaded = Mutex<Reloading<NIOSSLContext>?>(nil)
    private let check: CertificateCheck
    private let verifiesServers: Bool
    private let serverName: String
    private let logger: Logger

    /// - Parameters:
    ///   - settings: without a certificate, none is shown; without authorities, the system's are trusted. Where they
    ///     name no file at all, nothing is read before the first connection, which may never come.
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
        let system = system ?? SystemAuthorities(disk: disk)
        let suites = try CipherSuites(settings.cipherSuites)
        let shown = [files.clientPaths.certificate, files.clientPaths.key].filter { !$0.isEmpty }
        load = { () throws(TLSSetupError) in
            // A file that is named is read even where nobody looks at it: it may be a mistake.
            let authorities =
                settings.trustsAllServers && settings.trustedCAFile.isEmpty ? [] : try files.authorities(or: system)
            return try Reloading(shown, disk: disk, logger: logger) { () throws(TLSSetupError) in
                var configuration = TLSConfiguration.makeClientConfiguration()
                configuration.set(settings, suites)
                configuration.applicationProtocols = protocols
                if !shown.isEmpty {
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
        }
        serverName = settings.serverName
        verifiesServers = !settings.trustsAllServers
        // Like etcd: members that demand a name of whoever dials them demand it of those that they dial.
        check = CertificateCheck(settings, revoked: nil, authorities: [], names: nil)
        if !shown.isEmpty || !settings.trustedCAFile.isEmpty { _ = try context() }
    }

    private func context() throws(TLSSetupError) -> NIOSSLContext {
        let source = try loaded.withLock { loaded throws(TLSSetupError) in
            if let loaded { return loaded }
            let made = try load()
            loaded = made
            return made
        }
        return source.current()
    }

    /// Reads what is still to be read, off the loop, so that `install` need not. Fails with a `TLSSetupError`.
    public func ready(on eventLoop: any EventLoop) -> EventLoopFuture<Void> {
        if loaded.withLock({ $0 != nil }) { return eventLoop.makeSucceededVoidFuture() }
        return NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { _ = try self.context() }
    }

    /// Adds the handlers to a channel that is about to connect. Blocks on the disk the first time, unless it is
    /// `ready`.
    /// - Parameter host: name or address for which the server's certificate must be valid, unless the settings say
    ///   another one.
    public func install(on channel: any Channel, host: String) throws {
        let pipeline = channel.pipeline.syncOperations
        let host = serverName.isEmpty ? host : serverName
        // An address is not sent as a name (RFC 6066 section 3).
        let name = CertificateNames.address(host) == nil ? host : nil
        var check = check
        if verifiesServers { check.host = host }
        try pipeline.addHandler(NIOSSLClientHandler(context: context(), serverHostname: name))
        try pipeline.addHandler(HandshakeGuard(side: .client, check: check, logger: logger))
    }
}
