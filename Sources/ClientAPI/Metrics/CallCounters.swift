package import EtcdProto

/// Counts of calls on one event loop, for the `grpc_server_*` and `etcd_network_client_*` metrics; those of all loops
/// are added up when somebody asks.
package struct CallCounters: Sendable {
    /// The most versions of clients that are told apart; they come from outside. Further ones count as `unknown`.
    package static let versionLimit = 64
    private static let codes = 17

    /// By method.
    package private(set) var started = [UInt64](repeating: 0, count: Method.allCases.count)
    package private(set) var messagesSent = [UInt64](repeating: 0, count: Method.allCases.count)
    /// By method, then by code.
    private var handled = [UInt64](repeating: 0, count: Method.allCases.count * codes)
    package private(set) var bytesReceived: UInt64 = 0
    package private(set) var bytesSent: UInt64 = 0
    /// Answers to bounded reads that were too old when they were to be sent.
    package var boundedReadsLate: UInt64 = 0
    /// Calls by the client's version of the API, in order of first use.
    package private(set) var versions: [(version: String, calls: UInt64)] = [("unknown", 0)]

    package init() {}

    /// A call has come; unary ones come with their message.
    package mutating func start(_ method: Method, bytes: Int, version: Int) {
        started[method.rawValue] += 1
        bytesReceived += UInt64(bytes)
        versions[version].calls += 1
    }

    /// A call has ended, a unary one with a message of so many bytes if it succeeded.
    package mutating func finish(_ method: Method, _ code: GRPCCode, bytes: Int = 0) {
        handled[method.rawValue * Self.codes + Int(code.rawValue)] += 1
        if code == .ok, !method.isServerStream {
            messagesSent[method.rawValue] += 1
            bytesSent += UInt64(bytes)
        }
    }

    /// A message of a streamed answer has been given.
    package mutating func send(_ method: Method, bytes: Int) {
        messagesSent[method.rawValue] += 1
        bytesSent += UInt64(bytes)
    }

    package func finished(_ method: Method, _ code: GRPCCode) -> UInt64 {
        handled[method.rawValue * Self.codes + Int(code.rawValue)]
    }

    /// The index of a client's version, for ``start(_:bytes:version:)``; 0 is `unknown`.
    package mutating func version(_ text: String) -> Int {
        if let index = versions.firstIndex(where: { $0.version == text }) { return index }
        guard versions.count < Self.versionLimit else { return 0 }
        versions.append((text, 0))
        return versions.count - 1
    }

    package mutating func add(_ other: CallCounters) {
        for i in started.indices { started[i] += other.started[i] }
        for i in messagesSent.indices { messagesSent[i] += other.messagesSent[i] }
        for i in handled.indices { handled[i] += other.handled[i] }
        bytesReceived += other.bytesReceived
        bytesSent += other.bytesSent
        boundedReadsLate += other.boundedReadsLate
        for (text, calls) in other.versions { versions[version(text)].calls += calls }
    }
}

extension GRPCCode {
    /// As Go's gRPC library names it, which is the label in metrics.
    package var name: String {
        switch self {
        case .ok: "OK"
        case .cancelled: "Canceled"
        case .unknown: "Unknown"
        case .invalidArgument: "InvalidArgument"
        case .deadlineExceeded: "DeadlineExceeded"
        case .notFound: "NotFound"
        case .alreadyExists: "AlreadyExists"
        case .permissionDenied: "PermissionDenied"
        case .resourceExhausted: "ResourceExhausted"
        case .failedPrecondition: "FailedPrecondition"
        case .aborted: "Aborted"
        case .outOfRange: "OutOfRange"
        case .unimplemented: "Unimplemented"
        case .internal: "Internal"
        case .unavailable: "Unavailable"
        case .dataLoss: "DataLoss"
        case .unauthenticated: "Unauthenticated"
        }
    }

    package static let all: [GRPCCode] = (0...16).compactMap { GRPCCode(rawValue: $0) }
}
