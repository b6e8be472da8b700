internal import Glibc
internal import NIOCore
internal import NIOPosix
internal import Synchronization

/// A listening socket of which several event loops take connections, each to keep: at any time that loop whose turn it
/// is by ``LoopLoads``.
///
/// NIO's own way hands connections out in turns. Then connections that last long pile up on one loop by chance, and a
/// client that is alone may be served by a loop that has to ask another one for everything. Every loop here has a
/// channel of its own on the same socket, and only one of them reads. While the reader changes nobody does, and the
/// queue of the socket holds what comes in.
///
/// Invariant: at most one channel reads. NIO takes it for a fault of its own if a connection is announced and is not
/// there, as another loop has taken it; its debug builds end the process.
final class SpreadListener: Sendable {
    private struct State {
        var loads: LoopLoads
        /// One for each loop; empty until all are there.
        var channels: [any Channel] = []
        /// The loop whose channel reads; nil while the reader changes.
        var reader: Int? = 0

        /// Begins a change of the reader if it is not the one that is to take the next connection, and no change is
        /// under way.
        /// - Returns: who has to stop reading.
        mutating func beginChange() -> Int? {
            guard !channels.isEmpty, let former = reader, former != loads.taker else { return nil }
            reader = nil
            return former
        }
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
        change { $0.loads.opened(on: loop) }
        channel.closeFuture.whenComplete { [self] _ in change { $0.loads.closed(on: loop) } }
    }

    private func start(_ channels: [any Channel]) {
        change { $0.channels = channels }
    }

    private func change(_ body: (inout State) -> Void) {
        let former = state.withLock { state in
            body(&state)
            return state.beginChange()
        }
        if let former { changeReader(from: former) }
    }

    /// The former one stops before the next one starts, each on its loop. Who is next is looked up in between.
    private func changeReader(from former: Int) {
        loops[former].execute { [self] in
            setReads(former, false)
            let next = state.withLock { $0.loads.taker }
            loops[next].execute { [self] in
                setReads(next, true)
                change { $0.reader = next }
            }
        }
    }

    private func setReads(_ loop: Int, _ reads: Bool) {
        let channel = state.withLock { $0.channels[loop] }
        // One that is closed has nothing to take.
        try? channel.syncOptions?.setOption(.autoRead, value: reads)
    }
}
