internal import ClientAPI
internal import Foundation
internal import Logging
internal import Platform
internal import PlatformLinux
internal import TLS

/// TLS for all sides of a member, as the flags want it. Made before anything is opened, so that a certificate that
/// cannot be used is the first thing that is said.
struct MemberTLS {
    /// nil where no URL needs it.
    let clients: ServerTLS?
    let metrics: ServerTLS?
    let peers: ServerTLS?
    let dialling: ClientTLS

    /// - Throws: `TLSSetupError`, or `DiskError` when a certificate cannot be made.
    init(_ configuration: ServerConfiguration, logger: Logger) throws {
        let disk = LinuxDisk()
        let names = LinuxHostNames()
        let system = SystemAuthorities(disk: disk, environment: ProcessInfo.processInfo.environment)
        let client = try Self.withOwnCertificate(
            configuration.clientTLS, configuration.clientSecurity, "client", configuration.listenClientURLs,
            configuration, logger)
        let peer = try Self.withOwnCertificate(
            configuration.peerTLS, configuration.peerSecurity, "peer", configuration.listenPeerURLs, configuration,
            logger)
        func server(_ settings: TLSSettings, _ urls: [ServerURL], _ protocols: [String]) throws -> ServerTLS? {
            guard urls.contains(where: \.isSecure) else { return nil }
            return try ServerTLS(
                settings, offering: protocols, disk: disk, system: system, names: names, logger: logger)
        }
        clients = try server(client, configuration.listenClientURLs, ClientServer.clientProtocols)
        metrics = try server(client, configuration.listenMetricsURLs, ClientServer.metricsProtocols)
        peers = try server(peer, configuration.listenPeerURLs, Self.peerProtocols)
        dialling = try ClientTLS(peer, disk: disk, system: system, logger: logger)
        Self.warnOfPlainURLs(configuration, logger)
    }

    /// Members offer nothing; others that can choose shall not take HTTP/2, which etcd's members cannot serve there.
    private static let peerProtocols = ["http/1.1"]

    /// The settings with a certificate that the member has made for itself, if it is to.
    private static func withOwnCertificate(
        _ settings: TLSSettings, _ options: SecurityOptions, _ kind: String, _ urls: [ServerURL],
        _ configuration: ServerConfiguration, _ logger: Logger
    ) throws -> TLSSettings {
        guard options.autoTLS else { return settings }
        if options.hasCertificate {
            logger.warning("ignoring \(kind) auto TLS since certs given")
            return settings
        }
        guard urls.contains(where: \.isSecure) else { return settings }
        let years = max(1, Int(configuration.selfSignedCertificateYears))
        let made = try SelfSignedCertificate.files(
            in: "\(configuration.resolvedDataDirectory)/fixtures/\(kind)", hosts: urls.map(\.host), years: years,
            disk: LinuxDisk(), clock: LinuxClock(), entropy: LinuxEntropy())
        logger.warning(
            "serving with a certificate that this member has made itself",
            metadata: ["cert-file": "\(made.certificate)", "key-file": "\(made.key)"])
        var settings = settings
        settings.certificateFile = made.certificate
        settings.keyFile = made.key
        settings.trustsAllServers = true
        return settings
    }

    private static func warnOfPlainURLs(_ configuration: ServerConfiguration, _ logger: Logger) {
        func warn(_ urls: [ServerURL], _ options: SecurityOptions, _ field: String, _ flag: String, _ scheme: String) {
            for url in urls where !url.isSecure {
                let metadata: Logger.Metadata = [field: "\(url)"]
                if options.hasCertificate {
                    logger.warning(
                        "scheme is \(scheme) while key and cert files are present; ignoring key and cert files",
                        metadata: metadata)
                }
                if options.clientCertAuth {
                    logger.warning(
                        "scheme is \(scheme) while \(flag) is enabled; ignoring client cert auth for this URL",
                        metadata: metadata)
                }
            }
        }
        warn(
            configuration.listenPeerURLs, configuration.peerSecurity, "peer-url", "--peer-client-cert-auth", "HTTP")
        warn(
            configuration.listenClientURLs, configuration.clientSecurity, "client-url", "--client-cert-auth",
            "http or unix")
    }
}

extension ServerConfiguration {
    /// The settings for client and metrics URLs.
    var clientTLS: TLSSettings {
        get throws(TLSSetupError) { try tls(clientSecurity, flags: .clients) }
    }

    /// The settings for peer URLs. The addresses of clients are checked there alone, as with etcd.
    var peerTLS: TLSSettings {
        get throws(TLSSetupError) {
            var settings = try tls(peerSecurity, flags: .peers)
            settings.checksClientAddress = !peerSecurity.skipClientSANVerification
            // Members that DNS names are known by its domain, unless an authority of theirs vouches for them.
            if peerSecurity.trustedCAFile.isEmpty { settings.serverName = discovery.domain }
            return settings
        }
    }

    private func tls(_ options: SecurityOptions, flags: TLSFlags) throws(TLSSetupError) -> TLSSettings {
        var settings = TLSSettings()
        settings.flags = flags
        settings.certificateFile = options.certFile
        settings.keyFile = options.keyFile
        settings.clientCertificateFile = options.clientCertFile
        settings.clientKeyFile = options.clientKeyFile
        settings.trustedCAFile = options.trustedCAFile
        settings.demandsClientCertificates = options.clientCertAuth
        settings.revocationListFile = options.crlFile
        settings.allowedCommonNames = options.allowedCNs
        settings.allowedHostNames = options.allowedHostnames
        settings.cipherSuites = cipherSuites
        settings.minimumVersion = try TLSProtocol(named: tlsMinimumVersion)
        settings.maximumVersion = tlsMaximumVersion.isEmpty ? nil : try TLSProtocol(named: tlsMaximumVersion)
        return settings
    }
}
