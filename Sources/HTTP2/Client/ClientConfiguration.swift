public import NIOCore

/// Limits and times of the client side.
public struct ClientConfiguration: Sendable {
    /// The largest response message, decompressed. etcd's client takes 2 GiB − 1.
    public var maxMessageBytes = Int(Int32.max)
    /// Calls that may be open at once on one connection; more fail at once.
    public var maxOpenCalls = 100_000
    /// Bytes of request messages that may wait to be sent; a call that passes it fails at once.
    public var maxQueuedRequestBytes = 256 << 20
    /// Bytes of one response's headers or trailers, counted as RFC 9113 section 10.5.1 does.
    public var maxHeaderListBytes = 64 << 10

    /// Flow-control window of each stream and of the whole connection, in bytes.
    public var streamWindow: Int32 = 1 << 20
    public var connectionWindow: Int32 = 16 << 20
    /// Bytes put into one write to the socket.
    public var maxWriteBytes = 256 << 10

    public var connectTimeout = TimeAmount.seconds(5)
    /// After this time without a sign of life the client pings; nil: never. etcd's servers allow one in 5 s, and only
    /// while a call is open; this client pings only then, too.
    public var keepaliveInterval: TimeAmount?
    /// How long the answer to a ping may take.
    public var keepaliveTimeout = TimeAmount.seconds(20)
    public var userAgent = "grpc-martlet"
    /// Adds the handlers of TLS to a channel that is about to connect, before all others; nil for plain HTTP/2. The
    /// protocol to agree on is `h2`.
    public var secure: (@Sendable (any Channel) throws -> Void)?

    public init() {}
}
