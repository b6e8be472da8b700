package import HTTP2
package import NIOCore

/// What the services need of a client's connection: the seam between them and HTTP/2.
package protocol CallConnection: AnyObject, SendableMetatype {
    /// Tells the connections of one event loop apart.
    var id: UInt32 { get }
    var remoteAddress: SocketAddress? { get }
    func respond(_ stream: StreamID, message: ArraySlice<UInt8>)
    func send(_ stream: StreamID, message: ArraySlice<UInt8>)
    func end(_ stream: StreamID)
    func fail(_ stream: StreamID, code: UInt8, message: String)
    func flush()
}

extension ServerConnection: CallConnection {}

/// The limits of the calls of one event loop.
package struct CallLimits: Sendable {
    /// Calls that the member may be working on; more are refused as too many requests.
    package var callsUnderWay = 1 << 20
    /// Operations in one list of a transaction. etcd: `--max-txn-ops`.
    package var txnOperations = 128
    /// Slower calls are logged. etcd: `--warning-unary-request-duration`.
    package var slowCall = TimeAmount.milliseconds(300)
    /// What the plain HTTP endpoints wait for the member.
    package var probeTimeout = TimeAmount.seconds(7)

    package init() {}
}
