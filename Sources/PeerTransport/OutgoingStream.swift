internal import Base
internal import NIOCore
internal import RaftCore

/// A stream that a peer has dialled, as its writer sees it. Used on its event loop only.
///
/// What the socket does not take now waits here, up to a limit; it is dropped with the stream. Invariant: messages wait
/// only while the socket is full.
final class OutgoingStream {
    let kind: StreamKind
    private let channel: any Channel
    private let outlet: StreamOutlet
    private var encoder: Encoder
    private var waiting: [Message] = []
    private var heartbeat: RepeatedTask?
    private var fullSince: NIODeadline?
    private(set) var isOpen = true
    /// Bytes of frames handed to the socket, as the reader counts them.
    private(set) var sentBytes: UInt64 = 0

    private enum Encoder {
        case append(AppendFrameEncoder)
        case message(MessageFrameEncoder)
    }

    /// - Parameters:
    ///   - channel: a response's head has been written to it.
    ///   - outlet: the channel's.
    init(_ kind: StreamKind, channel: any Channel, outlet: StreamOutlet) {
        self.kind = kind
        self.channel = channel
        self.outlet = outlet
        encoder =
            switch kind {
            case .append: .append(AppendFrameEncoder())
            case .message: .message(MessageFrameEncoder())
            }
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        heartbeat = channel.eventLoop.scheduleRepeatedTask(
            initialDelay: PeerLimits.linkHeartbeatInterval, delay: PeerLimits.linkHeartbeatInterval
        ) { _ in bound.value.beat() }
    }

    /// Sends all messages, in one write, or queues them while the socket is full.
    /// - Returns: false when some had to be dropped.
    func send(_ messages: [Message]) -> Bool {
        guard isOpen else { return false }
        if waiting.isEmpty && channel.isWritable {
            write(messages)
            return true
        }
        let room = PeerLimits.queuedStreamMessages - waiting.count
        waiting.append(contentsOf: messages.prefix(room))
        return messages.count <= room
    }

    private func write(_ messages: [Message]) {
        var buffer = channel.allocator.buffer(capacity: messages.reduce(256) { $0 + $1.sizeEstimate })
        let chunk = ChunkWriter(to: &buffer)
        switch encoder {
        case .append(var append):
            for message in messages { append.append(message, to: &buffer) }
            encoder = .append(append)
        case .message(var message):
            for each in messages { message.append(each, to: &buffer) }
            encoder = .message(message)
        }
        sentBytes += UInt64(chunk.finish(&buffer))
        outlet.write(buffer)
    }

    /// The socket takes more.
    func writable() {
        fullSince = nil
        guard isOpen, !waiting.isEmpty else { return }
        var messages: [Message] = []
        swap(&messages, &waiting)
        write(messages)
    }

    /// Keeps the stream alive, and gives it up when the socket has been full for too long.
    private func beat() {
        guard isOpen else { return }
        if channel.isWritable { return write([.linkHeartbeat]) }
        let now = NIODeadline.now()
        let since = fullSince ?? now
        fullSince = since
        if now - since >= PeerLimits.streamSilence { close() }
    }

    /// Closes the connection; what waits is lost.
    /// - Returns: whether anything was.
    @discardableResult
    func close() -> Bool {
        guard isOpen else { return false }
        isOpen = false
        heartbeat?.cancel()
        channel.close(promise: nil)
        defer { waiting.removeAll() }
        return !waiting.isEmpty
    }
}

extension Message {
    /// About what it takes on the wire.
    fileprivate var sizeEstimate: Int { entries.reduce(64 + context.count) { $0 + 40 + $1.data.count } }
}
