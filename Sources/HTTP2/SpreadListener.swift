internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A listening socket of which several event loops take connections, each to keep: at any time that loop whose turn it
/// is by ``LoopLoads``.
///
/// NIO's own way hands connections out in turns. Then connections that last long pile up on one loop by chance, and a
/// client that is alone may be served by a loop that has to ask another one for everything. Every loop here has a
/// channel of its own on the same socket, and only one of them reads. For a moment two may, or none: the queue of the
/// socket holds what comes in meanwhile.
///
/// Invariant: each loop's channel is told after the last change of the taker, and looks who it is only then.
final class SpreadListener: Sendable {
    private struct State {
        var loads: LoopLoads
        /// One for each loop; empty until all are there.
        var channels: [any Channel] = []
    }

    private let loops: [any EventLoop]
    private let state: Mutex<State>

    /// - Parameter loops: the first takes the first connection; at least one.
    init(loops: [any EventLoop]) {
        self.loops = loops
        state = Mutex(State(loads: LoopLoads(loops: loops.count)))
    }

    /// - Parameters:
    ///   - bootstrap: makes what listens, and serves what it accepts, on the loop that it is given.
    ///   - bind: binds the first one to the address.
    /// - Returns: the channels, all on the one socket; fails with the system's error.
    func bind(
        _ bootstrap: @escaping @Sendable (any EventLoop) -> ServerBootstrap,
        _ bind: (ServerBootstrap) -> EventLoopFuture<any Channel>
    ) -> EventLoopFuture<[any Channel]> {
        let first = loops[0]
        return bind(prepared(bootstrap(first), 0)).hop(to: first).flatMap { [self] channel in
            let others = loops.indices.dropFirst().map { join(channel, bootstrap(loops[$0]), $0) }
            return EventLoopFuture.whenAllComplete(others, on: first).flatMapThrowing { [self] results in
                do {
                    let channels = [channel] + (try results.map { try $0.get() })
                    start(channels)
                    return channels
                } catch {
                    for channel in [channel] + results.compactMap({ try? $0.get() }) { channel.close(promise: nil) }
                    throw error
                }
            }
        }
    }

    /// One at a time, so that the loop which has taken a connection looks whether the next is its own as well.
    private func prepared(_ bootstrap: ServerBootstrap, _ loop: Int) -> ServerBootstrap {
        bootstrap.serverChannelOption(.maxMessagesPerRead, value: 1)
            .serverChannelOption(.autoRead, value: loop == 0)
    }

    /// Another channel on the socket of `channel`. Called on that one's loop.
    private func join(
        _ channel: any Channel, _ bootstrap: ServerBootstrap, _ loop: Int
    ) -> EventLoopFuture<any Channel> {
        do {
            // SAFETY: the descriptor is used while the channel has it; the copy belongs to whoever gets it.
            let socket = try channel.pipeline.syncOperations.withUnsafeTransportIfAvailable(
                of: NIOBSDSocket.Handle.self
            ) { dup($0) }
            guard let socket, socket >= 0 else { throw IOError(errnoCode: errno, reason: "dup") }
            return prepared(bootstrap, loop).withBoundSocket(socket)
        } catch {
            return channel.eventLoop.makeFailedFuture(error)
        }
    }

    /// Counts a connection until it is closed. Called on its loop, when it has been accepted.
    func count(_ channel: any Channel) {
        guard let loop = loops.firstIndex(where: { $0 === channel.eventLoop }) else { return }
        change { $0.opened(on: loop) }
        channel.closeFuture.whenComplete { [self] _ in change { $0.closed(on: loop) } }
    }

    private func start(_ channels: [any Channel]) {
        state.withLock { state in
            state.channels = channels
            for loop in loops.indices { tell(loop) }
        }
    }

    private func change(_ body: (inout LoopLoads) -> Void) {
        state.withLock { state in
            let former = state.loads.taker
            body(&state.loads)
            if state.loads.taker == former || state.channels.isEmpty { return }
            tell(former)
            tell(state.loads.taker)
        }
    }

    /// Lets a loop's channel see whether it takes connections. In a task of the loop even where this runs on it, so
    /// that nothing overtakes what it has been told before.
    private func tell(_ loop: Int) {
        loops[loop].execute { [self] in
            let (channel, takes) = state.withLock { ($0.channels[loop], $0.loads.taker == loop) }
            // One that is closed has nothing to take.
            try? channel.syncOptions?.setOption(.autoRead, value: takes)
        }
    }
}
