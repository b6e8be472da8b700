public import Member

/// The member as the client API sees it: requests go in as batches, answers come back to a sink.
public protocol MemberHandle: Sendable {
    /// Hands over requests, all or none; the answers go to `sink` on the member's thread, one for each request.
    /// - Returns: false when the member's mailbox is full; no request was taken then, and none will be answered.
    func submit(_ requests: [ClientRequest], sink: any ResponseSink) -> Bool

    /// Asks for the current figures; `body` is called with them on the member's thread, and must not block.
    /// - Returns: false when the mailbox is full or the member has stopped; `body` is not called then.
    @discardableResult
    func withStatistics(_ body: @escaping @Sendable (MemberStatistics) -> Void) -> Bool
}

extension MemberLoop: MemberHandle {}
