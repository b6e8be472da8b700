public import Member

/// The member as the client API sees it: requests go in as batches, answers come back to a sink.
public protocol MemberHandle: Sendable {
    /// Hands over requests, all or none; the answers go to `sink`, one for each request, on any thread: also on the
    /// caller's, before the call returns.
    /// - Parameter isIdle: the caller has nothing else to do until it has the answers, so the call may take as long as
    ///   a short sync of the disk.
    /// - Returns: false when the member's mailbox is full; no request was taken then, and none will be answered.
    func submit(_ requests: [ClientRequest], sink: any ResponseSink, isIdle: Bool) -> Bool

    /// Asks for the current figures; `body` is called with them on any thread, also on the caller's before the call
    /// returns, and must not block.
    /// - Returns: false when the mailbox is full or the member has stopped; `body` is not called then.
    @discardableResult
    func withStatistics(_ body: @escaping @Sendable (MemberStatistics) -> Void) -> Bool
}

extension MemberLoop: MemberHandle {}
