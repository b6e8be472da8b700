internal import Base
internal import Logging
internal import Member
internal import Membership
internal import NIOCore
internal import NIOPosix
internal import PeerTransport
internal import PlatformLinux
internal import TLS

/// How a member without a log enters its cluster: it founds it with the others, whom the flags, DNS or a discovery
/// service name, or joins one that runs. All that others are asked for this is asked here.
struct ClusterEntry {
    /// What one member may take to tell what its cluster is.
    private static let joiningTimeout = Duration.seconds(10)
    private static let foundingTimeout = Duration.seconds(1)

    let configuration: ServerConfiguration
    /// For members with `https` URLs.
    let tls: ClientTLS
    let eventLoop: any EventLoop
    let lookups: NameLookups
    let logger: Logger

    init(
        _ configuration: ServerConfiguration, tls: ClientTLS, eventLoop: any EventLoop,
        blockingThreads: NIOThreadPool, logger: Logger
    ) {
        self.configuration = configuration
        self.tls = tls
        self.eventLoop = eventLoop
        self.logger = logger
        lookups = NameLookups(threads: blockingThreads, eventLoop: eventLoop, logger: logger)
    }

    /// Completes the settings of a member that is about to start for the first time.
    func prepare(_ settings: inout MemberConfiguration) async throws {
        settings.initialCluster = try configuration.founders
        if !configuration.discovery.domain.isEmpty { try await findByServiceRecords(&settings) }
        if !configuration.discovery.endpoints.isEmpty {
            // Until the others are known this member is alone.
            settings.initialCluster = settings.peerURLs.sorted().map {
                FoundingMember(name: settings.name, peerURL: $0)
            }
            settings.initialClusterToken = configuration.discovery.token
        }
        if configuration.initialClusterState == "existing" {
            try await join(&settings)
        } else {
            try await found(&settings)
        }
    }

    // MARK: Joining

    private func join(_ settings: inout MemberConfiguration) async throws {
        guard configuration.discovery.endpoints.isEmpty else {
            throw ValueError("discovery endpoints should not be set when joining existing initial cluster")
        }
        try settings.validateInitialCluster(joins: true)
        let directory = ClusterDirectory(eventLoop: eventLoop, timeout: Self.joiningTimeout, tls: tls)
        guard let cluster = await directory.cluster(at: otherURLs(settings)) else {
            throw ValueError(
                "cannot fetch cluster info from peer urls: could not retrieve cluster information from the given URLs")
        }
        let listed = settings.initialCluster.map(\.peerURL)
        let running = cluster.members.flatMap(\.peerURLs)
        if Set(listed) != Set(running) {
            settings.resolvedURLs = try await lookups.resolve((listed + running).compactMap { try? ServerURL($0) })
        }
        try await directory.checkCompatibility(
            with: cluster, version: PeerVersion(Version.api) ?? PeerVersion(major: 3, minor: 7),
            except: settings.peerURLs)
        settings.joining = cluster
    }

    // MARK: Founding

    private func found(_ settings: inout MemberConfiguration) async throws {
        if !settings.advertisesAsListed {
            let listed = settings.initialCluster.filter { $0.name == settings.name }.map(\.peerURL)
            settings.resolvedURLs = try await lookups.resolve(
                (listed + settings.peerURLs).compactMap { try? ServerURL($0) })
        }
        try settings.validateInitialCluster(joins: false)
        if !configuration.discovery.endpoints.isEmpty { return try await findByToken(&settings) }
        let directory = ClusterDirectory(eventLoop: eventLoop, timeout: Self.foundingTimeout, tls: tls)
        guard let cluster = await directory.cluster(at: otherURLs(settings)) else { return }
        let own = settings.peerURLs.sorted()
        for member in cluster.members where member.peerURLs.sorted() == own && !member.clientURLs.isEmpty {
            throw ValueError("member \(member.id) has already been bootstrapped")
        }
    }

    private func otherURLs(_ settings: MemberConfiguration) -> [String] {
        settings.initialCluster.filter { $0.name != settings.name }.map(\.peerURL)
    }

    private func findByServiceRecords(_ settings: inout MemberConfiguration) async throws {
        let discovery = ServiceRecordDiscovery(
            domain: configuration.discovery.domain, suffix: configuration.discovery.serviceSuffix, name: settings.name,
            advertised: configuration.initialAdvertisePeerURLs, records: NameService.serviceRecords,
            address: NameService.address)
        let outcome = try await lookups.run("--discovery-srv=\(configuration.discovery.domain)") { discovery.find() }
        for finding in outcome.findings {
            var fields: Logger.Metadata = [
                "service-scheme": "\(finding.scheme)", "service-name": "\(finding.service)",
                "server-name": "\(settings.name)", "discovery-srv": "\(configuration.discovery.domain)",
                "advertise-peer-urls": .array(settings.peerURLs.map { .string($0) }),
                "found-cluster": .array(finding.pairs.map { .string($0.description) }),
            ]
            if let problem = finding.problem { fields["error"] = "\(problem)" }
            logger.info("get cluster for \(finding.service) SRV", metadata: fields)
        }
        let pairs = try discovery.members(of: outcome)
        for pair in pairs {
            logger.info("got bootstrap from DNS for etcd-server", metadata: ["node": "\(pair)"])
        }
        settings.initialCluster = pairs.map { FoundingMember(name: $0.name, peerURL: $0.url.description) }
    }

    private func findByToken(_ settings: inout MemberConfiguration) async throws {
        var logger = logger
        logger[metadataKey: "discovery-token"] = "\(configuration.discovery.token)"
        logger[metadataKey: "discovery-endpoints"] = "\(configuration.discovery.endpoints.joined(separator: ","))"
        let service: EtcdDiscoveryService
        do {
            service = try EtcdDiscoveryService(configuration.discovery, eventLoop: eventLoop, logger: logger)
        } catch {
            throw ValueError("failed to join discovery cluster (\(error))")
        }
        let discovery = ClusterDiscovery(token: configuration.discovery.token, service: service, logger: logger)
        let id = MemberID(peerURLs: settings.peerURLs, token: settings.initialClusterToken)
        let own = settings.initialCluster.map { "\($0.name)=\($0.peerURL)" }.joined(separator: ",")
        let pairs: [InitialCluster.Pair]
        do {
            pairs = try await discovery.join(id, as: own)
        } catch {
            throw ValueError("failed to join discovery cluster (\(error))")
        }
        settings.initialCluster = pairs.map { FoundingMember(name: $0.name, peerURL: $0.url.description) }
        logger.info(
            "discovery joined cluster successfully",
            metadata: ["cluster": .array(pairs.map { .string($0.description) })])
        try settings.validateInitialCluster(joins: false)
    }
}
