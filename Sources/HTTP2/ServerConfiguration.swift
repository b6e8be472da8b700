public import NIOCore

/// Limits and times of the server side. The defaults are etcd's where etcd has one.
public struct ServerConfiguration: Sendable {
    /// The largest request message, decompressed. etcd: `--max-request-bytes` + 512 KiB.
    public var maxMessageBytes = 1_572_864 + 524_288
    /// Announced to clients as SETTINGS_MAX_CONCURRENT_STREAMS. etcd: `--max-concurrent-streams`.
    public var maxConcurrentStreams = UInt32.max
    /// Connections on each event loop; more are closed as they come.
    public var maxConnectionsPerLoop = 100_000

    /// The most streams that one connection may really have open, whatever is announced; more are refused
    /// (REFUSED_STREAM, which clients may retry).
    public var maxOpenStreams = 100_000
    /// Bytes of unfinished requests that one connection may hold; the call that passes it is refused.
    public var maxHeldRequestBytes = 256 << 20
    /// Bytes of answers that one connection may hold while its client does not read; further answers are replaced by
    /// an error.
    public var maxQueuedResponseBytes = 256 << 20
    /// Bytes of one request's headers, counted as RFC 9113 section 10.5.1 does: name, value and 32 for each.
    public var maxHeaderListBytes = 64 << 10

    /// Flow-control window of each stream and of the whole connection, in bytes.
    public var streamWindow: Int32 = 1 << 20
    public var connectionWindow: Int32 = 16 << 20
    /// Bytes put into one write to the socket.
    public var maxWriteBytes = 256 << 10

    /// Streams that a client may reset, or make the server reset, at once and then for each second; past that it is
    /// sent away (ENHANCE_YOUR_CALM).
    public var resetBurst = 10_000
    public var resetsPerSecond = 1_000
    /// Frames without use (PING, SETTINGS, PRIORITY, empty DATA, invalid ones), likewise.
    public var idleFrameBurst = 1_000
    public var idleFramesPerSecond = 100

    /// Client pings: at most one in this time, and none without an open call unless permitted. The third offence ends
    /// the connection. etcd: `--grpc-keepalive-min-time`.
    public var keepaliveMinTime = TimeAmount.seconds(5)
    public var keepalivePermitWithoutStream = false
    /// After this time without a sign of life the server pings. etcd: `--grpc-keepalive-interval`.
    public var keepaliveInterval = TimeAmount.hours(2)
    /// How long the answer may take. etcd: `--grpc-keepalive-timeout`.
    public var keepaliveTimeout = TimeAmount.seconds(20)
    /// Whether other processes may listen on the same port (SO_REUSEPORT). etcd: `--socket-reuse-port`.
    public var reusesPort = false
    /// How long a new connection may take to show which protocol it speaks.
    public var detectionTimeout = TimeAmount.seconds(120)

    public init() {}
}
