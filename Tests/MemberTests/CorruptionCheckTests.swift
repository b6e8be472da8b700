import Base
import MVCC
import Member
import Testing

private func mine(_ hash: UInt32, compacted: Int64 = -1, revision: Int64 = 10) -> CorruptionCheck.Own {
    CorruptionCheck.Own(
        MemberID(1), KeyValueHash(hash: hash, compactRevision: compacted, revision: revision), applied: LogIndex(20))
}

private func peer(
    _ id: UInt64, _ hash: UInt32, compacted: Int64 = -1, revision: Int64 = 10
) -> PeerHash {
    PeerHash(
        member: MemberID(id),
        answer: .hash(MemberHash(hash: hash, compactRevision: compacted, newestRevision: revision)))
}

private func silent(_ id: UInt64) -> PeerHash { PeerHash(member: MemberID(id), answer: .none("away")) }

private func behind(_ id: UInt64, revision: Int64, applied: UInt64) -> PeerHash {
    PeerHash(
        member: MemberID(id), answer: .futureRevision,
        state: .init(revision: revision, applied: LogIndex(applied), isQuarantined: false))
}

private struct Case: Sendable, CustomTestStringConvertible {
    var testDescription: String
    var own = mine(7)
    var later = mine(7)
    var answers: [PeerHash]
    var members = 3
    /// Member and whether it is proven.
    var expected: [String]
}

/// Who differs, given what the members answered.
@Suite struct CorruptionCheckTests {
    @Test(arguments: [
        Case(testDescription: "all agree", answers: [peer(2, 7), peer(3, 7)], expected: []),
        Case(testDescription: "one of three differs", answers: [peer(2, 8), peer(3, 7)], expected: ["2 proven"]),
        Case(testDescription: "the leader differs", answers: [peer(2, 8), peer(3, 8)], expected: ["1 proven"]),
        Case(testDescription: "three hashes", answers: [peer(2, 8), peer(3, 9)], expected: ["2"]),
        Case(testDescription: "two members", answers: [peer(2, 8)], members: 2, expected: ["2"]),
        Case(
            testDescription: "one of three differs, one is silent", answers: [peer(2, 8), silent(3)], expected: ["2"]),
        Case(testDescription: "nobody answers", answers: [silent(2), silent(3)], expected: []),
        Case(
            testDescription: "two of five differ, each in its way",
            answers: [peer(2, 8), peer(3, 7), peer(4, 9), peer(5, 7)], members: 5,
            expected: ["2 proven", "4 proven"]),
        Case(
            testDescription: "two of five against two, one silent",
            answers: [peer(2, 8), peer(3, 8), peer(4, 7), silent(5)], members: 5, expected: ["2"]),
        Case(
            testDescription: "another compaction is not compared", later: mine(7, compacted: 3),
            answers: [peer(2, 8, compacted: 3), peer(3, 7)], expected: []),
        Case(
            testDescription: "compacted further than the leader", answers: [peer(2, 8, compacted: 3), peer(3, 7)],
            expected: ["2"]),
        Case(
            testDescription: "ahead of the leader", later: mine(7, revision: 11),
            answers: [peer(2, 7, revision: 12), peer(3, 7)], expected: ["2"]),
        Case(
            testDescription: "ahead, and then the leader is, too", later: mine(9, revision: 12),
            answers: [peer(2, 7, revision: 12), peer(3, 7)], expected: []),
        Case(
            testDescription: "the leader's own hash changes", later: mine(8), answers: [peer(2, 7), peer(3, 7)],
            expected: ["1"]),
        Case(
            testDescription: "it changes with the compaction", later: mine(8, compacted: 4),
            answers: [peer(2, 7), peer(3, 7)], expected: []),
    ])
    fileprivate func periodic(_ test: Case) {
        let findings = CorruptionCheck.periodic(
            test.own, later: test.later, test.answers, members: test.members)
        #expect(findings.map { "\($0.member)\($0.isProven ? " proven" : "")" } == test.expected)
    }

    @Test(
        arguments: [
            ("all agree", [peer(2, 7), peer(3, 7)], "agreed"),
            (
                "one has not compacted yet", [peer(2, 7), PeerHash(member: MemberID(3), answer: .futureRevision)],
                "open"
            ),
            ("one has another preceding compaction", [peer(2, 7), peer(3, 9, compacted: 2)], "open"),
            ("one differs", [peer(2, 8), peer(3, 7)], "2"),
            ("the leader differs", [peer(2, 8), peer(3, 8)], "1"),
            ("no two agree", [peer(2, 8), peer(3, 9)], "0"),
            ("one differs and one is silent", [peer(2, 8), silent(3)], "0"),
        ] as [(String, [PeerHash], String)])
    func compaction(_ name: String, _ answers: [PeerHash], _ expected: String) {
        let result =
            switch CorruptionCheck.compaction(mine(7), answers, members: 3) {
            case .agreed: "agreed"
            case .inconclusive: "open"
            case .differ(let findings): findings.map { "\($0.member)" }.joined(separator: " ")
            }
        #expect(result == expected, "\(name)")
    }

    @Test(
        arguments: [
            ("all agree", [peer(2, 7), peer(3, 7)], 3, "confirmed"),
            ("a quorum agrees", [peer(2, 7), peer(3, 8)], 3, "confirmed"),
            ("the others agree on something else", [peer(2, 8), peer(3, 8)], 3, "divergent"),
            ("only one has something else", [peer(2, 8), silent(3)], 3, "unknown"),
            ("all differ", [peer(2, 8), peer(3, 9)], 3, "unknown"),
            ("one of two", [peer(2, 8)], 2, "unknown"),
            ("alone", [], 1, "confirmed"),
            (
                "the others have fewer revisions after as many entries",
                [behind(2, revision: 9, applied: 20), behind(3, revision: 9, applied: 21)], 3, "divergent"
            ),
            (
                "they have not applied as much",
                [behind(2, revision: 9, applied: 19), behind(3, revision: 9, applied: 20)], 3, "unknown"
            ),
        ] as [(String, [PeerHash], Int, String)])
    func itself(_ name: String, _ answers: [PeerHash], _ members: Int, _ expected: String) {
        let result =
            switch CorruptionCheck.own(mine(7), answers, members: members) {
            case .confirmed: "confirmed"
            case .divergent: "divergent"
            case .unknown: "unknown"
            }
        #expect(result == expected, "\(name)")
    }

    @Test func onlyEqualCompactionsKeepAMemberFromStarting() {
        let hash = MemberHash(hash: 7, compactRevision: 3, newestRevision: 10)
        let answers = [
            peer(2, 7, compacted: 3), peer(3, 8, compacted: 3), peer(4, 9, compacted: 4), silent(5),
        ]
        #expect(CorruptionCheck.initial(hash, answers) == [MemberID(3)])
    }
}
