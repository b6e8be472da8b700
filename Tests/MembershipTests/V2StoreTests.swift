import Base
import Membership
import Testing

@Suite("The legacy tree in raft snapshots") struct V2StoreTests {
    @Test("A membership survives the way through a snapshot payload")
    func roundTrip() throws {
        let cluster = RaftCluster(
            id: ClusterID(9), localID: MemberID(1),
            members: [
                ClusterMember(
                    id: MemberID(0xb190_022c_aa37_4e76), peerURLs: ["http://127.0.0.1:1", "http://[::1]:1"],
                    name: "m\"1",
                    clientURLs: ["http://127.0.0.1:2"]),
                ClusterMember(id: MemberID(2), peerURLs: ["http://127.0.0.1:3"], isLearner: true),
            ], removed: [MemberID(7), MemberID(0xff)], version: SemanticVersion(major: 3, minor: 7))
        let payload = cluster.v2StoreSnapshot
        #expect(try RaftCluster(id: ClusterID(9), localID: MemberID(1), v2StoreSnapshot: payload) == cluster)
    }

    @Test("The payload that a real member wrote is read")
    func real() throws {
        let payload = #"""
            {"Root":{"Path":"/","CreatedIndex":0,"Value":"","Children":{"0":{"Path":"/0","Children":{"members":{"Path":
            "/0/members","Children":{"b190022caa374e76":{"Path":"/0/members/b190022caa374e76","Children":{"attributes":
            {"Path":"/0/members/b190022caa374e76/attributes","Value":"{\"name\":\"m1\",\"clientURLs\":[\"http://127.0.0.1:27110\"]}",
            "Children":null},"raftAttributes":{"Path":"/0/members/b190022caa374e76/raftAttributes","Value":
            "{\"peerURLs\":[\"http://127.0.0.1:27111\"]}","Children":null}}}}},"version":{"Path":"/0/version","Value":"3.7.0",
            "Children":null}}},"1":{"Path":"/1","Children":{}}}},"WatcherHub":{},"CurrentIndex":3,"CurrentVersion":2}
            """#
        let cluster = try RaftCluster(id: ClusterID(1), localID: MemberID(2), v2StoreSnapshot: Array(payload.utf8))
        #expect(cluster.members.map(\.name) == ["m1"])
        #expect(cluster.members[0].clientURLs == ["http://127.0.0.1:27110"])
        #expect(cluster.version == SemanticVersion(major: 3, minor: 7))
    }

    @Test(
        "A payload that is none is refused",
        arguments: ["", "{}", #"{"Root":{"Children":{"0":{"Children":{"members":{"Children":{"zz":{}}}}}}}}"#])
    func refused(text: String) {
        #expect(throws: MembershipError.self) {
            try RaftCluster(id: ClusterID(1), localID: MemberID(2), v2StoreSnapshot: Array(text.utf8))
        }
    }
}
