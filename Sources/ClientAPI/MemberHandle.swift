public import Member

/// The member as the client API sees it: requests go in as batches, answers come back to a sink.
public protocol MemberHandle: Sendable {
    /// Hands over requests, all or none; the answers go to `sink` on the member's thread, one for each request.
    /// - Returns: false when the member's mailbox is full; no request was taken then, and none will be answered.
    func submit(_ requests: [ClientRequest], sink: any ResponseSink) -> Bool

    /// Asks for the current figures; `body` is called with them on the member's thread, and must not block. It is not
    /// called at all once the member has stopped.
    func withStatistics(_ body: @escaping @Sendable (MemberStatistics) -> Void)
}
