import Base
import RaftCore
import Synchronization
import Testing

/// What a leader sends to a peer that comes back and answers all the heartbeats that have waited for it.
@Suite("Probes") struct ProbeTests {
    private static let missed = 20
    private static let heartbeats = 8

    private final class Count: Sendable {
        let entries = Mutex(0)
    }

    /// Node 3 misses entries, and hears of its leader by heartbeats that all come at once.
    /// - Returns: how many entries it is sent until it has them all.
    private func entriesSent(repeatsProbesEmpty: Bool, configure: (inout Config) -> Void = { _ in }) throws -> Int {
        let back = MemberID(3)
        var cluster = try MiniCluster(3) {
            $0.repeatsProbesEmpty = repeatsProbesEmpty
            configure(&$0)
        }
        cluster.loses = { $0.to == back }
        try cluster.elect(1)
        for _ in 0..<Self.missed { try cluster[1].propose([1]) }
        try cluster.settle()
        #expect(cluster[1].committed == cluster[1].lastIndex)
        var late: [Message] = []
        for _ in 0..<Self.heartbeats {
            cluster[1].tick()
            try cluster.work(1)
            late += cluster.network.filter { $0.to == back && $0.type == .heartbeat }
            try cluster.settle()
        }
        #expect(late.count == Self.heartbeats)
        let count = Count()
        cluster.loses = { message in
            if message.to == back { count.entries.withLock { $0 += message.entries.count } }
            return false
        }
        cluster.network += late
        try cluster.settle()
        #expect(cluster[3].lastIndex == cluster[1].lastIndex)
        cluster[1].tick()
        try cluster.settle()
        #expect(cluster[3].committed == cluster[1].committed)
        return count.entries.withLock { $0 }
    }

    @Test("A peer that comes back gets what it lacks once, however many heartbeats it answers")
    func burstOfAnswers() throws {
        // The new leader's empty entry, too.
        #expect(try entriesSent(repeatsProbesEmpty: true) == Self.missed + 1)
    }

    @Test("Without the option each of the answers brings it everything once more, as in etcd")
    func control() throws {
        #expect(try entriesSent(repeatsProbesEmpty: false) >= Self.heartbeats * (Self.missed + 1))
    }

    @Test("The same through a window of one message of one entry")
    func narrowWindow() throws {
        let sent = try entriesSent(repeatsProbesEmpty: true) {
            $0.maxSizePerMessage = 0
            $0.maxInflightMessages = 1
        }
        #expect(sent == Self.missed + 1)
    }
}
