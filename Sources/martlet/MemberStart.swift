internal import ClientAPI
internal import Logging
package import Member
internal import NIOCore
internal import NIOPosix
internal import PeerTransport
internal import Platform
internal import PlatformLinux

/// A member that runs in this process.
protocol RunningMember: MemberHandle {
    /// Ends all work, makes it durable and closes the files; blocks until that is done. To be called once.
    func stop()
}

extension MemberLoop: RunningMember {}

/// Starts the member; the one place that knows how its settings follow from the flags.
enum MemberStart {
    /// The member's settings; one that has never run finds its cluster first, which may take as long as the others do.
    /// Nothing is written meanwhile.
    static func settings(
        _ configuration: ServerConfiguration, _ tls: MemberTLS, _ logger: Logger, eventLoop: any EventLoop,
        blockingThreads: NIOThreadPool
    ) async throws -> MemberConfiguration {
        var settings = configuration.member
        if try settings.hasLog(on: LinuxDisk()) {
            if configuration.discovery.isUsed {
                logger.warning(
                    "discovery is ignored since cluster already initialized; valid logs are found",
                    metadata: ["wal-dir": "\(settings.effectiveWALDirectory)"])
            }
        } else {
            let entry = ClusterEntry(
                configuration, tls: tls.dialling, eventLoop: eventLoop, blockingThreads: blockingThreads,
                logger: logger)
            try await entry.prepare(&settings)
        }
        return settings
    }

    /// - Parameters:
    ///   - onReady: called once, when clients may be served.
    ///   - onFailure: called once, with the reason, when the member cannot go on.
    ///   - onRemoved: called once, when the member is no part of its cluster any more.
    static func start(
        _ settings: MemberConfiguration, _ configuration: ServerConfiguration, _ tls: MemberTLS, _ logger: Logger,
        eventLoop: any EventLoop, diskThreads: NIOThreadPool,
        onReady: @escaping @Sendable () -> Void, onFailure: @escaping @Sendable (String) -> Void,
        onRemoved: @escaping @Sendable () -> Void
    ) async throws -> ClusterMemberProcess {
        let disk = LinuxDisk()
        let clock = LinuxClock()
        let transport = RaftTransport(
            RaftTransport.Settings(
                disk: disk, clock: clock, snapshotDirectory: settings.snapshotDirectory, diskThreads: diskThreads,
                electionTimeout: settings.electionTimeout, requestTimeout: settings.requestTimeout,
                snapshotBytesPerSecond: configuration.snapshotSendBytesPerSecond, listenTLS: tls.peers,
                dialTLS: tls.dialling),
            eventLoop: eventLoop, logger: logger)
        let platform = MemberPlatform(
            disk: disk, clock: clock, threads: LinuxThreads(), entropy: LinuxEntropy(), passwords: LinuxPasswords())
        let opened = try MemberLoop.open(settings, on: platform, logger: logger)
        if configuration.checksDataAtStart {
            try await InitialCheck(settings, tls, logger, eventLoop: eventLoop).run(opened)
        }
        let member = try MemberLoop.start(
            opened, settings, on: platform, network: transport, logger: logger, onReady: onReady,
            onFailure: { onFailure($0.description) }, onRemoved: onRemoved)
        let identity = PeerIdentity(
            localID: member.memberID, clusterID: member.clusterID, peerURLs: settings.peerURLs,
            version: PeerVersion(Version.api) ?? PeerVersion(major: 3, minor: 7))
        do {
            try await transport.start(
                identity, host: member, listeningAt: configuration.listenPeerURLs.map(\.description))
        } catch {
            member.stop()
            await transport.stop()
            throw error
        }
        return ClusterMemberProcess(member: member, transport: transport)
    }
}

/// A member with its transport.
struct ClusterMemberProcess: MemberHandle {
    let member: any RunningMember
    let transport: RaftTransport

    func submit(_ requests: [ClientRequest], sink: any ResponseSink, isIdle: Bool) -> Bool {
        member.submit(requests, sink: sink, isIdle: isIdle)
    }

    /// The member's figures with the transport's.
    func withStatistics(_ body: @escaping @Sendable (MemberStatistics) -> Void) -> Bool {
        member.withStatistics { [transport] statistics in
            transport.withStatistics { network in
                var statistics = statistics
                statistics.network = network
                body(statistics)
            }
        }
    }

    /// The member first: it hands leadership over, which takes the transport.
    func stop() async {
        member.stop()
        await transport.stop()
    }
}

extension ServerConfiguration {
    /// The members that found the cluster, or run it, as the flags list them.
    package var founders: [FoundingMember] {
        get throws(ValueError) {
            do throws(ValueError) {
                return try InitialCluster.parse(resolvedInitialCluster).map {
                    FoundingMember(name: $0.name, peerURL: $0.url.description)
                }
            } catch {
                throw ValueError("error setting up initial cluster: \(error)")
            }
        }
    }

    /// The part that concerns the member. Sizes fit: validation has bounded them.
    package var member: MemberConfiguration {
        var member = MemberConfiguration()
        member.name = name
        member.dataDirectory = resolvedDataDirectory
        member.walDirectory = walDirectory.isEmpty ? nil : walDirectory
        member.peerURLs = initialAdvertisePeerURLs.map(\.description)
        member.clientURLs = advertiseClientURLs.map(\.description)
        // A member that has run before knows its cluster: nobody looks at the list, so it may be wrong.
        member.initialCluster = (try? founders) ?? []
        member.initialClusterToken = initialClusterToken
        member.strictReconfigurationCheck = strictReconfigCheck
        member.heartbeatInterval = .milliseconds(Int64(clamping: heartbeatMilliseconds))
        member.electionTimeout = .milliseconds(Int64(clamping: electionMilliseconds))
        member.advancesInitialElectionTicks = initialElectionTickAdvance
        member.preVote = preVote
        // Zero stands for the default in these.
        if snapshotCount > 0 { member.snapshotCount = snapshotCount }
        if quotaBackendBytes != 0 { member.quotaBytes = quotaBackendBytes < 0 ? nil : quotaBackendBytes }
        if backendBatchInterval > .zero { member.backendBatchInterval = backendBatchInterval }
        if backendBatchLimit > 0 { member.backendBatchLimit = Int(backendBatchLimit) }
        member.maxWALs = Int(maxWALs)
        member.maxSnapshots = Int(maxSnapshots)
        member.maxRequestBytes = Int(maxRequestBytes)
        member.warningApplyDuration = warningApplyDuration
        member.unsafeNoSync = unsafeNoFsync
        member.forcesNewCluster = forceNewCluster
        member.raisesClusterVersion = raiseClusterVersion
        member.downgradeCheckInterval = downgradeCheckTime > .zero ? downgradeCheckTime : nil
        member.clearsNoSpaceAlarm = !manualNoSpaceDisarm
        member.learnerLimit = Int(clamping: maxLearners)
        if snapshotCatchUpEntries > 0 { member.snapshotCatchUpEntries = snapshotCatchUpEntries }
        if corruptCheckTime > .zero { member.corruptionCheckInterval = corruptCheckTime }
        if checksCompactions { member.compactionHashCheckInterval = compactHashCheckTime }
        member.resyncsCorruptMember = resyncCorruptMember
        member.quarantinesByRollingHash = quarantineByRollingHash
        member.checkpointsLeases = featureGates.isOn(.leaseCheckpoint)
        member.persistsLeaseCheckpoints = featureGates.isOn(.leaseCheckpointPersist)
        return member
    }
}
