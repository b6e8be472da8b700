internal import Base
internal import Logging
internal import Member
internal import NIOCore
internal import NIOPosix
internal import Platform
internal import RaftCore
internal import RaftProto

/// The body of a posted snapshot, taken in part by part: the envelope into memory, the database onto the disk. Used on
/// its event loop only.
final class SnapshotIntake {
    private enum Stage {
        case envelope
        case database(Message)
        case failed(PeerRefusal)
    }

    private let core: TransportCore
    private var stage = Stage.envelope
    private var buffer = ByteBuffer()
    /// How much of the database has come.
    private var bytes = 0
    private var writer: DatabaseWriteBehind?
    private let pause: (Bool) -> Void
    private let start: Instant
    /// Where it counts as under way; nil until the envelope has told whose it is, and after its end.
    private var record: PeerFigures?

    /// - Parameter pause: called with true when the sender should pause, and with false when it should go on.
    init(_ core: TransportCore, pause: @escaping (Bool) -> Void) {
        self.core = core
        self.pause = pause
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
            return fail(Self.notDecoded("rafthttp: error limit exceeded"))
        }
        guard buffer.readableBytes >= 8 + Int(count) else { return }
        buffer.moveReaderIndex(forwardBy: 8)
        let message: Message
        do throws(StreamError) { message = try Message(reading: Int(count), from: &buffer) } catch {
            return fail(Self.notDecoded("\(error)"))
        }
        guard message.type == .snapshot else { return fail(.badRequest("wrong raft message type")) }
        guard let metadata = message.snapshot?.metadata, metadata.index > .zero else {
            return fail(Self.notDecoded("no snapshot"))
        }
        // Before its database is stored for nothing.
        if let refusal = core.refusal(of: message) { return fail(refusal) }
        core.logger.info(
            "receiving database snapshot",
            metadata: [
                "local-member-id": "\(core.identity.localID)", "remote-snapshot-sender-id": "\(message.from)",
                "incoming-snapshot-index": "\(metadata.index)",
            ])
        stage = .database(message)
        countBegin(from: message.from)
        writer = core.writeBehind(pause: pause) { [weak self] in self?.fail(Self.notSaved($0)) }
        append(buffer)
        buffer = ByteBuffer()
    }

    private func append(_ body: ByteBuffer) {
        bytes += body.readableBytes
        record?.value.receivedBytes += UInt64(body.readableBytes)
        writer?.take(body)
    }

    private static func notDecoded(_ why: String) -> PeerRefusal {
        .badRequest("failed to decode raft message (\(why))")
    }

    private static func notSaved(_ error: any Error) -> PeerRefusal {
        .failed("failed to save KV snapshot (\(error))")
    }

    private func fail(_ refusal: PeerRefusal) {
        switch stage {
        case .failed: return
        case .envelope: break
        case .database(let message):
            core.logger.warning(
                "failed to save incoming database snapshot",
                metadata: [
                    "local-member-id": "\(core.identity.localID)", "remote-snapshot-sender-id": "\(message.from)",
                    "incoming-snapshot-index": "\(message.snapshot?.metadata.index ?? .zero)", "bytes": "\(bytes)",
                    "error": "\(refusal.text)",
                ])
        }
        stage = .failed(refusal)
        countEnd(succeeded: false)
        buffer = ByteBuffer()
        writer?.discard()
    }

    /// The connection broke before the body's end.
    func abort() { fail(.failed("failed to save KV snapshot (unexpected EOF)")) }

    /// The body has ended. `body` gets the message once the database is durable, or why it is not.
    func end(_ body: @escaping (Result<Message, PeerRefusal>) -> Void) {
        if case .envelope = stage { fail(Self.notDecoded(buffer.readableBytes == 0 ? "EOF" : "unexpected EOF")) }
        switch stage {
        case .envelope: preconditionFailure("a body that ends in its envelope has failed")
        case .failed(let refusal): body(.failure(refusal))
        case .database(let message):
            guard let index = message.snapshot?.metadata.index.rawValue, let writer else {
                preconditionFailure("the envelope has been read")
            }
            writer.finish({ storage, file in try storage.finish(file, index: index) }) { result in
                self.ended(message, index, result, body)
            }
        }
    }

    private func ended(
        _ message: Message, _ index: UInt64, _ result: Result<DatabaseWriteBehind.Database, any Error>,
        _ body: (Result<Message, PeerRefusal>) -> Void
    ) {
        switch result {
        case .success(let database):
            countEnd(succeeded: true)
            core.logger.info(
                "received and saved database snapshot",
                metadata: [
                    "remote-snapshot-sender-id": "\(message.from)", "incoming-snapshot-index": "\(index)",
                    "bytes": "\(database.bytes)",
                ])
            body(.success(message))
        case .failure(let error):
            let refusal = Self.notSaved(error)
            fail(refusal)
            body(.failure(refusal))
        }
    }
}
