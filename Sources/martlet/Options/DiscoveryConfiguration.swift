package import TLS

/// The flags that begin with `--discovery-`: how the founding members find each other when `--initial-cluster` does not
/// name them.
package struct DiscoveryConfiguration: Sendable, Equatable {
    /// The domain whose SRV records name the members, and the suffix of the service's name.
    package var domain = ""
    package var serviceSuffix = ""

    /// The token under which they register with a discovery service.
    package var token = ""
    package var endpoints: [String] = []
    package var dialTimeout = Duration.seconds(2)
    package var requestTimeout = Duration.seconds(5)
    package var keepaliveTime = Duration.seconds(2)
    package var keepaliveTimeout = Duration.seconds(6)
    package var insecureTransport = true
    package var insecureSkipVerify = false
    package var certFile = ""
    package var keyFile = ""
    package var authoritiesFile = ""
    /// What the service's certificate must be valid for; empty: the endpoint's host.
    package var serverName = ""
    package var user = ""
    package var password = ""

    package init() {}

    /// Whether one of the two ways is chosen.
    package var isUsed: Bool { !domain.isEmpty || !endpoints.isEmpty }

    /// User and password, which may stand together in `--discovery-user`; nil unless both are given.
    package var credentials: (user: String, password: String)? {
        if !user.isEmpty && !password.isEmpty { return (user, password) }
        guard let colon = user.firstIndex(of: ":") else { return nil }
        let (name, secret) = (user[..<colon], user[user.index(after: colon)...])
        return name.isEmpty || secret.isEmpty ? nil : (String(name), String(secret))
    }

    /// Whether settings ask for TLS where an endpoint leaves it open.
    package var prefersTLS: Bool {
        !insecureTransport || insecureSkipVerify
            || ![certFile, keyFile, authoritiesFile, serverName].allSatisfy(\.isEmpty)
    }

    /// What is shown to the service, and what is demanded of it: with neither authorities nor a certificate of one's
    /// own, one that the system's authorities vouch for.
    package var tls: TLSSettings {
        var settings = TLSSettings()
        settings.flags = .discovery
        settings.certificateFile = certFile
        settings.keyFile = keyFile
        settings.trustedCAFile = authoritiesFile
        settings.trustsAllServers = insecureSkipVerify
        settings.serverName = serverName
        return settings
    }
}

extension ServerConfiguration {
    /// - Throws: etcd's words for flags that contradict each other.
    func validateDiscovery() throws(ValueError) {
        let ways = [!resolvedInitialCluster.isEmpty, !discovery.domain.isEmpty, !discovery.endpoints.isEmpty]
        guard ways.count(where: { $0 }) <= 1 else {
            throw ValueError(
                "multiple discovery or bootstrap flags are set. Choose one of \"initial-cluster\", "
                    + "\"discovery-endpoints\" or \"discovery-srv\"")
        }
        guard discovery.token.isEmpty == discovery.endpoints.isEmpty else {
            throw ValueError("both --discovery-token and --discovery-endpoints must be set")
        }
        guard !discovery.endpoints.contains(where: \.isEmpty) else {
            throw ValueError("--discovery-endpoints must not contain empty endpoints")
        }
        for endpoint in discovery.endpoints { _ = try DiscoveryEndpoint(endpoint) }
        do throws(TLSSetupError) {
            try discovery.tls.validate()
        } catch {
            throw ValueError("--discovery-cert, --discovery-key: \(error)")
        }
        for (flag, time) in [
            ("--discovery-dial-timeout", discovery.dialTimeout),
            ("--discovery-request-timeout", discovery.requestTimeout),
            ("--discovery-keepalive-time", discovery.keepaliveTime),
            ("--discovery-keepalive-timeout", discovery.keepaliveTimeout),
        ] where time <= .zero {
            throw ValueError("\(flag) must be >0 (set to \(GoDuration.format(time)))")
        }
        guard discoveryFallback != "proxy" else {
            throw ValueError(
                "--discovery-fallback=proxy: etcd's v2 proxy is gone, as v2 discovery is; leave it at its default (exit)"
            )
        }
    }
}
