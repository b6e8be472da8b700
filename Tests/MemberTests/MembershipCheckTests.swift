import Base
import EtcdProto
import Member
import Membership
import PlatformSim
import Testing

/// At a start the membership in the backend is held against that of the snapshot and the log.
@Suite struct MembershipCheckTests {
    private static let complaint = "the backend's list of members is not that of the snapshot and the log"

    /// A cluster that has taken snapshots, and changed its membership before and after the last one.
    private func used() throws -> SimulatedCluster {
        let cluster = try SimulatedCluster(3)
        #expect(try cluster.run { $0.members.allSatisfy { $0?.isReady ?? false } })
        let leader = try #require(cluster.leader)
        func change(_ body: ClientRequest.Body) throws { _ = try ask(body, at: leader, cluster).get() }
        for n in 0..<30 { try put("a\(n)", "v", at: leader, cluster) }
        try change(.memberUpdate(cluster.id(0), peerURLs: ["http://m1:2380", "http://m1:2381"]))
        for n in 0..<60 { try put("b\(n)", "v", at: leader, cluster) }
        try change(.memberUpdate(cluster.id(1), peerURLs: ["http://m2:2380", "http://m2:2382"]))
        try put("c", "v", at: leader, cluster)
        #expect(try cluster.run { cluster in Set((0..<3).map { cluster[$0].core.revision }).count == 1 })
        return cluster
    }

    private func complaints(_ member: SimulatedMember) -> [LogLine] {
        member.openingLines.filter { $0.message.contains(Self.complaint) }
    }

    @Test("Where they agree nothing is said, also after a crash", arguments: [false, true])
    func agreement(crashes: Bool) throws {
        let cluster = try used()
        for i in 0..<3 {
            if crashes { cluster.crash(i, .loseUnsynced) } else { try cluster.stop(i) }
            try cluster.restart(i)
            #expect(complaints(cluster[i]).isEmpty, "\(cluster[i].openingLines)")
        }
    }

    @Test("A row that says something else is told of; the backend counts", arguments: ["m1:2381", "m2:2382"])
    func difference(url: String) throws {
        let cluster = try used()
        try cluster.stop(0)
        try cluster.alterRow(of: "members", at: 0) { row in
            let text = String(decoding: row, as: UTF8.self)
            return text.contains(url) ? Array(text.replacing(url, with: "m9:9999").utf8) : nil
        }
        try cluster.restart(0)
        let line = try #require(complaints(cluster[0]).first, "\(cluster[0].openingLines)")
        #expect(complaints(cluster[0]).count == 1 && line.level == .warn)
        let text = "\(line)"
        #expect(text.contains("m9:9999") && text.contains(url), "\(text)")
        #expect(try cluster.run { $0[0].isReady })
    }

    @Test("Differences are named from either side")
    func differences() throws {
        let a = ClusterMember(id: MemberID(1), peerURLs: ["http://a"], name: "a")
        let b = ClusterMember(id: MemberID(2), peerURLs: ["http://b"])
        var moved = a
        moved.peerURLs = ["http://x"]
        var renamed = a
        renamed.name = "x"
        func cluster(_ members: [ClusterMember], removed: [UInt64] = []) -> RaftCluster {
            RaftCluster(id: ClusterID(1), localID: MemberID(1), members: members, removed: removed.map { MemberID($0) })
        }
        #expect(cluster([a, b], removed: [3]).differences(from: cluster([a, b], removed: [3])) == [])
        #expect(cluster([a, b]).differences(from: cluster([a])) == ["2 is a member"])
        #expect(
            cluster([a]).differences(from: cluster([a, b], removed: [3])) == ["2 is no member", "3 was never removed"])
        #expect(cluster([a], removed: [3]).differences(from: cluster([a])) == ["3 was removed"])
        #expect(cluster([renamed]).differences(from: cluster([a])) == [])
        #expect(
            cluster([moved]).differences(from: cluster([a])) == [
                #"1 is {"id":1,"peerURLs":["http://x"]}, not {"id":1,"peerURLs":["http://a"]}"#
            ])
    }
}
