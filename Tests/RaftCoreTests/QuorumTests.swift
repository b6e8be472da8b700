import Base
import RaftCore
import Testing

/// Quorums against the plain definition: more than half.
@Suite("Quorums") struct QuorumTests {
    static func random(_ random: inout SeededGenerator, upTo count: Int) -> MajorityConfig {
        MajorityConfig((0..<random.next(below: count + 1)).map { _ in MemberID(UInt64(1 + random.next(below: 15))) })
    }

    static func expected(_ config: MajorityConfig, _ acknowledged: [MemberID: LogIndex]) -> LogIndex {
        if config.isEmpty { return .max }
        let reached = config.ids.map { acknowledged[$0] ?? .zero }
        return reached.filter { index in reached.count { $0 >= index } > reached.count / 2 }.max() ?? .zero
    }

    static func expected(_ config: MajorityConfig, _ votes: [MemberID: Bool]) -> VoteResult {
        let granted = config.ids.count { votes[$0] == true }
        let denied = config.ids.count { votes[$0] == false }
        if config.isEmpty || granted > config.count / 2 { return .won }
        return granted + (config.count - granted - denied) > config.count / 2 ? .pending : .lost
    }

    @Test func agreeWithTheDefinition() {
        var random = SeededGenerator(seed: 1)
        for _ in 0..<20_000 {
            let a = Self.random(&random, upTo: 11)
            let b = Self.random(&random, upTo: 5)
            var acknowledged: [MemberID: LogIndex] = [:]
            var votes: [MemberID: Bool] = [:]
            for id in (1...15).map({ MemberID(UInt64($0)) }) where random.chance(2, in: 3) {
                acknowledged[id] = LogIndex(UInt64(random.next(below: 6)))
                votes[id] = random.chance(1, in: 2)
            }
            let joint = JointConfig(incoming: a, outgoing: b)
            #expect(a.committedIndex { acknowledged[$0] } == Self.expected(a, acknowledged))
            #expect(a.voteResult { votes[$0] } == Self.expected(a, votes))
            #expect(
                joint.committedIndex { acknowledged[$0] }
                    == min(Self.expected(a, acknowledged), Self.expected(b, acknowledged)))
            let halves = [Self.expected(a, votes), Self.expected(b, votes)]
            let result: VoteResult =
                halves.contains(.lost) ? .lost : halves.allSatisfy { $0 == .won } ? .won : .pending
            #expect(joint.voteResult { votes[$0] } == result)
        }
    }

    @Test func idsAreSorted() {
        let a = MajorityConfig([3, 1, 3, 2].map { MemberID($0) })
        #expect(a.ids == [1, 2, 3].map { MemberID($0) })
        let joint = JointConfig(incoming: a, outgoing: MajorityConfig([MemberID(9), MemberID(1)]))
        #expect(joint.ids == [1, 2, 3, 9].map { MemberID($0) })
        #expect(joint.isJoint && joint.contains(MemberID(9)) && !joint.contains(MemberID(4)))
    }
}
