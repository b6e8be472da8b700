import Base
import RaftCore
import Testing

/// How long a cluster is without a leader, with the options for prompt elections and, as the control, without.
@Suite("Election times") struct ElectionTimeTests {
    private static let members = [3, 5]
    private static let seeds = 1...8 as ClosedRange<UInt64>
    /// The kernel sends nothing more when acknowledgements stay away for so long.
    private static let untilTheKernelStops = ElectionRace.Fault.deaf(heardFor: 220_000...400_000)
    private static let forEver = ElectionRace.Fault.deaf(heardFor: 1_000_000_000...1_000_000_001)

    private static func outcomes(
        _ fault: ElectionRace.Fault, members: Int, foreign: Set<Int> = []
    ) throws -> [ElectionRace.Outcome] {
        try seeds.map { seed in
            var options = ElectionRace.Options()
            options.members = members
            options.foreign = foreign
            options.seed = seed
            var race = try ElectionRace(options)
            return try race.lose(fault)
        }
    }

    /// The longest time of several, in hundredths of an election timeout.
    private static func longest(_ outcomes: [ElectionRace.Outcome]) -> Int {
        (outcomes.map(\.time).max() ?? 0) / 10_000
    }

    @Test("A leader that falls silent is replaced without waiting for a drawn time", arguments: members)
    func silent(members: Int) throws {
        let prompt = try Self.outcomes(.silenced, members: members)
        #expect(Self.longest(prompt) <= 160)
        #expect(prompt.allSatisfy { $0.terms == 1 && ($0.steppedDown ?? 0) <= 1_600_000 })
        let drawn = try Self.outcomes(.silenced, members: members, foreign: Set(0..<members))
        #expect(Self.longest(drawn) > Self.longest(prompt))
    }

    @Test("A leader that hears nobody is replaced within two election timeouts, be it heard or not", arguments: members)
    func deaf(members: Int) throws {
        #expect(Self.longest(try Self.outcomes(Self.untilTheKernelStops, members: members)) <= 190)
        #expect(Self.longest(try Self.outcomes(Self.forEver, members: members)) <= 160)
        let drawn = try Self.outcomes(Self.forEver, members: members, foreign: Set(0..<members))
        #expect(Self.longest(drawn) > 200)
    }

    @Test("Beside members that draw their times nothing takes longer than among these alone", arguments: members)
    func mixed(members: Int) throws {
        for foreign in [Set([0]), Set(1..<members)] {
            #expect(Self.longest(try Self.outcomes(.silenced, members: members, foreign: foreign)) <= 210)
        }
    }

    @Test("Turns begin with the voter after the leader, and end before a drawn time could")
    func turns() {
        let voters = [2, 4, 6, 8, 10].map { MemberID($0) }
        func timeouts(_ leader: UInt64, _ ticks: Int) -> [Int?] {
            voters.filter { $0 != MemberID(leader) }.map {
                ElectionTurn(of: $0, after: MemberID(leader), among: voters).timeout(electionTicks: ticks)
            }
        }
        #expect(timeouts(2, 20) == [21, 24, 27, 30])
        #expect(timeouts(6, 20) == [27, 30, 21, 24])
        #expect(timeouts(10, 20) == [21, 24, 27, 30])
        // Less room than they would take.
        #expect(timeouts(2, 10) == [11, 13, 16, 19])
        #expect(timeouts(2, 5) == [6, 7, 8, 9])
        #expect(timeouts(2, 4) == [nil, nil, nil, nil])
        // A leader that is no voter any more.
        #expect(ElectionTurn(of: MemberID(6), after: MemberID(5), among: voters).place == 0)
        #expect(ElectionTurn(of: MemberID(4), after: MemberID(5), among: voters).place == 4)
    }

    @Test("A leader that hears no quorum for an election timeout gives up with a last word to who has most of the log")
    func lastWord() throws {
        var cluster = try MiniCluster(3) {
            $0.checkQuorum = true
            $0.checksQuorumEachTick = true
        }
        try cluster.elect(1)
        // Node 3 has an entry that node 2 has not.
        cluster.loses = { $0.to == MemberID(2) }
        try cluster[1].propose([1])
        try cluster.settle()
        cluster.loses = { $0.to == MemberID(1) }
        for tick in 1...10 {
            #expect(cluster[1].isLeader, "tick \(tick)")
            cluster[1].tick()
            if tick < 10 { try cluster.settle() }
        }
        #expect(!cluster[1].isLeader)
        try cluster.work(1)
        #expect(cluster.network.filter { $0.type == .timeoutNow }.map(\.to) == [MemberID(3)])
        try cluster.settle()
        #expect(cluster[3].isLeader)
    }

    @Test("A leader leads on as long as one quorum or another answers within an election timeout")
    func alternatingQuorum() throws {
        var cluster = try MiniCluster(3) {
            $0.checkQuorum = true
            $0.checksQuorumEachTick = true
        }
        try cluster.elect(1)
        for round in 0..<10 {
            let silent = MemberID(round % 2 == 0 ? 2 : 3)
            cluster.loses = { $0.from == silent }
            for _ in 0..<9 { cluster[1].tick() }
            try cluster.settle()
            #expect(cluster[1].isLeader, "round \(round)")
        }
    }

    @Test("To check at each tick what is not checked makes no sense")
    func refusedOption() {
        var config = Config(id: MemberID(1))
        config.checksQuorumEachTick = true
        #expect(throws: ConfigError.eachTickWithoutCheckQuorum) { try config.validate() }
        config.checkQuorum = true
        #expect(throws: Never.self) { try config.validate() }
    }
}
