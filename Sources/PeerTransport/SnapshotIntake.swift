internal import Base
internal import Logging
internal import Member
internal import NIOCore
internal import NIOPosix
internal import Platform
internal import RaftCore
internal import RaftProto

/// The body of a posted snapshot, taken in part by part: the envelope into memory, the database onto the disk. Used on
/// its event loop only; the disk is written by a thread of the pool, one chunk after the other, while another one syncs
/// what has been written, so that little is left to sync at the end.
final class SnapshotIntake {
    private enum Stage {
        case envelope
        case database(Message)
        case failed(PeerRefusal)
    }

    private let core: TransportCore
    private var stage = Stage.envelope
    private var buffer = ByteBuffer()
    private var file: (any DiskFile)?
    private var offset: Int64 = 0
    private var pending: [ByteBuffer] = []
    private(set) var pendingBytes = 0
    private var isWriting = false
    private var isSyncing = false
    /// Bytes from the start of the file that have been synced, or are being synced.
    private var synced: Int64 = 0
    /// Set when the body has ended: what to do once everything is written.
    private var finish: ((Result<Message, PeerRefusal>) -> Void)?
    /// Told whenever the disk has caught up.
    var onProgress: () -> Void = {}

    /// Told apart from other intakes by its number.
    private let number: Int
    private let start: Instant
    /// Where it counts as under way; nil until the envelope has told whose it is, and after its end.
    private var record: PeerFigures?

    init(_ core: TransportCore, number: Int) {
        self.core = core
        self.number = number
        start = core.now()
    }

    private func countBegin(from sender: MemberID?) {
        record = core.record(of: sender)
        record?.value.snapshotsReceived.begin()
    }

    private func countEnd(succeeded: Bool) {
        let seconds = succeeded ? (core.now() - start).inSeconds : nil
        if record == nil, !succeeded { countBegin(from: nil) }
        guard let record = record.take() else { return }
        record.value.snapshotsReceived.end(after: seconds)
        if !succeeded { record.value.receiveFailures += 1 }
    }

    /// Whether the sender should pause.
    var isFull: Bool { pendingBytes >= PeerLimits.snapshotBufferBytes }

    func received(_ body: inout ByteBuffer) {
        switch stage {
        case .failed: break
        case .database: append(body)
        case .envelope:
            buffer.writeBuffer(&body)
            readEnvelope()
        }
    }

    private func readEnvelope() {
        guard let count = buffer.getInteger(at: buffer.readerIndex, as: UInt64.self) else { return }
        guard count <= UInt64(PeerLimits.snapshotEnvelopeBytes) else {
            return fail(.badRequest("failed to decode raft message (message of \(count) bytes)"))
        }
        guard buffer.readableBytes >= 8 + Int(count) else { return }
        buffer.moveReaderIndex(forwardBy: 8)
        let message: Message
        do throws(StreamError) { message = try Message(reading: Int(count), from: &buffer) } catch {
            return fail(.badRequest("failed to decode raft message (\(error))"))
        }
        guard message.type == .snapshot else { return fail(.badRequest("wrong raft message type")) }
        guard let metadata = message.snapshot?.metadata, metadata.index > .zero else {
            return fail(.badRequest("failed to decode raft message (no snapshot)"))
        }
        core.logger.info(
            "receiving database snapshot",
            metadata: [
                "local-member-id": "\(core.identity.localID)", "remote-snapshot-sender-id": "\(message.from)",
                "incoming-snapshot-index": "\(metadata.index)",
            ])
        stage = .database(message)
        countBegin(from: message.from)
        append(buffer)
        buffer = ByteBuffer()
    }

    private func append(_ body: ByteBuffer) {
        guard body.readableBytes > 0 else { return }
        pendingBytes += body.readableBytes
        record?.value.receivedBytes += UInt64(body.readableBytes)
        pending.append(body)
        writeOn()
    }

