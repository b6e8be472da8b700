internal import ArgumentParser
internal import EtcdProto
internal import HTTP2
internal import NIOCore
internal import NIOPosix

extension MartletBench {
    /// Puts go out at a steady pace, to one endpoint after the other and whatever became of earlier ones: the figure is
    /// about the cluster and not about how a client tries again.
    struct Outage: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Measures the longest time without an acknowledged put while members fail.")

        @Option(help: "Client addresses of all members, host:port, with commas between them.")
        var endpoints: String

        @Option(help: "Milliseconds from one put to the next.")
        var interval = 5

        @Option(help: "The most seconds to run.")
        var seconds = 15

        @Option(help: "End once there was a gap of so many milliseconds, and puts have been acknowledged since.")
        var gap = 300

        func run() async throws {
            let addresses = try endpoints.split(separator: ",").map { endpoint in
                guard let colon = endpoint.lastIndex(of: ":"), let port = Int(endpoint[colon...].dropFirst()) else {
                    throw ValidationError("--endpoints must be host:port,…, got \(endpoint)")
                }
                return (host: String(endpoint[..<colon]), port: port)
            }
            guard !addresses.isEmpty, interval > 0, seconds > 0, gap > 0 else {
                throw ValidationError("--endpoints, --interval, --seconds and --gap must not be empty or zero")
            }
            let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
            let loop = group.next()
            let settings = (interval, seconds, gap)
            let result = try await loop.flatSubmit {
                let run = OutageRun(addresses, loop: loop, interval: settings.0, seconds: settings.1, gap: settings.2)
                run.start()
                return run.done.futureResult
            }.get()
            print("longest time without an acknowledged put: \(result.longest) ms; \(result.acknowledged) acknowledged")
            try await group.shutdownGracefully()
        }
    }
}

/// A running measurement; all of it on one event loop.
private final class OutageRun {
    struct Result: Sendable {
        /// In milliseconds.
        var longest: Int64
        var acknowledged: Int
    }

    /// How long puts must have been acknowledged after the gap before the run ends.
    private static let settled = TimeAmount.milliseconds(500)
    private static let callTimeout = TimeAmount.seconds(1)

    let done: EventLoopPromise<Result>
    private let addresses: [(host: String, port: Int)]
    private let loop: any EventLoop
    private let interval: TimeAmount
    private let gap: TimeAmount
    private let end: NIODeadline
    private var connections: [GRPCClientConnection?]
    private var isConnecting: [Bool]
    private var number = 0
    private var acknowledged = 0
    private var last: NIODeadline?
    private var longest = TimeAmount.zero
    private var recovered: NIODeadline?

    init(_ addresses: [(host: String, port: Int)], loop: any EventLoop, interval: Int, seconds: Int, gap: Int) {
        self.addresses = addresses
        self.loop = loop
        self.interval = .milliseconds(Int64(interval))
        self.gap = .milliseconds(Int64(gap))
        end = .now() + .seconds(Int64(seconds))
        connections = addresses.map { _ in nil }
        isConnecting = addresses.map { _ in false }
        done = loop.makePromise()
    }

    func start() {
        for i in addresses.indices { connect(i) }
        tick()
    }

    private func tick() {
        let now = NIODeadline.now()
        if now >= end || recovered.map({ now - $0 >= Self.settled }) ?? false { return finish(now) }
        let i = number % addresses.count
        number += 1
        if let connection = connections[i] { put(number, on: connection) } else { connect(i) }
        loop.assumeIsolated().scheduleTask(in: interval) { self.tick() }
    }

    private func put(_ number: Int, on connection: GRPCClientConnection) {
        var message: [UInt8] = []
        Wire.appendBytesField(1, decimalKey(number % 1000, size: 16), to: &message)
        Wire.appendBytesField(2, decimalKey(number, size: 32), to: &message)
        connection.call(path: "/etcdserverpb.KV/Put", message: message, deadline: .now() + Self.callTimeout)
            .assumeIsolated().whenComplete { result in
                if case .success = result { self.acknowledge(.now()) }
            }
    }

    private func acknowledge(_ now: NIODeadline) {
        acknowledged += 1
        if let last {
            longest = max(longest, now - last)
            if now - last >= gap { recovered = now }
        }
        last = now
    }

    private func connect(_ i: Int) {
        guard !isConnecting[i] else { return }
        isConnecting[i] = true
        GRPCClientConnection.connect(host: addresses[i].host, port: addresses[i].port, group: loop)
            .assumeIsolated().whenComplete { result in
                self.isConnecting[i] = false
                guard case .success(let connection) = result else { return }
                self.connections[i] = connection
                connection.closeFuture.assumeIsolated().whenComplete { _ in self.connections[i] = nil }
            }
    }

    private func finish(_ now: NIODeadline) {
        // An outage that has not ended counts as long as it lasted.
        if let last { longest = max(longest, now - last) }
        done.succeed(Result(longest: longest.nanoseconds / 1_000_000, acknowledged: acknowledged))
    }
}
