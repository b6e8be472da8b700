package import NIOCore

/// Judges the pings of a client as grpc-go's server does, so that clients tuned for it are treated alike.
package struct PingPolicy {
    /// The next offence after so many ends the connection.
    package static let maxStrikes = 2
    /// Without an open call, and unless permitted, a client may ping this often.
    package static let idleInterval = TimeAmount.hours(2)

    private let minTime: TimeAmount
    private let permitWithoutStream: Bool
    private var strikes = 0
    private var lastPing: NIODeadline?
    private var serverSentData = false

    package init(minTime: TimeAmount, permitWithoutStream: Bool) {
        self.minTime = minTime
        self.permitWithoutStream = permitWithoutStream
    }

    /// The server has sent headers or data: clients measure the round trip then, so the next ping is free.
    package mutating func noteServerSentData() { serverSentData = true }

    /// - Returns: false when the client has pinged too often.
    package mutating func receivePing(now: NIODeadline, hasOpenCalls: Bool) -> Bool {
        defer { lastPing = now }
        if serverSentData {
            serverSentData = false
            strikes = 0
            return true
        }
        let interval = hasOpenCalls || permitWithoutStream ? minTime : Self.idleInterval
        if let lastPing, lastPing + interval > now { strikes += 1 }
        return strikes <= Self.maxStrikes
    }
}
