public import Logging
public import NIOCore
internal import NIOSSL
public import Platform
internal import Synchronization

/// The server side of TLS: etcd's rules for certificates, and files that are read again when they have been replaced.
///
/// ```swift
/// let tls = try ServerTLS(settings, offering: ["h2"], disk: LinuxDisk(), names: LinuxHostNames(), logger: logger)
/// // in the initializer of an accepted channel, before other handlers:
/// try tls.install(on: channel)
/// ```
///
/// Usable from any thread.
public final class ServerTLS: Sendable {
    private struct Prepared: Sendable {
        var configuration: TLSConfiguration
        var context: NIOSSLContext
    }

    private let prepared: Reloading<Prepared>
    /// nil where clients are not verified.
    private let check: CertificateCheck?
    private let logger: Logger
    private let ownContexts = Atomic(0)

    /// - Parameters:
    ///   - protocols: what is agreed on by ALPN, the preferred first.
    ///   - system: whose authorities verify clients where the settings name none; nil for those in the usual places.
    ///   - names: asked when clients' certificates are checked against where they come from.
    /// - Throws: when settings or files cannot be used.
    public init(
        _ settings: TLSSettings, offering protocols: [String], disk: any StampingDisk,
        system: SystemAuthorities? = nil, names: any HostNames, logger: Logger
    ) throws(TLSSetupError) {
        try settings.validate()
        self.logger = logger
        let files = CredentialFiles(settings: settings, disk: disk)
        let authorities = settings.verifiesClients ? try files.authorities(or: system) : []
        if settings.verifiesClients && authorities.isEmpty {
            logger.warning(
                "this machine trusts no authorities, so all clients are refused; name some by a flag",
                metadata: ["flag": "--\(settings.flags.authorities)"])
        }
        let suites = try CipherSuites(settings.cipherSuites)
        if !suites.missing.isEmpty {
            logger.warning(
                "left out cipher suites that are not supported",
                metadata: ["cipher-suites": .array(suites.missing.map { .string($0) })])
        }
        prepared = try Reloading(
            [settings.certificateFile, settings.keyFile], disk: disk, logger: logger
        ) { () throws(TLSSetupError) in
            let pair = try files.serverKeyPair()
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: pair.chain.map { .certificate($0) }, privateKey: .privateKey(pair.key))
            configuration.set(settings, suites)
            configuration.applicationProtocols = protocols
            if settings.verifiesClients {
                configuration.certificateVerification = .noHostnameVerification
                configuration.trustRoots = .certificates(authorities)
            }
            return Prepared(configuration: configuration, context: try NIOSSLContext.make(configuration))
        }
        if settings.verifiesClients {
            let list =
                settings.revocationListFile.isEmpty
                ? nil
                : try Reloading([settings.revocationListFile], disk: disk, logger: logger) {
                    () throws(TLSSetupError) in try files.revocationList()
                }
            check = CertificateCheck(
                settings, revoked: list, authorities: authorities,
                names: settings.checksClientAddress ? names : nil)
        } else {
            check = nil
        }
    }

    /// Adds the handlers to a channel that has just been accepted. What stands behind them sees plain bytes, and none
    /// before the other side has been found good.
    public func install(on channel: any Channel) throws {
        let pipeline = channel.pipeline.syncOperations
        let prepared = prepared.current()
        guard let check else {
            try pipeline.addHandler(NIOSSLServerHandler(context: prepared.context))
            return try pipeline.addHandler(HandshakeGuard(side: .server, check: nil, logger: logger))
        }
        // A resumed session is not verified again: neither whether a certificate has expired meanwhile nor whether one
        // in the middle has been revoked. Sessions belong to a context, so whoever offers one gets a context that has
        // none. To make it takes the longer, the more authorities there are. All others share one.
        let chain = VerifiedChain()
        let allowsTLS13 = prepared.configuration.maximumTLSVersion == .tlsv13
        let reader = HelloReader(allowsTLS13: allowsTLS13) { [self] hello in
            if hello == .new { return try chain.makeHandler(prepared.context) }
            ownContexts.add(1, ordering: .relaxed)
            return try chain.makeHandler(NIOSSLContext.make(prepared.configuration))
        }
        try pipeline.addHandler(reader)
        try pipeline.addHandler(HandshakeGuard(side: .server, check: check, chain: chain, logger: logger))
    }

    /// How many connections have got a context of their own so far.
    package var connectionsWithOwnContext: Int { ownContexts.load(ordering: .relaxed) }
}

extension TLSConfiguration {
    /// What both sides share.
    mutating func set(_ settings: TLSSettings, _ suites: CipherSuites) {
        let minimum = suites.needsTLS13 ? .tls13 : settings.minimumVersion
        minimumTLSVersion = minimum == .tls13 ? .tlsv13 : .tlsv12
        maximumTLSVersion = settings.maximumVersion == .tls12 ? .tlsv12 : .tlsv13
        if let list = suites.tls12 { cipherSuites = list }
    }
}

extension NIOSSLContext {
    static func make(_ configuration: TLSConfiguration) throws(TLSSetupError) -> NIOSSLContext {
        do {
            return try NIOSSLContext(configuration: configuration)
        } catch {
            throw TLSSetupError("cannot set up TLS: \(error)")
        }
    }
}

/// What is known of the other side of a connection. To be called on the channel's event loop.
public enum TLSPeer {
    /// Whether the channel speaks TLS, or will.
    public static func isSecure(_ channel: any Channel) -> Bool {
        let pipeline = channel.pipeline.syncOperations
        return (try? pipeline.handler(type: NIOSSLServerHandler.self)) != nil
            || (try? pipeline.handler(type: HelloReader.self)) != nil
    }

    /// The common name in the client's certificate, which has been verified; nil without one, or without TLS.
    public static func commonName(of channel: any Channel) -> String? {
        let handler = try? channel.pipeline.syncOperations.handler(type: NIOSSLServerHandler.self)
        guard let certificate = handler?.peerCertificate, let names = try? CertificateNames(certificate) else {
            return nil
        }
        return names.commonName.isEmpty ? nil : names.commonName
    }
}
