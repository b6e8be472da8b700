import Base
import EtcdProto
import Foundation
import NIOCore
import NIOPosix
import TestSupport
import Testing

/// Bytes on the client port that no client of etcd's would send: the connection may end, the server must not.
@Suite(.serialized) struct BadBytesTests {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    /// An HTTP/2 frame.
    static func frame(type: UInt8, flags: UInt8 = 0, stream: UInt8 = 0, _ payload: [UInt8]) -> [UInt8] {
        [UInt8(payload.count >> 16), UInt8(payload.count >> 8 & 255), UInt8(payload.count & 255), type, flags, 0, 0, 0]
            + [stream] + payload
    }

    static let settings = frame(type: 4, [])
    /// `:method POST`, `:scheme http`, `:path /etcdserverpb.KV/Range`, `content-type: application/grpc`, literal.
    static let headers: [UInt8] = {
        func literal(_ name: String, _ value: String) -> [UInt8] {
            [0x00, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.utf8.count)] + Array(value.utf8)
        }
        return [0x83, 0x86] + literal(":path", "/etcdserverpb.KV/Range") + literal(":authority", "localhost")
            + literal("content-type", "application/grpc") + literal("te", "trailers")
    }()

    static let cases: [(name: String, bytes: [UInt8])] = [
        ("nothing, half closed", []),
        ("zeros", [UInt8](repeating: 0, count: 5_000)),
        ("TLS hello", [0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xFC, 0x03, 0x03]),
        ("half a preface", Array(preface.prefix(10))),
        ("preface, then noise", preface + [UInt8](repeating: 0xA5, count: 2_000)),
        ("frame longer than allowed", preface + settings + [0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 0, 1]),
        ("data on a stream that is not open", preface + settings + frame(type: 0, stream: 1, [1, 2, 3])),
        ("headers that do not decode", preface + settings + frame(type: 1, flags: 4, stream: 1, [0xFF, 0xFF, 0xFF])),
        ("headers that never end", preface + settings + frame(type: 1, stream: 1, headers)),
        (
            "garbage as message",
            preface + settings + frame(type: 1, flags: 4, stream: 1, headers)
                + frame(type: 0, flags: 1, stream: 1, [0, 0, 0, 0, 4, 0xFF, 0xFF, 0xFF, 0xFF])
        ),
        (
            "message longer than its stream",
            preface + settings + frame(type: 1, flags: 4, stream: 1, headers)
                + frame(type: 0, flags: 1, stream: 1, [0, 0, 0, 1, 0, 1, 2, 3])
        ),
        (
            "half a message, then half closed",
            preface + settings + frame(type: 1, flags: 4, stream: 1, headers)
                + frame(type: 0, stream: 1, [0, 0, 0])
        ),
        (
            "stream reset at once",
            preface + settings + frame(type: 1, flags: 4, stream: 1, headers)
                + frame(type: 3, stream: 1, [0, 0, 0, 8])
        ),
        ("no such HTTP method", Array("FROB / HTTP/1.1\r\nhost: x\r\n\r\n".utf8)),
        (
            "HTTP header without end",
            Array("GET /health HTTP/1.1\r\nx: ".utf8) + [UInt8](repeating: 0x61, count: 70_000)
        ),
        ("HTTP version nobody has", Array("GET /health HTTP/9.9\r\n\r\n".utf8)),
        ("bad content length", Array("POST /v3/kv/range HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n".utf8)),
    ]

    @Test func serverOutlivesThem() async throws {
        guard let martlet = Programs.martlet(for: "bad bytes on the client port") else { return }
        try await withServer(martlet) { server in
            let client = try await UnaryClient.connect(to: server)
            _ = try await client.call(EdgeCase.put("a", value: "1"))
            for (name, bytes) in Self.cases {
                try await Self.send(bytes, to: server.options.clientPort)
                try #require(server.isRunning, "\(name): ended; \(server.log.suffix(1000))")
                guard case .range(let response) = try await client.call(EdgeCase.range("a")) else {
                    Issue.record("\(name): another connection is no longer answered")
                    return
                }
                #expect(response.count == 1, "\(name)")
            }
            await client.close()
        }
    }

    @Test(arguments: UInt64(1)...3) func randomBytes(seed: UInt64) async throws {
        guard let martlet = Programs.martlet(for: "random bytes on the client port") else { return }
        var random = SeededGenerator(seed: seed)
        try await withServer(martlet) { server in
            for _ in 0..<60 {
                var bytes = random.chance(2, in: 3) ? Self.preface + Self.settings : []
                for _ in 0..<random.next(below: 6) {
                    let payload = (0..<random.next(below: 60)).map { _ in UInt8.random(in: 0...255, using: &random) }
                    bytes += Self.frame(
                        type: UInt8(random.next(below: 11)), flags: UInt8(random.next(below: 64)),
                        stream: UInt8(random.next(below: 4)), random.chance(1, in: 3) ? Self.headers : payload)
                }
                try await Self.send(bytes, to: server.options.clientPort)
            }
            try #require(server.isRunning, "seed \(seed): \(server.log.suffix(1000))")
            let client = try await UnaryClient.connect(to: server)
            guard case .range = try await client.call(EdgeCase.range("a")) else {
                Issue.record("seed \(seed): no answer any more")
                return
            }
            await client.close()
        }
    }

    /// etcd 3.7 answers with 415 and a gRPC status; 3.5.1 resets the stream, which curl reports as no answer. The
    /// request has no body, so that nobody is told to stop sending one.
    @Test(arguments: ["text/plain", "application/grpc-web", "application/json", "application/grpcx"])
    func wrongContentType(type: String) async throws {
        let purpose = "content type \(type)"
        let curl = "/usr/bin/curl"
        guard FileManager.default.isExecutableFile(atPath: curl) else {
            print("skipped: \(purpose) (no curl)")
            return
        }
        guard let martlet = Programs.martlet(for: purpose), let etcd = Programs.etcd35(for: purpose) else { return }
        func status(_ server: ServerProcess) async throws -> String {
            try await Subprocess.run(
                curl,
                [
                    "--silent", "--http2-prior-knowledge", "--max-time", "5", "--output", "/dev/null", "--write-out",
                    "%{http_code} %header{grpc-status} %header{grpc-message}", "--header", "content-type: \(type)",
                    "--request", "POST", "http://\(server.endpoint)/etcdserverpb.KV/Range",
                ]
            ).text.trimmingCharacters(in: .whitespaces)
        }
        try await withServer(etcd) { reference in
            try await withServer(martlet) { subject in
                let expected = try await status(reference)
                let answer = try await status(subject)
                #expect(expected == "000", "\(type)")
                #expect(answer == "415 3 invalid gRPC request content-type \"\(type)\"")
            }
        }
    }

    /// Writes the bytes, ends this direction, and waits a little for what the server does about it.
    private static func send(_ bytes: [UInt8], to port: Int) async throws {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .connect(host: "127.0.0.1", port: port).get()
        // The server may have closed already, which is its right.
        try? await channel.writeAndFlush(ByteBuffer(bytes: bytes)).get()
        try? await channel.close(mode: .output).get()
        try await Task.sleep(for: .milliseconds(15))
        try? await channel.close().get()
    }
}
