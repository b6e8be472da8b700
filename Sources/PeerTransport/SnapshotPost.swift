internal import Base
internal import Logging
internal import MVCC
internal import Member
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import RaftCore
internal import RaftProto

/// One snapshot on its way to a peer: the message, then the database as it is read from the file. Used on its event
/// loop only.
final class SnapshotPost: ResponseReceiver, DatabaseOutlet {
    private let snapshot: OutgoingSnapshot
    private weak var peer: Peer?
    private let record: PeerFigures
    private let core: TransportCore
    private var finish: ((SnapshotPost, (any Error)?) -> Void)?
    private var channel: (any Channel)?
    private var database: DatabaseReadAhead?
    private let size: Int64
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
        let database = core.readAhead(of: snapshot.database, into: self)
        self.database = database
        database.readOn()
    }

    // MARK: The database

    var isWritable: Bool { channel?.isWritable ?? false }

    func writable() { database?.readOn() }

    func write(_ piece: ByteBuffer, done: EventLoopPromise<Void>) {
        guard let channel, let database else { return done.fail(PeerFailure.closed) }
        record.value.sentBytes += UInt64(piece.readableBytes)
        channel.writeAndFlush(HTTPClientRequestPart.body(.byteBuffer(piece)), promise: done)
        if let line = progress.line(sent: database.offset, at: core.now()) {
            var fields = fields
            for (name, value) in line { fields[name] = .string(value) }
            core.logger.info("sending database snapshot", metadata: fields)
        }
    }

    func wroteAll() { channel?.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil) }

    func readingFailed(_ error: any Error) { end(error) }

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
        database?.stop()
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
