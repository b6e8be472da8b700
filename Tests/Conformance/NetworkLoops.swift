import NIOCore
import NIOPosix
import Synchronization
import TestSupport

/// Event loops whose threads live in a test's network, so that the sockets they open are there.
enum NetworkLoops {
    private static let groups = Mutex<[String: MultiThreadedEventLoopGroup]>([:])

    static func loop(in network: TestNetwork) async throws -> any EventLoop {
        if let group = groups.withLock({ $0[network.name] }) { return group.any() }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        try await group.any().submit { try network.enter() }.get()
        let other = groups.withLock { groups -> MultiThreadedEventLoopGroup? in
            if groups[network.name] == nil { groups[network.name] = group }
            return groups[network.name]
        }
        if other !== group { try await group.shutdownGracefully() }
        return (other ?? group).any()
    }

    static func end(_ network: TestNetwork) async {
        let group = groups.withLock { $0.removeValue(forKey: network.name) }
        try? await group?.shutdownGracefully()
    }
}