    private func writeOn() {
        guard !isWriting else { return }
        if pending.isEmpty { return finishWritten() }
        isWriting = true
        let chunks = pending
        pending = []
        let storage = core.storage
        let number = number
        let (known, start) = (file, offset)
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        core.diskThreads.runIfActive(eventLoop: core.eventLoop) {
            let file = try known ?? storage.create(number)
            var offset = start
            for chunk in chunks {
                try file.write(chunk.readableBytesSpan, at: offset)
                offset += Int64(chunk.readableBytes)
            }
            return Written(file: file, bytes: Int(offset - start))
        }.whenComplete { bound.value.written($0) }
    }

    private struct Written: Sendable {
        var file: any DiskFile
        var bytes: Int
    }

    private func written(_ result: Result<Written, any Error>) {
        isWriting = false
        switch result {
        case .success(let written):
            file = written.file
            offset += Int64(written.bytes)
            pendingBytes -= written.bytes
        case .failure(let error):
            fail(.failed("failed to save KV snapshot (\(error))"))
        }
        if case .failed = stage { discard() }
        onProgress()
        syncOn()
        writeOn()
    }

    private func syncOn() {
        guard !isSyncing, let file, offset - synced >= PeerLimits.snapshotSyncBytes else { return }
        isSyncing = true
        synced = offset
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        core.diskThreads.runIfActive(eventLoop: core.eventLoop) { try file.syncData() }
            .whenComplete { bound.value.synced($0) }
    }

    private func synced(_ result: Result<Void, any Error>) {
        isSyncing = false
        if case .failure(let error) = result {
            fail(.failed("failed to save KV snapshot (\(error))"))
            if !isWriting { discard() }
        }
        syncOn()
        writeOn()
    }

    private func fail(_ refusal: PeerRefusal) {
        if case .failed = stage { return }
        stage = .failed(refusal)
        countEnd(succeeded: false)
        pending = []
        pendingBytes = 0
        buffer = ByteBuffer()
    }

    private func discard() {
        guard let file = file.take() else { return }
        let storage = core.storage
        core.diskThreads.submit { _ in storage.discard(file) }
    }

    /// The connection broke before the body's end.
    func abort() {
        fail(.failed("failed to save KV snapshot (unexpected EOF)"))
        if !isWriting { discard() }
    }

    /// The body has ended. `body` gets the message once the database is durable, or why it is not.
    func end(_ body: @escaping (Result<Message, PeerRefusal>) -> Void) {
        finish = body
        if case .envelope = stage { fail(.badRequest("failed to decode raft message (unexpected EOF)")) }
        writeOn()
    }

    private func finishWritten() {
        // The kernel tells of a failure once: the last sync would not know what another one was told.
        guard !isSyncing, let finish = self.finish.take() else { return }
        switch stage {
        case .envelope: finish(.failure(.badRequest("failed to decode raft message (unexpected EOF)")))
        case .failed(let refusal):
            discard()
            finish(.failure(refusal))
        case .database(let message):
            guard let file, let index = message.snapshot?.metadata.index else {
                countEnd(succeeded: false)
                return finish(.failure(.failed("failed to save KV snapshot (no database)")))
            }
            complete(message, file, index.rawValue, finish)
        }
    }

    private func complete(
        _ message: Message, _ file: any DiskFile, _ index: UInt64,
        _ finish: @escaping (Result<Message, PeerRefusal>) -> Void
    ) {
        let storage = core.storage
        let bound = NIOLoopBound((self, finish), eventLoop: core.eventLoop)
        core.diskThreads.runIfActive(eventLoop: core.eventLoop) {
            try storage.finish(file, index: index)
        }.whenComplete { result in
            let (intake, finish) = bound.value
            switch result {
            case .success:
                intake.file = nil
                intake.countEnd(succeeded: true)
                intake.core.logger.info(
                    "received and saved database snapshot",
                    metadata: [
                        "remote-snapshot-sender-id": "\(message.from)", "incoming-snapshot-index": "\(index)",
                        "bytes": "\(intake.offset)",
                    ])
                finish(.success(message))
            case .failure(let error):
                intake.countEnd(succeeded: false)
                intake.discard()
                finish(.failure(.failed("failed to save KV snapshot (\(error))")))
            }
        }
    }
}
