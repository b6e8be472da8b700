internal import Logging
internal import NIOCore
internal import NIOPosix
internal import PlatformLinux

/// Asks the system's name service, whose calls block, from a thread of their own, and gives up in time.
struct NameLookups: Sendable {
    /// After this nothing is waited for any more; the same as etcd's.
    static let limit = TimeAmount.seconds(30)
    /// Between two attempts at a host that has no address yet.
    private static let retryInterval = Duration.seconds(1)

    let threads: NIOThreadPool
    let eventLoop: any EventLoop
    let logger: Logger

    /// Runs `body`, which may block.
    /// - Throws: `ValueError` when it takes too long. It goes on then: a call of libc cannot be ended from outside.
    func run<Result: Sendable>(_ what: String, _ body: @escaping @Sendable () throws -> Result) async throws -> Result {
        let promise = eventLoop.makePromise(of: Result.self)
        let timer = eventLoop.scheduleTask(in: Self.limit) {
            promise.fail(ValueError("\(what): no answer within \(Self.limit.nanoseconds / 1_000_000_000)s"))
        }
        threads.submit { state in
            switch state {
            case .active: promise.completeWith(Swift.Result { try body() })
            case .cancelled: promise.fail(ValueError("\(what): the process is ending"))
            }
        }
        defer { timer.cancel() }
        return try await promise.futureResult.get()
    }

    /// The URLs with addresses in place of host names. Addresses themselves, `localhost` and sockets stay. A host that
    /// is not known is asked for again until the limit: where addresses are given out, names come a little later.
    func resolve(_ urls: [ServerURL]) async throws -> [String: String] {
        let deadline = NIODeadline.now() + Self.limit
        var resolved: [String: String] = [:]
        for url in urls where !url.isUnixSocket && url.host != "localhost" && !IPAddress.isValid(url.host) {
            while true {
                do {
                    let address = try await run("lookup \(url.host)") { try NameService.address(of: url.host) }
                    let host = address.contains(":") ? "[\(address)]" : address
                    resolved[url.description] = "\(url.scheme)://\(host):\(url.port)"
                    break
                } catch {
                    guard NIODeadline.now() < deadline else { throw error }
                    logger.warning(
                        "failed to resolve URL Host",
                        metadata: [
                            "url": "\(url)", "host": "\(url.host)", "error": "\(error)",
                            "retry-interval": "\(GoDuration.format(Self.retryInterval))",
                        ])
                    try await Task.sleep(for: Self.retryInterval)
                }
            }
        }
        return resolved
    }
}
