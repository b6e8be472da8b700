import Base
import EtcdProto
import MVCC
import Member
import PeerTransport
import Platform
import PlatformLinux
import Testing

/// What members ask each other when their data may differ.
@Suite(.serialized) struct CorruptionQuestionTests {
    private func pair() async throws -> (TestPeer, TestPeer) {
        let (a, b) = (try await TestPeer(1), try await TestPeer(2))
        a.know(b)
        b.know(a)
        return (a, b)
    }

    private func carry(_ work: CorruptionWork, by peer: TestPeer) {
        var peerWork = PeerWork()
        peerWork.corruption = [work]
        peer.transport.carry(peerWork)
    }

    @Test func hashesComeWithTheMembersState() async throws {
        let (a, b) = try await pair()
        carry(.askHashes(number: 7, revision: 5), by: a)
        let expected = PeerHash(
            member: b.id, answer: .hash(MemberHash(hash: 0, compactRevision: 0, newestRevision: 0)),
            state: .init(revision: 1, applied: .zero, isQuarantined: false))
        #expect(
            await eventually {
                a.host.contains {
                    if case .corruption(.hashes(7, let answers)) = $0 { answers == [expected] } else { false }
                }
            })
        await b.stop()
        carry(.askHashes(number: 8, revision: 5), by: a)
        #expect(
            await eventually {
                a.host.contains {
                    guard case .corruption(.hashes(8, let answers)) = $0, case .none? = answers.first?.answer else {
                        return false
                    }
                    return answers.count == 1 && answers[0].state == nil
                }
            })
        await a.stop()
    }

    @Test(arguments: [SelfFinding.quarantined, .confirmed, .unknown])
    func theAccusedAnswers(finding: SelfFinding) async throws {
        let (a, b) = try await pair()
        carry(.accuse(b.id), by: a)
        #expect(await eventually { b.host.contains { if case .corruption(.accused(1)) = $0 { true } else { false } } })
        carry(.answerAccusation(number: 1, finding), by: b)
        #expect(
            await eventually {
                a.host.contains {
                    guard case .corruption(.accusationAnswered(let member, let answer)) = $0 else { return false }
                    return member == b.id && answer == finding
                }
            })
        await b.stop()
        carry(.accuse(b.id), by: a)
        #expect(
            await eventually {
                a.host.contains { if case .corruption(.accusationAnswered(_, nil)) = $0 { true } else { false } }
            })
        await a.stop()
    }

    @Test func aDatabaseIsFetchedFromTheFirstThatGivesIt() async throws {
        let (a, b) = try await pair()
        let file = try BackendFile.open("\(b.directory)/db", on: LinuxDisk())
        b.host.give { try file.beginCopy(named: "test") }
        let copy = try file.beginCopy(named: "test")
        let expected = try copy.read(at: 0, count: Int(copy.size))
        copy.close()
        carry(.fetchDatabase(from: [MemberID(9), b.id]), by: a)
        let path = try #require(await a.fetchedDatabase())
        let fetched = try LinuxDisk().open(path, .read)
        #expect(try fetched.size() == Int64(expected.count))
        try fetched.close()
        // The name is one that a start removes.
        #expect(a.files.contains { $0.hasPrefix("tmp") })
        let opened = try BackendFile.open(path, on: LinuxDisk())
        #expect(try opened.check().isEmpty)
        try opened.close()

        b.host.give(nil)
        carry(.fetchDatabase(from: [b.id]), by: a)
        #expect(
            await eventually {
                a.host.contains { if case .corruption(.databaseFetched(.failure)) = $0 { true } else { false } }
            })
        try file.close()
        await a.stop()
        await b.stop()
    }
}
