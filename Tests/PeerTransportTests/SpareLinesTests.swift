import Base
import Member
import PeerTransport
import RaftCore
import TestSupport
import Testing

@Suite(.serialized) struct SpareLinesTests {
    /// While one line waits for the answer to a probe, the other is left free for what cannot wait.
    @Test func oneLineIsAlwaysLeftFree() async throws {
        // What a leader that hears nobody sees of its peers.
        let silent = try await RoguePeer { _ in .silence }
        let a = try await TestPeer(1)
        let id = MemberID(2)
        var work = PeerWork()
        work.changes = [.add(id, peerURLs: ["http://127.0.0.1:\(silent.port)"])]
        a.transport.carry(work)
        #expect(await eventually { silent.count("GET /raft/probing") == 1 })
        // The turn of the second line, two seconds later.
        try await Task.sleep(for: .milliseconds(2500))
        #expect(silent.count("GET /raft/probing") == 1)

        // There is no stream, so one of the two comes through the pipeline.
        a.send(Message(type: .timeoutNow, to: id, from: a.id, term: Term(7)))
        #expect(await eventually(.seconds(1)) { silent.count("POST /raft") == 2 })
        await a.stop()
        try await silent.stop()
    }
}
