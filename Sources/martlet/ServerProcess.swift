internal import ClientAPI
internal import Foundation
internal import Logging
internal import Member
internal import NIOCore
internal import NIOPosix
internal import PeerTransport
internal import Platform
internal import PlatformLinux

/// A member with its listeners, from start to a signal. The lines it logs are worded as etcd's where tools wait for
/// them.
struct ServerProcess {
    /// How long open calls may take to finish at the end.
    private static let drain = Duration.seconds(5)
    /// Threads that read and write the databases of snapshots for peers.
    private static let diskThreads = 2

    let configuration: ServerConfiguration
    let logger: Logger

    func run() async {
        let (events, continuation) = AsyncStream.makeStream(of: ProcessEvent.self)
        let (early, earlyContinuation) = AsyncStream.makeStream(of: TerminationSignals.Signal.self)
        // Before the first thread starts, so that no signal ends the process half way.
        let signals = TerminationSignals { signal in
            if case .terminated = earlyContinuation.yield(signal) { continuation.yield(.signal(signal)) }
        }
        warn()
        logStart()
        do {
            let tls = try MemberTLS(configuration, logger: logger)
            let group = MultiThreadedEventLoopGroup(numberOfThreads: System.coreCount)
            let diskThreads = NIOThreadPool(numberOfThreads: Self.diskThreads)
            diskThreads.start()
            let finding = Task {
                defer { earlyContinuation.finish() }
                return try await MemberStart.settings(
                    configuration, tls, logger, eventLoop: group.next(), blockingThreads: diskThreads)
            }
            // A member that still looks for its cluster has nothing to close.
            for await signal in early {
                logger.info(
                    "received signal; shutting down before the member has started",
                    metadata: ["signal": "\(signal.name)"])
                signals.endProcess(by: signal)
            }
            let settings = try await finding.value
            let peerLoop = group.next()
            let process = try await MemberStart.start(
                settings, configuration, tls, logger, eventLoop: peerLoop, diskThreads: diskThreads,
                onReady: { continuation.yield(.memberReady) }, onFailure: { continuation.yield(.memberFailed($0)) },
                onRemoved: { continuation.yield(.memberRemoved) })
            let server = ClientServer(
                configuration: configuration.clientServer, member: process, group: group,
                first: peerLoop, processStatistics: { ProcessStatistics.current() }, logger: logger)
            do {
                try await listen(server, tls)
                process.transport.share { channel, http1 in try server.install(on: channel, http1: http1) }
            } catch {
                await stop(server, process, group, drain: .zero)
                throw error
            }
            for await event in events {
                switch event {
                case .memberReady:
                    logReady()
                case .memberFailed(let reason):
                    logger.critical("member failed", metadata: ["error": "\(reason)"])
                    exit(1)
                case .memberRemoved:
                    await stop(server, process, group, drain: .zero)
                    logger.info("closed etcd server", metadata: identity)
                    exit(0)
                case .signal(let signal):
                    logger.info("received signal; shutting down", metadata: ["signal": "\(signal.name)"])
                    logger.info("closing etcd server", metadata: identity)
                    await stop(server, process, group, drain: Self.drain)
                    logger.info("closed etcd server", metadata: identity)
                    signals.endProcess(by: signal)
                }
            }
        } catch {
            logger.critical("failed to start etcd", metadata: ["error": "\(error)"])
            exit(1)
        }
    }

    private func listen(_ server: ClientServer, _ tls: MemberTLS) async throws {
        for url in configuration.listenMetricsURLs {
            try await server.serveMetrics(at: url.listenAddress, tls: url.isSecure ? tls.metrics : nil)
        }
        for url in configuration.listenClientURLs {
            try await server.serveClients(at: url.listenAddress, tls: url.isSecure ? tls.clients : nil)
        }
    }

    /// Clients first, so that all answers that the member still gives reach them.
    private func stop(
        _ server: ClientServer, _ process: ClusterMemberProcess, _ group: MultiThreadedEventLoopGroup, drain: Duration
    ) async {
        await server.shutdown(drain: drain)
        await process.stop()
        do {
            try await group.shutdownGracefully()
        } catch {
            logger.warning("cannot stop the event loops", metadata: ["error": "\(error)"])
        }
    }

    /// Tools wait for these lines.
    private func logReady() {
        logger.info("ready to serve client requests")
        for url in configuration.listenClientURLs {
            logger.info(
                url.isSecure
                    ? "serving client traffic securely"
                    : "serving client traffic insecurely; this is strongly discouraged!",
                metadata: ["traffic": "grpc+http", "address": "\(url.listenAddress)"])
        }
        for url in configuration.listenMetricsURLs {
            logger.info("serving metrics", metadata: ["address": "\(url.listenAddress)"])
        }
    }

