import Base
import Member
import NIOCore
import NIOPosix
import PeerTransport
import RaftCore
import Synchronization
import TestSupport
import Testing

@Suite(.serialized) struct SpareLinesTests {
    /// Takes connections and requests, and never answers: what a leader that hears nobody sees of its peers.
    private final class SilentPeer {
        let port = LoopbackPorts.next()
        private let channel: any Channel
        private let requests = Requests()

        final class Requests: Sendable {
            let lines = Mutex<[String]>([])
        }

        init() async throws {
            let requests = requests
            channel = try await ServerBootstrap(group: TestPeer.group)
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(Handler(requests))
                    }
                }
                .bind(host: "127.0.0.1", port: port).get()
        }

        func stop() async throws { try await channel.close() }

        func count(_ line: String) -> Int { requests.lines.withLock { $0.count { $0 == line } } }

        private final class Handler: ChannelInboundHandler {
            typealias InboundIn = ByteBuffer
            private let requests: Requests

            init(_ requests: Requests) { self.requests = requests }

            func channelRead(context: ChannelHandlerContext, data: NIOAny) {
                for line in String(buffer: unwrapInboundIn(data)).split(separator: "\r\n")
                where line.hasSuffix(" HTTP/1.1") {
                    requests.lines.withLock { $0.append(String(line.dropLast(" HTTP/1.1".count))) }
                }
            }
        }
    }

    /// While one line waits for the answer to a probe, the other is left free for what cannot wait.
    @Test func oneLineIsAlwaysLeftFree() async throws {
        let silent = try await SilentPeer()
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
