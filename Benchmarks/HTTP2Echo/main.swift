// Answers every call of `/bench.Echo/Echo` with its request, to measure the HTTP/2 layer alone:
//
//     HTTP2Echo 33100 &
//     h2load -t1 -c 10 -m 10 -n 100000 -H 'content-type: application/grpc' -H 'te: trailers' \
//         --data frame.bin http://127.0.0.1:33100/bench.Echo/Echo

import HTTP2
import NIOCore
import NIOPosix

final class EchoService: GRPCService {
    func resolve(_ path: [UInt8]) -> MethodResolution {
        if path.elementsEqual("/bench.Echo/Echo".utf8) { return .unary(0) }
        return path.starts(with: "/bench.Echo/".utf8) ? .unknownMethod : .unknownService
    }

    func connectionOpened(_ connection: ServerConnection) {}
    func connectionClosed(_ connection: ServerConnection) {}
    func cancelled(_ stream: StreamID, on connection: ServerConnection) {}

    func receive(_ calls: inout [UnaryCall], on connection: ServerConnection) {
        for call in calls { connection.respond(call.stream, message: call.message[...]) }
    }
}

guard let port = CommandLine.arguments.dropFirst().first.flatMap({ Int($0) }) else {
    print("usage: HTTP2Echo PORT [THREADS]")
    throw IOError(errnoCode: 22, reason: "no port")
}
let threads = CommandLine.arguments.dropFirst(2).first.flatMap { Int($0) } ?? 2
let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
let server = GRPCServer(group: group) { _ in EchoService() }
let channel = try await server.bind(host: "127.0.0.1", port: port).get()
try await channel.closeFuture.get()