    /// Settings above which etcd warns.
    private func warn() {
        let recommendedRequestBytes: UInt64 = 10 << 20
        let recommendedQuota: Int64 = 8 << 30
        if configuration.dataDirectory.isEmpty {
            logger.warning(
                "'data-dir' was empty; using default", metadata: ["data-dir": "\(configuration.resolvedDataDirectory)"])
        }
        if configuration.maxRequestBytes > recommendedRequestBytes {
            logger.warning(
                "exceeded recommended request limit",
                metadata: [
                    "max-request-bytes": .stringConvertible(configuration.maxRequestBytes),
                    "recommended-request-bytes": .stringConvertible(recommendedRequestBytes),
                ])
        }
        if configuration.quotaBackendBytes > recommendedQuota {
            logger.warning(
                "quota exceeds the maximum value",
                metadata: [
                    "quota-size-bytes": .stringConvertible(configuration.quotaBackendBytes),
                    "quota-maximum-size-bytes": .stringConvertible(recommendedQuota),
                ])
        }
        if configuration.unsafeNoFsync {
            logger.warning(
                "DISABLED FSYNC: data may be lost when the machine stops", metadata: ["flag": "--unsafe-no-fsync"])
        }
    }

    private var identity: Logger.Metadata {
        [
            "name": "\(configuration.name)",
            "data-dir": "\(configuration.resolvedDataDirectory)",
            "advertise-peer-urls": list(configuration.initialAdvertisePeerURLs),
            "advertise-client-urls": list(configuration.advertiseClientURLs),
        ]
    }

    private func logStart() {
        logger.info(
            "configuring client listeners", metadata: ["listen-client-urls": list(configuration.listenClientURLs)])
        let heartbeat = Duration.milliseconds(Int64(clamping: configuration.heartbeatMilliseconds))
        let election = Duration.milliseconds(Int64(clamping: configuration.electionMilliseconds))
        logger.info(
            "starting an etcd server",
            metadata: [
                "etcd-version": "\(Version.api)",
                "martlet-version": "\(Version.martlet)",
                "swift-version": "\(Version.swift)",
                "max-cpu-available": .stringConvertible(System.coreCount),
                "name": "\(configuration.name)",
                "data-dir": "\(configuration.resolvedDataDirectory)",
                "wal-dir": "\(configuration.walDirectory)",
                "heartbeat-interval": "\(GoDuration.format(heartbeat))",
                "election-timeout": "\(GoDuration.format(election))",
                "initial-election-tick-advance": .stringConvertible(configuration.initialElectionTickAdvance),
                "snapshot-count": .stringConvertible(configuration.snapshotCount),
                "initial-advertise-peer-urls": list(configuration.initialAdvertisePeerURLs),
                "listen-peer-urls": list(configuration.listenPeerURLs),
                "advertise-client-urls": list(configuration.advertiseClientURLs),
                "listen-client-urls": list(configuration.listenClientURLs),
                "listen-metrics-urls": list(configuration.listenMetricsURLs),
                "cors": .array(configuration.corsOrigins.map { .string($0) }),
                "host-whitelist": .array(configuration.hostWhitelist.map { .string($0) }),
                "initial-cluster": "\(configuration.resolvedInitialCluster)",
                "initial-cluster-state": "\(configuration.initialClusterState)",
                "initial-cluster-token": "\(configuration.initialClusterToken)",
                "quota-backend-bytes": .stringConvertible(configuration.quotaBackendBytes),
                "max-request-bytes": .stringConvertible(configuration.maxRequestBytes),
                "pre-vote": .stringConvertible(configuration.preVote),
            ])
    }

    private func list(_ urls: [ServerURL]) -> Logger.MetadataValue {
        .array(urls.map { .string($0.description) })
    }
}

extension ServerURL {
    var listenAddress: ListenAddress { isUnixSocket ? .unix(path: host) : .tcp(host: host, port: port) }
}

extension ServerConfiguration {
    /// The part that concerns clients. Sizes fit: validation has bounded them.
    var clientServer: ClientServer.Configuration {
        var client = ClientServer.Configuration()
        client.maxRequestBytes = Int(maxRequestBytes)
        client.maxConcurrentStreams = UInt32(maxConcurrentStreams)
        client.reusesPorts = socketReusePort
        client.maxTxnOperations = Int(maxTxnOperations)
        client.keepaliveMinTime = keepaliveMinTime
        client.keepaliveInterval = keepaliveInterval
        client.keepaliveTimeout = keepaliveTimeout
        client.slowCall = warningUnaryRequestDuration == .zero ? .milliseconds(300) : warningUnaryRequestDuration
        client.requestTimeout = .seconds(5) + .milliseconds(2 * Int64(clamping: electionMilliseconds))
        client.corsOrigins = corsOrigins
        client.allowedHosts = hostWhitelist
        client.serverVersion = Version.api
        return client
    }
}
