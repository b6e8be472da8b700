import EtcdProto
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
