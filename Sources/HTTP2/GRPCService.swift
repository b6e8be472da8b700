/// What answers the calls: one instance for each event loop. Everything here is called on that loop.
public protocol GRPCService: AnyObject {
    /// Which method a `:path` such as `/etcdserverpb.KV/Range` names. Unary methods are asked for once for each loop
    /// and then remembered; paths that name nothing are asked for again.
    func resolve(_ path: [UInt8]) -> MethodResolution

    /// A client has connected. Answers that come from elsewhere find the connection again by its
    /// ``ServerConnection/id``.
    func connectionOpened(_ connection: ServerConnection)

    /// The connection is gone; answers to its calls go nowhere. Every open call was reported as cancelled before.
    func connectionClosed(_ connection: ServerConnection)

    /// All calls that one read from the socket completed, at least one. What is answered before this returns needs no
    /// ``ServerConnection/flush()``. The array may be emptied or left as it is.
    func receive(_ calls: inout [UnaryCall], on connection: ServerConnection)

    /// Nobody waits for the answer any more: the client reset the stream, its deadline passed (it has been answered),
    /// or the connection was lost. A late answer is ignored.
    func cancelled(_ stream: StreamID, on connection: ServerConnection)

    /// All messages of a streamed answer that were given have been sent, as far as the client's windows are concerned;
    /// time for the next. Not called after the end or a cancellation. What is given before this returns still needs a
    /// ``ServerConnection/flush()``.
    func drained(_ stream: StreamID, on connection: ServerConnection)
}

extension GRPCService {
    public func drained(_ stream: StreamID, on connection: ServerConnection) {}
}
