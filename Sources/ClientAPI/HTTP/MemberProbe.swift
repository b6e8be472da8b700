package import EtcdProto
package import Member
package import NIOCore

/// What the plain HTTP endpoints ask of the member, from one event loop. The futures complete on that loop, within the
/// request timeout.
package protocol MemberProbe: AnyObject {
    var eventLoop: any EventLoop { get }
    /// Reads nothing in particular; the error that a client's read would have met, or nil.
    func probe(linearizable: Bool) -> EventLoopFuture<EtcdError?>
    /// Nil when the member does not answer.
    func statistics() -> EventLoopFuture<MemberStatistics?>
    /// The calls of all event loops together.
    func callCounters() -> EventLoopFuture<CallCounters>
}
