import Base
import Membership
import Testing

@Suite("RaftCluster") struct RaftClusterTests {
    @Test("Member and cluster IDs equal those that etcd computed")
    func ids() {
        let a = MemberID(peerURLs: ["http://127.0.0.1:27401"], token: "capture")
        let b = MemberID(peerURLs: ["http://127.0.0.1:27403"], token: "capture")
        #expect(a.description == "54831013d0c4c21b")
        #expect(b.description == "cb263faff2566314")
        #expect(ClusterID(foundedBy: [b, a]).description == "da3057c806f95c7e")
        #expect(
            MemberID(peerURLs: ["http://b:1", "http://a:1"], token: "t")
                == MemberID(peerURLs: ["http://a:1", "http://b:1"], token: "t"))
    }

    static let m1 = ClusterMember(
        id: MemberID(1), peerURLs: ["http://a:2380"], name: "a", clientURLs: ["http://a:2379"])
    static let m2 = ClusterMember(id: MemberID(2), peerURLs: ["http://b:2380"], isLearner: true)

    static func cluster() -> RaftCluster {
        RaftCluster(id: ClusterID(9), localID: MemberID(1), members: [m2, m1], removed: [MemberID(7)])
    }

    @Test(
        "A change that cannot be is refused with etcd's error",
        arguments: [
            (MembershipChange.add(ClusterMember(id: MemberID(7), peerURLs: ["http://x"])), MembershipError.idRemoved),
            (.add(ClusterMember(id: MemberID(1), peerURLs: ["http://x"])), .idExists),
            (.add(ClusterMember(id: MemberID(3), peerURLs: ["http://a:2380"])), .peerURLExists),
            (.add(ClusterMember(id: MemberID(3), peerURLs: ["http://c"], isLearner: true)), .tooManyLearners),
            (.promote(MemberID(1)), .memberNotLearner),
            (.promote(MemberID(5)), .idNotFound),
            (.remove(MemberID(5)), .idNotFound),
            (.remove(MemberID(7)), .idRemoved),
            (.updatePeerURLs(MemberID(2), ["http://a:2380"]), .peerURLExists),
            (.updatePeerURLs(MemberID(5), ["http://x"]), .idNotFound),
        ])
    func refused(change: MembershipChange, error: MembershipError) {
        #expect(throws: error) { try Self.cluster().validate(change) }
    }

    @Test("Changes take effect, and a removed ID never comes back")
    func changes() throws {
        var cluster = Self.cluster()
        let m3 = ClusterMember(id: MemberID(3), peerURLs: ["http://c:2380"])
        for change: MembershipChange in [
            .add(m3), .promote(MemberID(2)), .updatePeerURLs(MemberID(3), ["http://d:2380"]), .remove(MemberID(1)),
        ] {
            try cluster.validate(change)
            cluster.apply(change)
        }
        #expect(cluster.members.map(\.id.rawValue) == [2, 3])
        #expect(cluster[MemberID(2)]?.isLearner == false)
        #expect(cluster[MemberID(3)]?.peerURLs == ["http://d:2380"])
        #expect(cluster.removed.map(\.rawValue) == [1, 7])
        #expect(throws: MembershipError.idRemoved) { try cluster.validate(.add(Self.m1)) }
        #expect(try !cluster.updateAttributes(of: MemberID(1), name: "late", clientURLs: []))
        #expect(throws: MembershipError.idNotFound) {
            try cluster.updateAttributes(of: MemberID(8), name: "x", clientURLs: [])
        }
    }

    @Test("A member's JSON is etcd's, byte for byte, and reads back")
    func json() throws {
        #expect(
            Self.m1.json.text
                == #"{"id":1,"peerURLs":["http://a:2380"],"name":"a","clientURLs":["http://a:2379"]}"#)
        #expect(Self.m2.json.text == #"{"id":2,"peerURLs":["http://b:2380"],"isLearner":true}"#)
        for member in [Self.m1, Self.m2] {
            #expect(try ClusterMember(JSON.parse(Array(member.json.text.utf8))) == member)
        }
        let wide = ClusterMember(id: MemberID(.max), peerURLs: ["http://[::1]:1/?a&b"])
        #expect(try ClusterMember(JSON.parse(Array(wide.json.text.utf8))) == wide)
        #expect(throws: MembershipError.self) { try ClusterMember(JSON.parse(Array(#"{"peerURLs":[]}"#.utf8))) }
    }

    @Test("Versions are read strictly", arguments: ["3.7.1", "3.7", "3.7.0-rc.1"])
    func version(text: String) throws {
        #expect(try SemanticVersion(parsing: text).majorMinor.description == "3.7.0")
        for bad in ["", "3", "3.x", "3.7.1.2", "-3.1", "3..1"] {
            #expect(throws: MembershipError.self) { try SemanticVersion(parsing: bad) }
        }
    }
}
