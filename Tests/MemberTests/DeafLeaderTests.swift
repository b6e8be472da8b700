import Base
import EtcdProto
import Member
import Platform
import PlatformSim
import Testing

/// A leader that nobody's messages reach, or that is cut off altogether, in virtual time.
@Suite("A leader without a quorum") struct DeafLeaderTests {
    private static let electionTimeout = SimulatedMember.configuration().electionTimeout
    private static let tick = SimulatedMember.configuration().heartbeatInterval

    private func started(_ count: Int, seed: UInt64) throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(count, seed: seed)
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } && $0.leader != nil }, "seed \(seed)")
        return cluster
    }

    @Test("It is replaced when it has heard no quorum for an election timeout", arguments: [3, 5])
    func deafLeaderIsReplaced(count: Int) throws {
        for seed in 1...5 as ClosedRange<UInt64> {
            let cluster = try started(count, seed: seed)
            let leader = try #require(cluster.leader)
            cluster.deaf = [leader]
            let replaced = try cluster.run(upTo: Self.electionTimeout + Self.tick * 2) { cluster in
                (0..<count).contains { $0 != leader && cluster[$0].core.isLeader }
            }
            #expect(replaced, "seed \(seed)")
            #expect(!cluster[leader].core.isLeader, "seed \(seed)")
        }
    }

    @Test("What it was asked for is answered then, not when the request's time is over", arguments: [false, true])
    func itsClientsAreAnswered(isCutOff: Bool) throws {
        for seed in 1...5 as ClosedRange<UInt64> {
            let cluster = try started(3, seed: seed)
            let leader = try #require(cluster.leader)
            if isCutOff { cluster.cutOff = [leader] } else { cluster.deaf = [leader] }
            cluster[leader].post([
                ClientRequest(
                    ticket: 7, body: try KV.put("key", "value"), deadline: cluster.clock.now() + .seconds(60))
            ])
            var answer: Result<[UInt8], EtcdError>?
            _ = try cluster.run(upTo: Self.electionTimeout + Self.tick * 2) { cluster in
                answer = cluster[leader].takeResponse(7)
                return answer != nil
            }
            #expect(answer == .failure(.timeoutDueToConnectionLost), "seed \(seed)")
        }
    }

    @Test("A leader that hands over answers what it was asked for before", arguments: 1...5 as ClosedRange<UInt64>)
    func handingOverRefusesNothing(seed: UInt64) throws {
        let cluster = try started(3, seed: seed)
        let leader = try #require(cluster.leader)
        cluster[leader].post([
            ClientRequest(ticket: 7, body: try KV.put("key", "value"), deadline: cluster.clock.now() + .seconds(5))
        ])
        cluster[leader].leave()
        var answer: Result<[UInt8], EtcdError>?
        _ = try cluster.run(upTo: .seconds(6)) { cluster in
            answer = cluster[leader].takeResponse(7)
            return answer != nil
        }
        guard case .success = answer else {
            Issue.record("seed \(seed): \(String(describing: answer))")
            return
        }
    }
}
