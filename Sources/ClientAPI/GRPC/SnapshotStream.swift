internal import Crypto
package import EtcdProto
package import HTTP2
package import Logging
internal import MVCC
package import Member
package import NIOCore
internal import NIOPosix

/// Sends a copy of the backend as the answer to `Maintenance.Snapshot`: the pieces in order, then the SHA-256 of all of
/// them. Used on its event loop only; reading and hashing are done by a thread pool, one block ahead of the sending, so
/// that at most two blocks are in memory.
package final class SnapshotStream<Connection: CallConnection> {
    private let connection: Connection
    private let stream: StreamID
    private let source: SnapshotSource
    private let eventLoop: any EventLoop
    private let start: NIODeadline
    private let logger: Logger
    /// Told once how it ended, and before that of each message's size.
    private let report: (Event) -> Void

    private var position = SnapshotSource.Position()
    /// Read and not yet given to the connection.
    private var ready: SnapshotSource.Block?
    private var isReading = false
    /// The connection has sent everything and waits.
    private var isStarving = true
    private var hasEnded = false

    package enum Event {
        case sent(bytes: Int)
        case ended(GRPCCode)
    }

    package init(
        _ snapshot: BackendSnapshot, to stream: StreamID, on connection: Connection, eventLoop: any EventLoop,
        logger: Logger, report: @escaping (Event) -> Void
    ) {
        source = SnapshotSource(snapshot)
        self.connection = connection
        self.stream = stream
        self.eventLoop = eventLoop
        self.logger = logger
        self.report = report
        start = .now()
        logger.info(
            "sending database snapshot to client", metadata: ["total-bytes": .stringConvertible(snapshot.copy.size)])
        readAhead()
    }

    /// Everything that was given has been sent.
    package func drained() {
        guard !hasEnded else { return }
        guard let block = ready.take() else {
            isStarving = true
            return
        }
        send(block)
    }

    /// Nobody wants the rest.
    package func cancel() { finish(nil) }

    private func readAhead() {
        guard !isReading, ready == nil, !position.isAtEnd else { return }
        isReading = true
        let block = NIOThreadPool.singleton.runIfActive(eventLoop: eventLoop) { [source, position] in
            try source.read(at: position)
        }
        block.assumeIsolated().whenComplete { [self] result in
            isReading = false
            guard !hasEnded else { return }
            switch result {
            case .success(let block):
                position = block.next
                if isStarving { send(block) } else { ready = block }
            case .failure(let error):
                logger.warning("failed to send database snapshot", metadata: ["error": "\(error)"])
                connection.fail(stream, code: GRPCCode.internal.rawValue, message: "\(error)")
                connection.flush()
                finish(.internal)
            }
        }
    }

    private func send(_ block: SnapshotSource.Block) {
        isStarving = false
        for message in block.messages {
            connection.send(stream, message: message[...])
            report(.sent(bytes: message.count))
        }
        if block.next.isAtEnd {
            connection.end(stream)
            let time = NIODeadline.now() - start
            logger.info(
                "successfully sent database snapshot to client",
                metadata: [
                    "total-bytes": .stringConvertible(source.size), "took": "\(Double(time.nanoseconds) / 1e9)s",
                ])
            finish(.ok)
        } else {
            readAhead()
        }
        connection.flush()
    }

    private func finish(_ code: GRPCCode?) {
        guard !hasEnded else { return }
        hasEnded = true
        ready = nil
        source.close()
        if let code { report(.ended(code)) }
    }
}

/// The messages of a snapshot, made block by block on any thread.
struct SnapshotSource: Sendable {
    /// Bytes of the copy in one message, as etcd has it.
    static let messageBytes = 32 << 10
    /// Messages read at once.
    static let blockMessages = 16

    private let snapshot: BackendSnapshot

    struct Position: Sendable {
        var offset: Int64 = 0
        var digest = SHA256()
        /// The digest has been read, too.
        var isAtEnd = false
    }

    struct Block: Sendable {
        /// `SnapshotResponse`, encoded.
        var messages: [[UInt8]]
        var next: Position
    }

    init(_ snapshot: BackendSnapshot) { self.snapshot = snapshot }

    var size: Int64 { snapshot.copy.size }

    func close() { snapshot.copy.close() }

    /// The next messages; behind those of the last piece comes the one with the digest.
    func read(at position: Position) throws -> Block {
        var block = Block(messages: [], next: position)
        let bytes = try snapshot.copy.read(at: position.offset, count: Self.messageBytes * Self.blockMessages)
        block.next.digest.update(data: bytes)
        var rest = bytes[...]
        while !rest.isEmpty {
            let piece = rest.prefix(Self.messageBytes)
            rest = rest.dropFirst(piece.count)
            block.next.offset += Int64(piece.count)
            block.messages.append(message(piece, remaining: UInt64(size - block.next.offset)))
        }
        if block.next.offset == size {
            block.messages.append(message(Array(block.next.digest.finalize())[...], remaining: 0))
            block.next.isAtEnd = true
        }
        return block
    }

    private func message(_ blob: ArraySlice<UInt8>, remaining: UInt64) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(blob.count + 32)
        if remaining > 0 { Wire.appendVarintField(2, remaining, to: &out) }
        Wire.appendBytesField(3, blob, to: &out)
        if !snapshot.storageVersion.isEmpty { Wire.appendBytesField(4, snapshot.storageVersion.utf8, to: &out) }
        return out
    }
}
