import Foundation
import Glibc
import HTTP2
import NIOCore
import NIOPosix
import TestSupport
import Testing

/// Our two sides against those of others, where they are installed.
@Suite(.serialized) struct PeerTests {
    @Test func callsPythonServer() async throws {
        let script = """
            import grpc, sys
            from concurrent import futures
            class Handler(grpc.GenericRpcHandler):
                def service(self, details):
                    name = details.method.rsplit('/', 1)[1]
                    def echo(request, context):
                        if name == 'Fail':
                            context.abort(grpc.StatusCode.NOT_FOUND, 'no key «ü» 100%')
                        return request * 3
                    return grpc.unary_unary_rpc_method_handler(echo) if name in ('Echo', 'Fail') else None
            server = grpc.server(futures.ThreadPoolExecutor(4), (Handler(),), compression=grpc.Compression.Gzip)
            print(server.add_insecure_port('127.0.0.1:0'), flush=True)
            server.start()
            sys.stdin.read()
            """
        guard let process = try await PythonProcess(script) else { return }
        defer { process.end() }
        let port = try #require(Int(process.readLine()))
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let client = try await GRPCClientConnection.connect(host: "127.0.0.1", port: port, group: group).get()
        for count in [0, 1, 1000, 500_000] {
            let message = pattern(count)
            #expect(try await client.call(path: "/a.B/Echo", message: message).get() == message + message + message)
        }
        await #expect(throws: GRPCStatus(code: 5, message: "no key «ü» 100%")) {
            try await client.call(path: "/a.B/Fail", message: []).get()
        }
        await #expect(throws: GRPCStatus.self) { try await client.call(path: "/a.B/Other", message: []).get() }
        try await client.close().get()
        try await group.shutdownGracefully()
    }

    @Test func servesPythonClient() async throws {
        try await withServer { live in
            let script = """
                import grpc
                channel = grpc.insecure_channel('127.0.0.1:\(live.port)', options=[('grpc.max_receive_message_length', -1)])
                def call(name, message, **more):
                    try:
                        return channel.unary_unary('/test.Service/' + name)(message, **more)
                    except grpc.RpcError as e:
                        return e.code().name + ' ' + e.details()
                assert call('echo', b'abc', timeout=5) == b'abc'
                assert call('echo', b'z' * 100000, compression=grpc.Compression.Gzip) == b'z' * 100000
                assert len(call('size', (3000000).to_bytes(4, 'big'))) == 3000000
                assert call('fail', b'') == 'NOT_FOUND no key «ü» 100%\\n', call('fail', b'')
                assert call('hold', b'', timeout=0.1).startswith('DEADLINE_EXCEEDED')
                assert call('nope', b'') == 'UNIMPLEMENTED unknown method nope for service test.Service'
                stream = channel.unary_stream('/test.Service/stream')
                messages = list(stream(bytes([200, 0]) + (70000).to_bytes(4, 'big')))
                assert len(messages) == 200 and all(len(m) == 70000 for m in messages)
                assert list(stream(bytes([0, 0, 0]))) == []
                got = []
                try:
                    for message in stream(bytes([3, 1, 9])):
                        got.append(len(message))
                    assert False
                except grpc.RpcError as e:
                    assert (got, e.code().name, e.details()) == ([9, 9, 9], 'OUT_OF_RANGE', 'half way')
                calls = [channel.unary_unary('/test.Service/later').future(b'%d' % i) for i in range(300)]
                assert [c.result() for c in calls] == [b'%d' % i for i in range(300)]
                print('good', flush=True)
                """
            guard let process = try await PythonProcess(script) else { return }
            defer { process.end() }
            // Off the cooperative pool's back: this waits for another process.
            let line = await withCheckedContinuation { done in
                Thread.detachNewThread { done.resume(returning: process.readLine()) }
            }
            #expect(line == "good")
        }
    }

    @Test func callsEtcd() async throws {
        guard let program = Programs.etcd35(for: "a call to a real etcd") else { return }
        let directory = try PackageFiles.temporaryDirectory("http2")
        let etcd = try await ServerProcess.start(program, .init(dataDirectory: directory + "/data"))
        let port = etcd.options.clientPort
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        var connection: GRPCClientConnection?
        for _ in 0..<100 where connection == nil {
            connection = try? await GRPCClientConnection.connect(host: "127.0.0.1", port: port, group: group).get()
            if connection == nil { try await Task.sleep(for: .milliseconds(50)) }
        }
        let client = try #require(connection)
        // PutRequest and RangeRequest for the key "a".
        _ = try await client.call(path: "/etcdserverpb.KV/Put", message: [10, 1, 97, 18, 2, 98, 99]).get()
        let range = try await client.call(
            path: "/etcdserverpb.KV/Range", message: [10, 1, 97], deadline: .now() + .seconds(5)
        ).get()
        #expect(range.suffix(6) == [42, 2, 98, 99, 32, 1])
        await #expect(throws: GRPCStatus(code: 3, message: "etcdserver: key is not provided")) {
            try await client.call(path: "/etcdserverpb.KV/Range", message: []).get()
        }
        await #expect(throws: GRPCStatus(code: 12, message: "unknown service a.B")) {
            try await client.call(path: "/a.B/C", message: []).get()
        }
        try await client.close().get()
        try await group.shutdownGracefully()
        await etcd.stop()
        try FileManager.default.removeItem(atPath: directory)
    }
}

/// A Python interpreter that has grpcio, running a script.
struct PythonProcess: Sendable {
    private let child: ChildProcess
    private let output = Pipe()
    private let input = Pipe()

    /// Nil, and says so, where there is none.
    init?(_ script: String) async throws {
        let (program, arguments) = Self.python
        let trial = try await Subprocess.run(program, arguments + ["-c", "import grpc"])
        guard trial.status == 0, !trial.signalled else {
            print("skipped: a peer in Python (no python3 with grpcio; get it with `make peers`)")
            return nil
        }
        let (read, written) = (input.fileHandleForReading, output.fileHandleForWriting)
        child = try ChildProcess(
            program, arguments + ["-c", script], input: read.fileDescriptor, output: written.fileDescriptor)
        try read.close()
        try written.close()
    }

    func readLine() -> String {
        var line = Data()
        while let byte = try? output.fileHandleForReading.read(upToCount: 1), byte.first != 10, !byte.isEmpty {
            line += byte
        }
        return String(decoding: line, as: UTF8.self)
    }

    func end() {
        try? input.fileHandleForWriting.close()
        child.signal(.kill)
        while child.isRunning { usleep(1000) }
    }

    private static var python: (program: String, arguments: [String]) {
        // `make peers` puts grpcio into an environment of its own.
        let own = PackageFiles.root + "/.build/peers/python/bin/python3"
        return FileManager.default.isExecutableFile(atPath: own) ? (own, []) : ("/usr/bin/env", ["python3"])
    }
}
