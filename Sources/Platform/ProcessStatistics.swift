/// What the kernel knows about this process: the numbers behind the `process_*` metrics. A number that it does not give
/// is zero.
public struct ProcessStatistics: Sendable {
    public var residentBytes: UInt64 = 0
    public var virtualBytes: UInt64 = 0
    /// User and system time of all threads.
    public var cpuSeconds: Double = 0
    public var openDescriptors: Int = 0
    /// The soft limit on open descriptors; `UInt64.max` for none.
    public var descriptorLimit: UInt64 = 0
    /// The soft limit on address space; `UInt64.max` for none.
    public var virtualLimit: UInt64 = 0
    /// Received and sent on all interfaces but the loopback of the process's network namespace.
    public var networkReceivedBytes: UInt64 = 0
    public var networkSentBytes: UInt64 = 0
    /// Seconds since 1970-01-01 UTC.
    public var startTime: Double = 0

    public init() {}
}
