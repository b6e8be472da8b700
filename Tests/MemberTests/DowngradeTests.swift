import Base
import EtcdProto
import Foundation
import Member
import Membership
import Platform
import PlatformSim
import RaftCore
import SwiftProtobuf
import Testing

/// The way to the minor version below, in whole clusters in virtual time.
@Suite struct DowngradeTests {
    private typealias Action = Etcdserverpb_DowngradeRequest.DowngradeAction

    private func started(configure: (inout MemberConfiguration) -> Void = { _ in }) throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(3, configure: configure)
        #expect(
            try cluster.run {
                $0.members.allSatisfy { $0?.isReady ?? false && $0?.core.statistics().clusterVersion == "3.7.0" }
            })
        return cluster
    }

    private func ask(
        _ action: Action, _ version: String = "", at i: Int, _ cluster: SimulatedCluster
    ) throws -> Result<String, EtcdError> {
        let request = Etcdserverpb_DowngradeRequest.with {
            $0.action = action
            $0.version = version
        }
        cluster[i].post([ClientRequest(ticket: 3, body: .downgrade(try request.serializedBytes()))])
        #expect(try cluster.run { $0[i].responses[3] != nil })
        return try #require(cluster[i].takeResponse(3)).map { (bytes: [UInt8]) -> String in
            let response = try? Etcdserverpb_DowngradeResponse(serializedBytes: bytes)
            return response?.header.memberID == cluster.id(i).rawValue ? response?.version ?? "" : "no header"
        }
    }

    private func all(_ cluster: SimulatedCluster, _ matches: (MemberStatistics) -> Bool) -> Bool {
        cluster.members.allSatisfy { $0.map { matches($0.core.statistics()) } ?? false }
    }

    @Test func theLeaderLowersTheVersions() throws {
        let cluster = try started()
        #expect(try ask(.validate, "3.6", at: 0, cluster) == .success("3.7"))
        #expect(all(cluster) { !$0.isDowngrading && $0.clusterVersion == "3.7.0" })
        #expect(try ask(.enable, "3.6.0", at: 1, cluster) == .success("3.7"))
        #expect(try cluster.run(upTo: .seconds(10)) { all($0) { $0.clusterVersion == "3.6.0" } })
        #expect(try cluster.run(upTo: .seconds(10)) { all($0) { $0.storageVersion == "3.6.0" } })
        #expect(all(cluster) { $0.isDowngrading })
        for i in 0..<3 { expectSnapshotBeforeLowering(cluster[i]) }
        #expect(try ask(.enable, "3.5", at: 2, cluster) == .failure(.downgradeInProgress))
        #expect(try ask(.validate, "3.5", at: 0, cluster) == .failure(.downgradeInProgress))

        // It is remembered, and whoever leads then does not go back.
        for i in 0..<3 { cluster.crash(i, .loseUnsynced) }
        for i in 0..<3 { try cluster.restart(i) }
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        let end = cluster.clock.now() + .seconds(10)
        #expect(try cluster.run { $0.clock.now() >= end })
        #expect(all(cluster) { $0.isDowngrading && $0.clusterVersion == "3.6.0" && $0.storageVersion == "3.6.0" })

        #expect(try ask(.cancel, at: 1, cluster) == .success("3.6"))
        #expect(try cluster.run { all($0) { !$0.isDowngrading } })
        // One more step; 3.5 knows no version of the storage.
        #expect(try ask(.enable, "3.5", at: 1, cluster) == .success("3.6"))
        #expect(
            try cluster.run(upTo: .seconds(10)) {
                all($0) { $0.clusterVersion == "3.5.0" && $0.storageVersion == "3.5.0" }
            })
        #expect(try ask(.cancel, at: 0, cluster) == .success("3.5"))
        #expect(try ask(.enable, "3.4", at: 0, cluster) == .failure(.invalidDowngradeTarget))
    }

    /// An older program begins at the last snapshot, and ends at an entry that says a version above its own.
    private func expectSnapshotBeforeLowering(_ member: SimulatedMember) {
        let news = member.lines.map(\.message)
        guard let saved = news.lastIndex(of: "saved snapshot"),
            let lowered = news.lastIndex(of: "updated storage version"),
            let ready = news.lastIndex(of: "The server is ready to downgrade")
        else {
            Issue.record("no snapshot or no lowering in \(news)")
            return
        }
        #expect(saved < lowered && lowered < ready)
    }

    /// The power fails after the version of the cluster was lowered and before the schema was: that is made up for.
    @Test func powerFailsInTheMiddle() throws {
        let cluster = try started { $0.snapshotCount = 10_000 }
        #expect(try ask(.enable, "3.6", at: 0, cluster) == .success("3.7"))
        #expect(
            try cluster.run {
                $0.members.contains { member in
                    let figures = member?.core.statistics()
                    return figures?.clusterVersion == "3.6.0" && figures?.storageVersion == "3.7.0"
                }
            })
        for i in 0..<3 { cluster.crash(i, .keepUnsynced) }
        for i in 0..<3 { try cluster.restart(i) }
        #expect(try cluster.run { all($0) { $0.clusterVersion == "3.6.0" && $0.storageVersion == "3.6.0" } })
        for i in 0..<3 { expectSnapshotBeforeLowering(cluster[i]) }
    }

    /// The same before the backend ever said its version, which it does some seconds after the founding.
    @Test func powerFailsBeforeTheStorageHadAVersion() throws {
        let cluster = try started { $0.snapshotCount = 10_000 }
        let leader = try #require(cluster.leader)
        let follower = (leader + 1) % 3
        #expect(cluster[follower].core.statistics().storageVersion == "3.5.0", "the control: there is no field yet")
        #expect(try ask(.enable, "3.6", at: leader, cluster) == .success("3.7"))
        #expect(try cluster.run { $0[follower].core.statistics().clusterVersion == "3.6.0" })
        // The backend commits; the snapshot that is to come first does not get to the disk.
        cluster.stalled = [follower]
        let end = cluster.clock.now() + .seconds(1)
        #expect(try cluster.run { $0.clock.now() >= end })
        #expect(!cluster[follower].lines.contains { $0.message == "saved snapshot" }, "the control: it is too late")
        cluster.crash(follower, .loseUnsynced)
        cluster.stalled = []
        try cluster.restart(follower)
        #expect(try cluster.run { all($0) { $0.clusterVersion == "3.6.0" && $0.storageVersion == "3.6.0" } })
        expectSnapshotBeforeLowering(cluster[follower])
    }

    /// A member that was away gets the downgrade with the leader's state, not from the log.
    @Test func aSnapshotTellsOfIt() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let away = (leader + 1) % 3
        cluster.cutOff = [away]
        #expect(try ask(.enable, "3.6", at: leader, cluster) == .success("3.7"))
        for n in 0..<60 {
            cluster[leader].post([ClientRequest(ticket: 1, body: try KV.put("k\(n)", "v"))])
            #expect(try cluster.run { $0[leader].takeResponse(1) != nil })
        }
        #expect(!cluster[away].core.statistics().isDowngrading)
        cluster.cutOff = []
        #expect(try cluster.run { $0[away].core.statistics().isDowngrading })
        #expect(cluster.snapshotsSent > 0)
        #expect(try cluster.run { all($0) { $0.clusterVersion == "3.6.0" && $0.storageVersion == "3.6.0" } })
        // It goes on from there by itself, too.
        cluster.crash(away, .loseUnsynced)
        try cluster.restart(away)
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        #expect(cluster[away].core.statistics().isDowngrading)
        #expect(try ask(.cancel, at: away, cluster) == .success("3.6"))
        #expect(try cluster.run { all($0) { !$0.isDowngrading } })
    }

    /// Proposes, as a member that forwards it, what a member of another version has begun.
    private func propose(_ info: (enabled: Bool, target: String), _ cluster: SimulatedCluster) throws {
        let leader = try #require(cluster.leader)
        let request = Etcdserverpb_InternalRaftRequest.with {
            $0.header.id = 77
            $0.downgradeInfoSet.enabled = info.enabled
            $0.downgradeInfoSet.ver = info.target
        }
        var message = Message(type: .propose, to: cluster.id(leader))
        message.from = cluster.id((leader + 1) % 3)
        message.entries = [Entry(term: .zero, index: .zero, data: try request.serializedBytes())]
        cluster[leader].receive(.messages([message]))
        #expect(try cluster.run { all($0) { $0.isDowngrading == info.enabled } })
    }

    /// From a version above down to this one: the leader sees that everybody has arrived.
    @Test func theLeaderEndsWhatIsComplete() throws {
        let cluster = try started()
        try propose((true, "3.7.0"), cluster)
        #expect(try cluster.run(upTo: .seconds(20)) { all($0) { !$0.isDowngrading } })
        #expect(all(cluster) { $0.clusterVersion == "3.7.0" })

        // Never, if so configured.
        let patient = try started { $0.downgradeCheckInterval = nil }
        try propose((true, "3.7.0"), patient)
        #expect(try patient.run(upTo: .seconds(20)) { all($0) { !$0.isDowngrading } } == false)
    }

    /// What leads below the versions that understand it changes nothing, whoever has begun it.
    @Test(arguments: ["3.4.0", "3.5.0", "", "x"]) func othersTargetsChangeNothing(target: String) throws {
        let cluster = try started()
        try propose((true, target), cluster)
        let end = cluster.clock.now() + .seconds(10)
        #expect(try cluster.run { $0.clock.now() >= end })
        #expect(all(cluster) { $0.isDowngrading && $0.clusterVersion == "3.7.0" && $0.storageVersion == "3.7.0" })
        #expect(try ask(.cancel, at: 0, cluster) == .success("3.7"))
        #expect(try cluster.run { all($0) { !$0.isDowngrading } })
    }

    /// Giving up leaves the version where it is, unless the operator has said that it is to rise.
    @Test(arguments: [false, true]) func givingUp(raises: Bool) throws {
        let cluster = try started { $0.raisesClusterVersion = raises }
        #expect(try ask(.enable, "3.6", at: 0, cluster) == .success("3.7"))
        #expect(try cluster.run { all($0) { $0.storageVersion == "3.6.0" } })
        #expect(try ask(.cancel, at: 0, cluster) == .success("3.6"))
        let isRaised = try cluster.run(upTo: .seconds(10)) {
            all($0) { $0.clusterVersion == "3.7.0" && $0.storageVersion == "3.7.0" }
        }
        #expect(isRaised == raises)
        #expect(raises || all(cluster) { $0.clusterVersion == "3.6.0" && $0.storageVersion == "3.6.0" })
    }

    /// The version is not lowered as long as it is not known that everybody can live with it.
    @Test func aSilentMemberHoldsItUp() throws {
        let cluster = try started()
        let leader = try #require(cluster.leader)
        let other = (leader + 1) % 3
        cluster.crash((leader + 2) % 3, .loseUnsynced)
        // Until the leader has noticed.
        var end = cluster.clock.now() + .seconds(6)
        #expect(try cluster.run { $0.clock.now() >= end })
        #expect(try ask(.enable, "3.6", at: other, cluster) == .success("3.7"))
        end = cluster.clock.now() + .seconds(10)
        #expect(try cluster.run { $0.clock.now() >= end })
        #expect(cluster[leader].core.statistics().clusterVersion == "3.7.0")
        try cluster.restart((leader + 2) % 3)
        #expect(try cluster.run(upTo: .seconds(15)) { all($0) { $0.clusterVersion == "3.6.0" } })
    }

    static let refusals: [(Int, String, EtcdError)] = [
        (0, "3.7", .invalidDowngradeTarget), (1, "3.5", .invalidDowngradeTarget), (1, "4.6", .invalidDowngradeTarget),
        (0, "", .wrongDowngradeVersionFormat), (1, "v3.6", .wrongDowngradeVersionFormat),
        (1, "3", .wrongDowngradeVersionFormat), (0, "3.6-rc.1", .wrongDowngradeVersionFormat),
        (0, "3.6.x", .wrongDowngradeVersionFormat), (0, "3.-6", .wrongDowngradeVersionFormat),
        (0, "3.6.0.0", .wrongDowngradeVersionFormat), (9, "3.6", .unknownMethod),
    ]

    @Test(arguments: refusals) func isRefused(action: Int, version: String, error: EtcdError) throws {
        let cluster = try started()
        let action = try #require(Action(rawValue: action))
        #expect(try ask(action, version, at: 0, cluster) == .failure(error))
        #expect(all(cluster) { !$0.isDowngrading })
    }

    @Test(arguments: ["3.6", "3.6.0", "3.6.14", "3.6.0-rc.1", "3.6.1+build"]) func isTaken(version: String) throws {
        let cluster = try started()
        #expect(try ask(.validate, version, at: 0, cluster) == .success("3.7"))
        #expect(try ask(.enable, version, at: 0, cluster) == .success("3.7"))
        #expect(try cluster.run { all($0) { $0.isDowngrading && $0.clusterVersion == "3.6.0" } })
    }

    /// As etcd since 3.6.
    @Test func givingUpWhatWasNeverBegunIsNoError() throws {
        let cluster = try started()
        #expect(try ask(.cancel, at: 0, cluster) == .success("3.7"))
    }
}
