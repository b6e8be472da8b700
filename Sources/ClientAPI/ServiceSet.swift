internal import HTTP2
internal import Logging
internal import NIOCore

/// The services of all event loops; each is made on its loop when it is first asked for.
final class ServiceSet: Sendable {
    private let boxes: [NIOLoopBoundBox<CallService<ServerConnection>?>]
    private let member: any MemberHandle
    private let limits: CallLimits
    private let logger: Logger

    init(group: any EventLoopGroup, member: any MemberHandle, limits: CallLimits, logger: Logger) {
        boxes = group.makeIterator().map { NIOLoopBoundBox.makeEmptyBox(eventLoop: $0) }
        self.member = member
        self.limits = limits
        self.logger = logger
    }

    /// Call on that loop, which must be one of the group's.
    func service(of eventLoop: any EventLoop) -> CallService<ServerConnection> {
        guard let box = boxes.first(where: { $0.eventLoop === eventLoop }) else {
            preconditionFailure("an event loop that is not of the server's group")
        }
        if let service = box.value { return service }
        let service = CallService<ServerConnection>(
            eventLoop: eventLoop, member: member, limits: limits, logger: logger,
            siblings: { self.counters(on: eventLoop) })
        box.value = service
        return service
    }

    private func counters(on eventLoop: any EventLoop) -> EventLoopFuture<CallCounters> {
        let each = boxes.map { box in box.eventLoop.submit { box.value?.counters ?? CallCounters() } }
        return EventLoopFuture.reduce(into: CallCounters(), each, on: eventLoop) { $0.add($1) }
    }
}
