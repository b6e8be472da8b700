internal import ClientAPI
internal import Logging
internal import Member
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
    /// - Parameters:
    ///   - onReady: called once, when clients may be served.
    ///   - onFailure: called once, with the reason, when the member cannot go on.
    static func start(
        _ configuration: ServerConfiguration, _ logger: Logger, onReady: @escaping @Sendable () -> Void,
        onFailure: @escaping @Sendable (String) -> Void
    ) throws -> any RunningMember {
        let member = try configuration.member
        let disk = LinuxDisk()
        if configuration.initialClusterState == "existing", try !disk.exists(member.effectiveWALDirectory) {
            throw ValueError(
                "--initial-cluster-state=existing without data in \(member.dataDirectory): Martlet cannot join an "
                    + "existing cluster yet")
        }
        let platform = MemberPlatform(
            disk: disk, clock: LinuxClock(), threads: LinuxThreads(), entropy: LinuxEntropy(),
            passwords: LinuxPasswords())
        return try MemberLoop.start(
            member, on: platform, logger: logger, onReady: onReady, onFailure: { onFailure($0.description) })
    }
}

extension ServerConfiguration {
    /// The part that concerns the member. Sizes fit: validation has bounded them.
    var member: MemberConfiguration {
        get throws(ValueError) {
            var member = MemberConfiguration()
            member.name = name
            member.dataDirectory = resolvedDataDirectory
            member.walDirectory = walDirectory.isEmpty ? nil : walDirectory
            member.peerURLs = initialAdvertisePeerURLs.map(\.description)
            member.clientURLs = advertiseClientURLs.map(\.description)
            member.initialCluster = try InitialCluster.parse(resolvedInitialCluster).map {
                FoundingMember(name: $0.name, peerURL: $0.url.description)
            }
            member.initialClusterToken = initialClusterToken
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
            return member
        }
    }
}
