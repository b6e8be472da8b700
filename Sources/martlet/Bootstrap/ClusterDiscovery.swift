package import Base
package import Logging

/// What discovery asks of the service.
package protocol DiscoveryService: Sendable {
    /// The rows under a key, or under all keys that begin with it.
    func rows(_ key: String, isPrefix: Bool) async throws(DiscoveryFailure) -> [DiscoveryRegistry.Row]
    func put(_ key: String, _ value: String) async throws(DiscoveryFailure)
}

/// Registers a member with a discovery service, and waits until all that found the cluster with it have done so.
package struct ClusterDiscovery: Sendable {
    /// Attempts after the first that are made while the service does not answer.
    package static let maxRetries = 8
    /// Between two looks at who has come: at first, and at the longest.
    package static let pollInterval = Duration.milliseconds(250)
    package static let longestPollInterval = Duration.seconds(2)

    private let registry: DiscoveryRegistry
    private let service: any DiscoveryService
    private let logger: Logger
    private let sleep: @Sendable (Duration) async throws -> Void

    /// - Parameter sleep: how to wait; tests do not.
    package init(
        token: String, service: any DiscoveryService, logger: Logger,
        sleep: @escaping @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
    ) {
        registry = DiscoveryRegistry(token: token)
        self.service = service
        self.logger = logger
        self.sleep = sleep
    }

    private struct Cluster {
        var size: Int
        var members: [DiscoveryRegistry.Row]
    }

    /// Registers the member with an ID, unless the cluster is full without it, and waits for the others.
    /// - Parameter value: `name=URL,name=URL`.
    /// - Returns: the founding members, first come first.
    /// - Throws: `DiscoveryFailure`, or what `sleep` throws.
    package func join(_ id: MemberID, as value: String) async throws -> [InitialCluster.Pair] {
        _ = try await look(for: id)
        let key = registry.memberKey(id)
        try await retrying("register member itself") { () throws(DiscoveryFailure) in
            try await service.put(key, value)
        }
        logger.info(
            "register member itself successfully", metadata: ["memberKey": "\(key)", "memberInfo": "\(value)"])
        var cluster = try await look(for: id)
        var interval = Self.pollInterval
        var reported = -1
        while cluster.members.count < cluster.size {
            if cluster.members.count != reported {
                reported = cluster.members.count
                interval = Self.pollInterval
                logger.info(
                    "waiting for peers from discovery service",
                    metadata: ["clusterSize": "\(cluster.size)", "found-peers": "\(reported)"])
            }
            try await sleep(interval)
            interval = min(interval * 2, Self.longestPollInterval)
            cluster = try await look(for: id)
        }
        logger.info(
            "found all needed peers from discovery service",
            metadata: ["clusterSize": "\(cluster.size)", "found-peers": "\(cluster.members.count)"])
        return try registry.initialCluster(cluster.members, size: cluster.size)
    }

    /// Who has come, and whether there is a place for the member.
    private func look(for id: MemberID) async throws -> Cluster {
        try await retrying("cluster status check") { () throws(DiscoveryFailure) in
            let size = try registry.size(try await service.rows(registry.sizeKey, isPrefix: false).first?.value)
            let (members, strays) = registry.members(try await service.rows(registry.membersPrefix, isPrefix: true))
            for stray in strays {
                logger.warning(
                    "invalid peer info returned from discovery service",
                    metadata: ["memberKey": "\(stray.key)", "memberInfo": "\(stray.value)"])
            }
            try registry.checkPlace(of: id, among: members, size: size)
            return Cluster(size: size, members: members)
        }
    }

    /// Repeats a step while the service is unavailable, after 2, 4, 8, … seconds.
    private func retrying<Result>(_ step: String, _ body: () async throws(DiscoveryFailure) -> Result) async throws
        -> Result
    {
        var retries = 0
        while true {
            do throws(DiscoveryFailure) {
                return try await body()
            } catch {
                guard case .unavailable(let reason) = error else { throw error }
                guard retries < Self.maxRetries else { throw DiscoveryFailure.tooManyRetries(reason) }
                retries += 1
                let backoff = Duration.seconds(1 << retries)
                logger.warning(
                    "retry connecting to discovery service",
                    metadata: [
                        "reason": "\(step)", "error": "\(reason)", "backoff": "\(GoDuration.format(backoff))",
                        "retry": "\(retries)", "max-retries": "\(Self.maxRetries)",
                    ])
                try await sleep(backoff)
            }
        }
    }
}
