import Base
import MVCC
import Member
import Platform
import Testing

/// Members for which the hash over what entries did is no reason to stop serving.
@Suite struct RollingHashSwitchTests {
    private func started(isOn: Bool) throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(3) { $0.quarantinesByRollingHash = isOn }
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        return cluster
    }

    /// Finishes a window of entries, and has a member hear that they had other effects on both others.
    private func outvote(_ odd: Int, _ cluster: SimulatedCluster) throws {
        let window = try finishWindow(at: odd, cluster)
        let other = EffectsAccount(windows: [EffectsHash.Window(index: window.index, hash: window.hash ^ 1)])
        for i in 0..<3 where i != odd { cluster[odd].receive(.effects(of: cluster.id(i), other)) }
        #expect(try cluster.run { $0[odd].core.divergenceSuspects == [$0.id(odd)] }, "it is told in any case")
    }

    private func letTimePass(_ cluster: SimulatedCluster) throws {
        let end = cluster.clock.now() + .seconds(30)
        #expect(try cluster.run(upTo: .seconds(60)) { $0.clock.now() >= end })
    }

    @Test(arguments: [true, false]) func whoIsOutvotedServesOn(isOn: Bool) throws {
        let cluster = try started(isOn: isOn)
        let odd = (try #require(cluster.leader) + 1) % 3
        try outvote(odd, cluster)
        try letTimePass(cluster)
        #expect((cluster[odd].core.quarantine?.evidence == .effects) == isOn)
        #expect((cluster[odd].core.quarantine == nil) == !isOn)
        // Its rows have been compared, with the others' consent.
        #expect(cluster[odd].core.statistics().corruptionChecks > 0)
    }

    /// What really differs is found by its rows at once, with no other check on.
    @Test func rowsDecide() throws {
        let cluster = try started(isOn: false)
        let odd = (try #require(cluster.leader) + 1) % 3
        try put("k", "v", at: odd, cluster)
        try cluster.stop(odd)
        try cluster.alter(odd)
        try cluster.restart(odd)
        #expect(try cluster.run { $0[odd].isReady && $0.leader != nil })
        try outvote(odd, cluster)
        #expect(try cluster.run(upTo: .seconds(3)) { $0[odd].core.quarantine?.evidence == .rows })
    }

    /// A quarantine that began before lasts until a majority has the same rows.
    @Test(arguments: [false, true]) func aRestartWithTheSwitchOffEndsIt(differs: Bool) throws {
        let cluster = try started(isOn: true)
        let odd = (try #require(cluster.leader) + 1) % 3
        try outvote(odd, cluster)
        #expect(cluster[odd].core.quarantine?.evidence == .effects)
        try letTimePass(cluster)
        try cluster.stop(odd)
        if differs { try cluster.alter(odd) }
        cluster.configure(odd) { $0.quarantinesByRollingHash = false }
        try cluster.restart(odd)
        #expect(cluster[odd].core.quarantine?.evidence == .rows)
        #expect(try cluster.run(upTo: .seconds(60)) { $0[odd].core.quarantine == nil } == !differs)
    }
}
