internal import HTTP2
internal import NIOCore
internal import NIOPosix

/// Sends numbered requests over some connections and keeps a fixed number of them on their way.
struct Load: Sendable {
    var options: LoadOptions
    var path: String
    /// The encoded message of a request, by its number in `0..<count`.
    var message: @Sendable (_ number: Int) -> [UInt8]

    struct Result: Sendable {
        var requests: Int
        var seconds: Double
        /// How long each request took, in microseconds, ascending.
        var latencies: [UInt32]

        var longest: UInt32 { latencies.last ?? 0 }

        /// - Parameter quantile: 0…1.
        func latency(at quantile: Double) -> UInt32 {
            guard !latencies.isEmpty else { return 0 }
            return latencies[min(latencies.count - 1, Int(Double(latencies.count) * quantile))]
        }
    }

    init(options: LoadOptions, path: String, message: @escaping @Sendable (_ number: Int) -> [UInt8]) {
        self.options = options
        self.path = path
        self.message = message
    }

    /// Runs to the end; the first call that fails ends it with that call's status.
    func run() async throws -> Result {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let client = try options.client()
        var connections: [GRPCClientConnection] = []
        for _ in 0..<options.connections {
            connections.append(
                try await GRPCClientConnection.connect(
                    host: options.host, port: options.port ?? 0, group: loop, configuration: client
                ).get())
        }
        let opened = connections
        let start = NIODeadline.now()
        let latencies = try await loop.flatSubmit {
            let run = LoadRun(load: self, loop: loop)
            for connection in opened { run.fill(connection, streams: options.streams) }
            return run.done.futureResult
        }.get()
        let elapsed = NIODeadline.now() - start
        for connection in opened { try? await connection.close().get() }
        try await group.shutdownGracefully()
        return Result(
            requests: latencies.count, seconds: Double(elapsed.nanoseconds) / 1e9, latencies: latencies.sorted())
    }
}

/// The state of a running load; all of it on one event loop.
private final class LoadRun {
    let done: EventLoopPromise<[UInt32]>
    private let load: Load
    private let loop: any EventLoop
    private var next = 0
    private var latencies: [UInt32] = []

    init(load: Load, loop: any EventLoop) {
        self.load = load
        self.loop = loop
        done = loop.makePromise()
        latencies.reserveCapacity(load.options.count)
    }

    func fill(_ connection: GRPCClientConnection, streams: Int) {
        for _ in 0..<streams { send(on: connection) }
    }

    private func send(on connection: GRPCClientConnection) {
        guard next < load.options.count else { return }
        let message = load.message(next)
        next += 1
        let start = NIODeadline.now()
        connection.call(path: load.path, message: message).assumeIsolated().whenComplete { result in
            switch result {
            case .success:
                let microseconds = (NIODeadline.now() - start).nanoseconds / 1_000
                self.latencies.append(UInt32(clamping: microseconds))
                if self.latencies.count == self.load.options.count {
                    self.done.succeed(self.latencies)
                } else {
                    self.send(on: connection)
                }
            case .failure(let error):
                self.done.fail(error)
            }
        }
    }
}
