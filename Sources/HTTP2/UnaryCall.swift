public import NIOCore

/// The ID of an HTTP/2 stream, which stands for one call on its connection. Never used twice on one connection.
public typealias StreamID = Int32

/// One complete unary call. All calls that one read from the socket completed are handed over together.
public struct UnaryCall: Sendable {
    /// On which stream of the connection the answer is awaited.
    public let stream: StreamID
    /// What ``GRPCService/resolve(_:)`` returned for the call's path.
    public let method: Int
    /// The request message, without gRPC's 5-byte prefix, decompressed.
    public var message: [UInt8]
    /// When the client gives up, from `grpc-timeout`. The connection answers then by itself.
    public let deadline: NIODeadline?
    /// Nil when the client sent none of the headers that ``CallMetadata`` has room for.
    public let metadata: CallMetadata?

    public init(stream: StreamID, method: Int, message: [UInt8], deadline: NIODeadline?, metadata: CallMetadata?) {
        self.stream = stream
        self.method = method
        self.message = message
        self.deadline = deadline
        self.metadata = metadata
    }
}

/// The few request headers that the services look at; where one came twice, the first counts. Shared by all calls of a
/// connection that sent the same ones.
public final class CallMetadata: Sendable {
    /// `token`: the auth token as gRPC clients send it.
    public let token: String?
    /// `authorization`: the auth token as HTTP clients send it.
    public let authorization: String?
    /// `hasleader` was `true`: the call is to fail while the member knows no leader.
    public let requiresLeader: Bool
    /// `client-api-version`, as sent; etcd refuses what is not UTF-8.
    public let clientAPIVersion: [UInt8]?
    /// `grpcgateway-accept` was there: the call came through a JSON gateway.
    public let throughGateway: Bool
    /// `martlet-max-staleness-ms`, as sent.
    public let maxStaleness: [UInt8]?

    public init(
        token: String? = nil, authorization: String? = nil, requiresLeader: Bool = false,
        clientAPIVersion: [UInt8]? = nil, throughGateway: Bool = false, maxStaleness: [UInt8]? = nil
    ) {
        self.maxStaleness = maxStaleness
        self.token = token
        self.authorization = authorization
        self.requiresLeader = requiresLeader
        self.clientAPIVersion = clientAPIVersion
        self.throughGateway = throughGateway
    }
}

/// What a service says about a path.
public enum MethodResolution: Sendable, Equatable {
    /// A unary method, under a number of the service's choosing.
    case unary(Int)
    /// The service exists, the method does not.
    case unknownMethod
    case unknownService
}
