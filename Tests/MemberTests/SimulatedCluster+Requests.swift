import EtcdProto
import MVCC
import Member
import Testing

/// Asks a member, and runs the cluster until it has answered.
func ask(
    _ body: ClientRequest.Body, at i: Int, _ cluster: SimulatedCluster
) throws -> Result<[UInt8], EtcdError> {
    cluster[i].post([ClientRequest(ticket: 1, body: body)])
    #expect(try cluster.run { $0[i].responses[1] != nil })
    return try #require(cluster[i].takeResponse(1))
}

func put(_ key: String, _ value: String, at i: Int, _ cluster: SimulatedCluster) throws {
    _ = try ask(try KV.put(key, value), at: i, cluster).get()
}

/// Puts at a member until a window of entries is over whose effects the members compare.
func finishWindow(at i: Int, _ cluster: SimulatedCluster) throws -> EffectsHash.Window {
    for batch in 0..<6 {
        let tickets = (1...200).map { UInt64(batch * 200 + $0) }
        cluster[i].post(try tickets.map { ClientRequest(ticket: $0, body: try KV.put("k\($0 % 9)", "v")) })
        #expect(try cluster.run { cluster in tickets.allSatisfy { cluster[i].responses[$0] != nil } })
    }
    return try #require(cluster[i].core.statistics().effects.first)
}
