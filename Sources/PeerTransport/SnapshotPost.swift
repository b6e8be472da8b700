internal import Base
internal import Logging
internal import MVCC
internal import Member
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import RaftCore
internal import RaftProto

/// One snapshot on its way to a peer: the message, then the database as it is read from the file, a few chunks ahead of
/// the socket. Used on its event loop only.
final class SnapshotPost: ResponseReceiver {
    private let snapshot: OutgoingSnapshot
    private weak var peer: Peer?
    private let record: PeerFigures
    private let core: TransportCore
    private var finish: ((SnapshotPost, (any Error)?) -> Void)?
    private var channel: (any Channel)?
    private var offset: Int64 = 0
    private let size: Int64
    private var isReading = false
    private var status: Int?
    private var answer: [UInt8] = []
    private var deadline: Scheduled<Void>?
    private var progress: SnapshotProgress

    /// What is kept of the peer's answer.
    private static let answerBytes = 512

    /// - Parameter finish: called once, on the event loop, with the error if the snapshot did not arrive.
    init(
        _ snapshot: OutgoingSnapshot, to peer: Peer, core: TransportCore,
        finish: @escaping (SnapshotPost, (any Error)?) -> Void
    ) {
        self.snapshot = snapshot
        self.peer = peer
        record = peer.record
        self.core = core
        self.finish = finish
        size = snapshot.database.size
        progress = SnapshotProgress(size: size, at: core.now())
    }

    func start() {
        let url = peer?.urls.current ?? ""
        guard let address = PeerAddress(url: url) else { return end(PeerFailure.noAddress(url)) }
        core.logger.info("sending database snapshot", metadata: fields)
        core.connector.connect(to: address, receiver: self) { result in
            switch result {
            case .failure(let error): self.end(error)
            case .success(let channel):
                self.channel = channel
                if self.finish == nil { return channel.close(promise: nil) }
                self.begin(channel, host: address.host)
            }
        }
    }

    func cancel() { end(PeerFailure.closed) }

    private var fields: Logger.Metadata {
        [
            "snapshot-index": "\(snapshot.message.snapshot?.metadata.index ?? .zero)",
            "remote-peer-id": "\(record.value.id)",
            "bytes": "\(size)",
        ]
    }

    private func begin(_ channel: any Channel, host: String) {
        var headers = core.identity.headers(host: host)
        headers.add(name: "Content-Type", value: "application/octet-stream")
        headers.add(name: "Transfer-Encoding", value: "chunked")
        let head = HTTPRequestHead(version: .http1_1, method: .POST, uri: "/raft/snapshot", headers: headers)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        var envelope: [UInt8] = []
        snapshot.message.encode(to: &envelope)
        var body = channel.allocator.buffer(capacity: envelope.count + 8)
        body.writeInteger(UInt64(envelope.count))
        body.writeBytes(envelope)
        channel.writeAndFlush(HTTPClientRequestPart.body(.byteBuffer(body)), promise: nil)
        readOn()
        if size == 0 { sentAll(channel) }
    }

    /// Reads the next chunk unless one is being read or waited for, all is read, or the socket is full.
    private func readOn() {
        guard !isReading, offset < size, finish != nil, let channel, channel.isWritable else { return }
        isReading = true
        let count = Int(min(Int64(core.snapshotPace.pieceBytes), size - offset))
        let wait = core.snapshotPace.wait(for: count, at: core.now())
        if wait == .zero { return read(count) }
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        core.eventLoop.scheduleTask(in: TimeAmount(wait)) { bound.value.read(count) }
    }

    private func read(_ count: Int) {
        guard finish != nil else { return }
        let database = snapshot.database
        let start = offset
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        core.diskThreads.runIfActive(eventLoop: core.eventLoop) {
            ByteBuffer(bytes: try database.read(at: start, count: count))
        }.whenComplete { bound.value.take($0) }
    }

    private func take(_ chunk: Result<ByteBuffer, any Error>) {
        isReading = false
        guard finish != nil, let channel else { return }
        switch chunk {
        case .failure(let error): end(error)
        case .success(let bytes):
            offset += Int64(bytes.readableBytes)
            record.value.sentBytes += UInt64(bytes.readableBytes)
            // The disk's thread has the next chunk ready when this one is on its way.
            readOn()
            channel.writeAndFlush(HTTPClientRequestPart.body(.byteBuffer(bytes)), promise: nil)
            if let line = progress.line(sent: offset, at: core.now()) {
                var fields = fields
                for (name, value) in line { fields[name] = .string(value) }
                core.logger.info("sending database snapshot", metadata: fields)
            }
            if offset == size { sentAll(channel) } else { readOn() }
        }
    }

    private func sentAll(_ channel: any Channel) {
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
    }

    func writable() { readOn() }

    // MARK: The answer

    func received(_ head: HTTPResponseHead) {
        status = Int(head.status.code)
        // The rest of the answer has to come soon.
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        deadline = core.eventLoop.scheduleTask(in: PeerLimits.postTimeout) { bound.value.end(PeerFailure.timeout) }
    }

    func received(_ body: inout ByteBuffer) {
        if answer.count < Self.answerBytes { answer.append(contentsOf: body.readableBytesView) }
    }

    func completed() {
        guard let status, finish != nil else { return }
        switch status {
        case 200...299:
            core.logger.info("sent database snapshot", metadata: fields)
            end(nil)
        default:
            if status == 403 { core.removed(toldBy: record.value.id) }
            end(PeerFailure.status(status, String(decoding: answer, as: UTF8.self)))
        }
    }

    func closed(_ error: (any Error)?) { end(error ?? PeerFailure.closed) }

    private func end(_ error: (any Error)?) {
        guard let finish = finish.take() else { return }
        deadline?.cancel()
        channel?.close(promise: nil)
        if let error {
            core.logger.warning(
                "failed to send database snapshot", metadata: fields.merging(["error": "\(error)"]) { $1 })
            peer?.urls.moveOn()
        }
        finish(self, error)
    }
}
