import Base
import RaftCore
import Testing

/// What bounds messages, memory and proposals, and what is over a bound is answered with.
@Suite("Limits") struct LimitTests {
    static func payload(_ i: Int, size: Int = 20) -> [UInt8] { [UInt8](repeating: UInt8(i), count: size) }

    @Test func messagesArePaged() throws {
        let entry = Entry(term: Term(1), index: LogIndex(3), data: Self.payload(0)).encodedSize
        for (limit, most) in [(0, 1), (entry, 1), (3 * entry, 3), (noLimit, 12)] {
            var cluster = try MiniCluster(2) { $0.maxSizePerMessage = limit }
            try cluster.elect(1)
            cluster.loses = { $0.to == MemberID(2) }
            for i in 0..<12 { try cluster[1].propose(Self.payload(i)) }
            try cluster.settle()
            cluster.loses = { _ in false }
            cluster[1].reportUnreachable(MemberID(2))
            cluster[1].tick()
            var largest = 0
            for _ in 0..<40 {
                for i in 1...2 { try cluster.work(i) }
                largest = max(largest, cluster.network.map(\.entries.count).max() ?? 0)
                let batch = cluster.network
                cluster.network = []
                for message in batch { try cluster[Int(message.to.rawValue)].step(message) }
            }
            #expect(largest == most, "at most \(limit) bytes")
            #expect(cluster[2].committed == cluster[1].committed)
        }
    }

    @Test func flightIsBounded() throws {
        for (messages, bytes, expected) in [(3, UInt64(0), 3), (100, 50, 3), (100, 0, 10)] {
            var cluster = try MiniCluster(2) {
                $0.maxInflightMessages = messages
                $0.maxInflightBytes = bytes
                $0.maxSizePerMessage = 0
            }
            try cluster.elect(1)
            for i in 0..<10 { try cluster[1].propose(Self.payload(i)) }
            let appends = cluster[1].ready().messages.filter { $0.type == .append && !$0.entries.isEmpty }
            #expect(appends.count == expected, "\(messages) messages, \(bytes) bytes")
            let progress = try #require(cluster[1].status.progress[MemberID(2)])
            #expect(progress.inflightCount == expected && progress.isPaused == (expected < 10))
        }
    }

    @Test(arguments: [false, true]) func applyingIsBounded(asynchronous: Bool) throws {
        let size = Entry(term: Term(1), index: LogIndex(3), data: Self.payload(0)).encodedSize
        var cluster = try MiniCluster(1) {
            $0.asyncStorageWrites = asynchronous
            $0.maxCommittedSizePerReady = 2 * size
        }
        try cluster.elect(1)
        for i in 0..<9 { try cluster[1].propose(Self.payload(i)) }
        var handedOut: [Int] = []
        while cluster[1].hasReady {
            let before = cluster.applied[0].count
            try cluster.work(1)
            handedOut.append(cluster.applied[0].count - before)
        }
        #expect(handedOut.max() == 2)
        #expect(cluster.applied[0].suffix(9).map(\.data) == (0..<9).map { Self.payload($0) })
    }

    @Test func uncommittedPayloadIsBounded() throws {
        var cluster = try MiniCluster(3) { $0.maxUncommittedSize = 100 }
        try cluster.elect(1)
        // One is admitted however large it is.
        try cluster[1].propose(Self.payload(1, size: 500))
        #expect(throws: ProposalError.uncommittedSizeExceeded(limit: 100)) { try cluster[1].propose(Self.payload(2)) }
        // What has no payload always passes: the entry of a new leader, the end of a joint configuration.
        try cluster[1].propose([])
        try cluster.settle()
        for i in 0..<5 { try cluster[1].propose(Self.payload(i)) }
        #expect(throws: ProposalError.uncommittedSizeExceeded(limit: 100)) { try cluster[1].propose(Self.payload(6)) }
    }

    @Test func proposalsAreRefusedWithAReason() throws {
        var cluster = try MiniCluster(3) { $0.disableProposalForwarding = true }
        #expect(throws: ProposalError.noLeader(term: Term(1))) { try cluster[1].propose([1]) }
        try cluster.elect(1)
        #expect(throws: ProposalError.forwardingDisabled(leader: MemberID(1))) { try cluster[2].propose([1]) }
        #expect(throws: ProposalError.empty) { try cluster[1].propose(contentsOf: [] as [[UInt8]]) }
        cluster.loses = { $0.type == .timeoutNow }
        cluster[1].transferLeadership(to: MemberID(2))
        #expect(throws: ProposalError.transferInProgress(to: MemberID(2))) { try cluster[1].propose([1]) }
        #expect(cluster[1].basicStatus.transferee == MemberID(2))
        // The transfer is given up after an election timeout.
        for _ in 0..<10 { cluster[1].tick() }
        try cluster[1].propose([1])
        try cluster.settle()
        try cluster[1].proposeConfChange(ConfChange(type: .removeNode, nodeID: MemberID(1)))
        try cluster.settle()
        #expect(cluster[1].isLeader)
        #expect(throws: ProposalError.removed) { try cluster[1].propose([1]) }
        cluster[3].campaign()
        #expect(throws: ProposalError.noLeader(term: Term(3))) { try cluster[3].propose([1]) }
    }

    @Test func forwardedProposalsArrive() throws {
        var cluster = try MiniCluster(3)
        try cluster.elect(1)
        try cluster[3].propose(contentsOf: [[5], [6]])
        try cluster.settle()
        for i in 0..<3 { #expect(cluster.applied[i].suffix(2).map(\.data) == [[5], [6]]) }
    }
}
