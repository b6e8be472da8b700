internal import Base
package import MVCC
package import NIOCore
package import NIOPosix
internal import Synchronization

/// What a database goes into on its way to another member. Called on the event loop.
package protocol DatabaseOutlet: AnyObject {
    /// Whether a piece would be taken now. When it becomes true, `DatabaseReadAhead.readOn` is to be called.
    var isWritable: Bool { get }
    /// Sends the next piece, and tells the promise when its memory is not needed any more.
    func write(_ piece: ByteBuffer, done: EventLoopPromise<Void>)
    /// All of it has been written.
    func wroteAll()
    /// It cannot be read on. The last call.
    func readingFailed(_ error: any Error)
}

/// A copy of the database on its way to a socket: read by a thread of the pool, a piece ahead of what the socket takes.
/// Used on its event loop only.
///
/// The pieces' memory goes round: what the socket has taken is read into again. There is as much of it as the socket
/// holds back before it is full, and one piece.
package final class DatabaseReadAhead {
    private let copy: BackendCopy
    private weak var outlet: (any DatabaseOutlet)?
    private let pace: Pace
    private let threads: NIOThreadPool
    private let eventLoop: any EventLoop
    /// Bytes that have been written to the outlet.
    package private(set) var offset: Int64 = 0
    private var spare: [Piece] = []
    private var isReading = false
    private var isOver = false

    /// How fast it may go.
    package struct Pace {
        /// Bytes of a piece.
        package var pieceBytes: Int
        /// Asked once before each piece, with its bytes: how long to wait before it is sent.
        package var wait: (Int) -> Duration

        package init(pieceBytes: Int, wait: @escaping (Int) -> Duration) {
            self.pieceBytes = pieceBytes
            self.wait = wait
        }
    }

    /// The memory of a piece: of the thread that reads into it, then of the socket, then spare.
    private final class Piece: Sendable {
        private let bytes = Mutex(ByteBuffer())

        /// Reads into the memory, which is replaced if somebody still uses it.
        func fill(from copy: BackendCopy, at offset: Int64, count: Int) throws(BackendError) {
            try bytes.withLock { bytes throws(BackendError) in
                bytes.clear(minimumCapacity: count)
                try bytes.writeWithOutputRawSpan(minimumWritableBytes: count) { output throws(BackendError) in
                    try copy.read(at: offset, count: count, into: &output)
                }
            }
        }

        var content: ByteBuffer { bytes.withLock { $0 } }
    }

    /// - Parameter outlet: not kept.
    package init(
        _ copy: BackendCopy, into outlet: any DatabaseOutlet, pace: Pace, threads: NIOThreadPool,
        eventLoop: any EventLoop
    ) {
        self.copy = copy
        self.outlet = outlet
        self.pace = pace
        self.threads = threads
        self.eventLoop = eventLoop
    }

    package var size: Int64 { copy.size }

    /// Reads the next piece unless one is being read or waited for, all is read, or the outlet is full.
    package func readOn() {
        guard !isReading, !isOver, let outlet, outlet.isWritable else { return }
        guard offset < size else {
            isOver = true
            return outlet.wroteAll()
        }
        isReading = true
        let count = Int(min(Int64(pace.pieceBytes), size - offset))
        let wait = pace.wait(count)
        if wait == .zero { return read(count) }
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.scheduleTask(in: TimeAmount(wait)) { bound.value.read(count) }
    }

    /// Reads nothing any more.
    package func stop() { isOver = true }

    private func read(_ count: Int) {
        guard !isOver else { return }
        let (copy, start) = (copy, offset)
        let piece = spare.popLast() ?? Piece()
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        threads.runIfActive(eventLoop: eventLoop) { try piece.fill(from: copy, at: start, count: count) }
            .whenComplete { bound.value.take(piece, count, $0) }
    }

    private func take(_ piece: Piece, _ count: Int, _ result: Result<Void, any Error>) {
        isReading = false
        guard !isOver, let outlet else { return }
        switch result {
        case .failure(let error):
            isOver = true
            outlet.readingFailed(error)
        case .success:
            offset += Int64(count)
            // The next one is read while the socket takes this one.
            if offset < size { readOn() }
            let done = eventLoop.makePromise(of: Void.self)
            let bound = NIOLoopBound(self, eventLoop: eventLoop)
            // That a piece could not be sent is the outlet's business.
            done.futureResult.whenComplete { _ in bound.value.spare.append(piece) }
            outlet.write(piece.content, done: done)
            readOn()
        }
    }
}
