import Foundation

/// A server under test: one member on loopback ports of its own.
public final class ServerProcess: Sendable {
    public struct Options: Sendable {
        /// Where the data goes; it stays when the server ends.
        public var dataDirectory: String
        public var clientPort: Int
        public var peerPort: Int
        public var arguments: [String]
        public var environment: [String: String]
        /// A command that runs the server as its last argument list, such as `["/usr/bin/nice"]`.
        public var wrapper: [String]
        public var readyWithin: Duration
        public var name = "m1"
        /// The address that it listens on and is reached at.
        public var host = "127.0.0.1"
        /// Where `host` is, if not on this machine's own loopback; `wrapper` has to bring the server there.
        public var network: TestNetwork?
        /// The members that found the cluster, or are in it when this one joins; nil for this one alone.
        public var initialCluster: String?
        /// The members that found the cluster are found as `arguments` say; `initialCluster` is not used.
        public var discovers = false
        /// It joins a cluster that runs.
        public var joins = false
        /// TLS on both ports; nil for none.
        public var security: TestSecurity?

        var scheme: String { security == nil ? "http" : "https" }
        public var peerURL: String { "\(scheme)://\(host):\(peerPort)" }

        public init(
            dataDirectory: String, clientPort: Int = LoopbackPorts.next(), peerPort: Int = LoopbackPorts.next(),
            arguments: [String] = [], environment: [String: String] = [:], wrapper: [String] = [],
            readyWithin: Duration = .seconds(30)
        ) {
            self.dataDirectory = dataDirectory
            self.clientPort = clientPort
            self.peerPort = peerPort
            self.arguments = arguments
            self.environment = environment
            self.wrapper = wrapper
            self.readyWithin = readyWithin
        }
    }

    /// It ended, or was still not ready, before it said that it serves clients.
    public struct NotReady: Error, CustomStringConvertible {
        public var program: String
        /// How it ended; nil if it was still running (and has been killed).
        public var end: ChildProcess.End?
        public var log: String

        public var description: String {
            let how = end.map { "ended with \($0.signalled ? "signal" : "code") \($0.status)" } ?? "not ready in time"
            return "\(program): \(how)\n\(log.split(separator: "\n").suffix(12).joined(separator: "\n"))"
        }
    }

    public let program: ServerProgram
    public let options: Options
    private let child: ChildProcess
    private let logPath: String

    /// The lines that tools wait for: the first in most versions, the second from 3.4 with its structured log.
    static let readyLines = [
        "ready to serve client requests", "serving client traffic insecurely", "serving client traffic securely",
    ]

    /// `127.0.0.1:port`, as etcdctl takes it.
    public var endpoint: String { "\(options.host):\(options.clientPort)" }
    public var pid: Int32 { child.pid }
    public var isRunning: Bool { child.isRunning }

    /// The arguments that make it the member that the options describe.
    public static func arguments(of program: ServerProgram, _ options: Options) -> [String] {
        let client = "\(options.scheme)://\(options.host):\(options.clientPort)"
        let peer = options.peerURL
        return program.arguments + [
            "--name", options.name, "--data-dir", options.dataDirectory, "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster-state", options.joins ? "existing" : "new",
        ] + (options.discovers ? [] : ["--initial-cluster", options.initialCluster ?? "\(options.name)=\(peer)"])
            + (options.security?.serverArguments ?? []) + options.arguments
    }

    /// Starts the server and returns when it serves clients.
    public static func start(_ program: ServerProgram, _ options: Options) async throws -> ServerProcess {
        let server = try ServerProcess(program, options)
        let deadline = ContinuousClock.now + options.readyWithin
        while !readyLines.contains(where: server.log.contains) {
            let ended = !server.isRunning
            if ended || ContinuousClock.now >= deadline {
                if !ended { server.child.signal(.kill) }
                let end = await server.child.waitForEnd(timeout: .seconds(5))
                throw NotReady(program: program.name, end: ended ? end : nil, log: server.log)
            }
            try await Task.sleep(for: .milliseconds(10))
        }
        return server
    }

    /// Stops its execution, or lets it go on: a member that is there and says nothing.
    public func pause() { child.signal(.stop) }
    public func resume() { child.signal(.resume) }

    /// Starts the server without waiting for anything.
    public init(_ program: ServerProgram, _ options: Options) throws {
        self.program = program
        self.options = options
        logPath =
            FileManager.default.temporaryDirectory.path
            + "/martlet-log-\(options.clientPort)-\(UUID().uuidString.prefix(8))"
        let command = options.wrapper + [program.path] + Self.arguments(of: program, options)
        child = try ChildProcess(
            command[0], Array(command.dropFirst()), environment: options.environment, outputPath: logPath,
            errorPath: logPath)
    }

    deinit {
        child.signal(.kill)
        try? FileManager.default.removeItem(atPath: logPath)
    }

    /// Everything that it has printed so far.
    public var log: String {
        String(decoding: (try? Data(contentsOf: URL(fileURLWithPath: logPath))) ?? Data(), as: UTF8.self)
    }

    /// The end of what it has printed.
    public func lastLines(_ count: Int) -> String {
        log.split(separator: "\n").suffix(count).joined(separator: "\n")
    }

    /// Ends it at once, as a power cut does to the process (not to the page cache).
    public func crash() async {
        child.signal(.kill)
        _ = await child.waitForEnd(timeout: .seconds(10))
    }

    /// Asks it to end, and tells how it did; kills it after ten seconds, and returns nil then.
    @discardableResult public func stop() async -> ChildProcess.End? {
        child.signal(.terminate)
        if let end = await child.waitForEnd(timeout: .seconds(10)) { return end }
        await crash()
        return nil
    }

    /// How it ended by itself, or nil if it still runs after `timeout`.
    public func waitForEnd(timeout: Duration) async -> ChildProcess.End? { await child.waitForEnd(timeout: timeout) }

    /// Bytes of physical memory that it holds now (`VmRSS`); nil when it is gone.
    public var residentBytes: Int? {
        guard let status = try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8) else { return nil }
        for line in status.split(separator: "\n") where line.hasPrefix("VmRSS:") {
            return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
        }
        return nil
    }
}

/// Runs `body` with a fresh member in a temporary data directory, and cleans up whatever happens.
public func withServer<T>(
    _ program: ServerProgram, arguments: [String] = [], _ body: (ServerProcess) async throws -> T
) async throws -> T {
    let directory = try PackageFiles.temporaryDirectory("member")
    defer { try? FileManager.default.removeItem(atPath: directory) }
    let server = try await ServerProcess.start(
        program, ServerProcess.Options(dataDirectory: directory + "/data", arguments: arguments))
    do {
        let result = try await body(server)
        await server.stop()
        return result
    } catch {
        await server.crash()
        throw error
    }
}

/// etcd's command line client, pointed at one server.
public struct EtcdCtl: Sendable {
    public var path: String
    public var endpoint: String
    /// nil for a server without TLS.
    public var security: TestSecurity?

    public init(path: String, endpoint: String, security: TestSecurity? = nil) {
        self.path = path
        self.endpoint = endpoint
        self.security = security
    }

    public func run(_ arguments: [String], input: String = "") async throws -> Subprocess.Result {
        try await Subprocess.run(
            path, ["--endpoints", endpoint] + (security?.clientArguments ?? []) + arguments, input: Array(input.utf8),
            environment: ["ETCDCTL_API": "3"],
            timeout: .seconds(30))
    }
}
