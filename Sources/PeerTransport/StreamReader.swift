internal import Base
internal import Logging
internal import Member
internal import NIOCore
internal import NIOHTTP1
internal import RaftCore

/// Keeps one stream from a peer open and reads it: dials, checks the answer, decodes, dials again when it is lost.
/// Used on its event loop only.
final class StreamReader {
    private let kind: StreamKind
    private let core: TransportCore
    private weak var peer: Peer?
    /// Bytes still come in from a stream whose peer has gone.
    private let record: PeerFigures
    private var dial = StreamDial()
    private var connection: Connection?

    init(_ kind: StreamKind, of peer: Peer, core: TransportCore) {
        self.kind = kind
        self.peer = peer
        record = peer.record
        self.core = core
    }

    var isAttached: Bool { dial.isAttached }

    func start() { perform(dial.start()) }

    func stop() { perform(dial.stop()) }

    private func perform(_ action: StreamDial.Action) {
        switch action {
        case .nothing: break
        case .dial(let attempt): open(attempt)
        case .wait(let attempt):
            let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
            core.eventLoop.scheduleTask(in: PeerLimits.redialInterval) {
                bound.value.perform(bound.value.dial.waited(attempt))
            }
        case .close: connection?.hangUp()
        }
    }

    private func open(_ attempt: Int) {
        guard let peer else { return }
        let url = peer.urls.current ?? ""
        guard let address = PeerAddress(url: url) else {
            return lost(attempt, PeerFailure.noAddress(url))
        }
        let connection = Connection(attempt, self, host: address.host)
        self.connection = connection
        core.connector.connect(
            to: address, receiver: connection, silence: PeerLimits.streamSilence, inlet: connection.makeInlet()
        ) { result in
            switch result {
            case .failure(let error): connection.closed(error)
            case .success(let channel): connection.request(channel)
            }
        }
    }

    private func lost(_ attempt: Int, _ error: any Error) {
        let wasAttached = dial.isAttached
        let action = dial.lost(attempt)
        guard action != .nothing, let peer else { return }
        connection = nil
        if wasAttached {
            core.logger.warning("lost TCP streaming connection with remote peer", metadata: fields(error: error))
        }
        peer.failed("failed to \(wasAttached ? "read" : "dial") stream \(kind.rawValue): \(error)")
        if let url = peer.urls.current, PeerFailure.isRefusal(error) { peer.refused(at: url) }
        if let failure = error as? PeerFailure, failure.isLasting { peer.refused(because: failure) }
        peer.urls.moveOn()
        perform(action)
    }

    private func fields(error: (any Error)? = nil) -> Logger.Metadata {
        var fields: Logger.Metadata = [
            "stream-reader-type": "\(kind.rawValue)", "local-member-id": "\(core.identity.localID)",
            "remote-peer-id": "\(record.value.id)",
        ]
        if let error { fields["error"] = "\(error)" }
        return fields
    }

    // MARK: Answers

    /// - Returns: whether the stream may be read.
    private func accept(_ head: HTTPResponseHead, _ attempt: Int) -> Bool {
        if head.status == .gone { core.removed(toldBy: record.value.id) }
        guard head.status == .ok, flaw(of: head) == nil else { return false }
        dial.accepted(attempt)
        core.logger.info("established TCP streaming connection with remote peer", metadata: fields())
        peer?.succeeded()
        return true
    }

    /// Why a stream is not read although it is given.
    private func flaw(of head: HTTPResponseHead) -> PeerFailure? {
        let cluster = head.headers.first(name: PeerHeader.clusterID) ?? ""
        guard cluster == core.identity.clusterID.description else { return .otherCluster(cluster) }
        let text = head.headers.first(name: PeerHeader.version)
        guard let version = text.map({ PeerVersion($0) }) ?? .unnamed,
            !version.isOlder(than: core.identity.oldestVersion)
        else { return .oldVersion(text ?? "") }
        return nil
    }

    /// The answer that was refused, in words.
    private func refusal(_ head: HTTPResponseHead, _ text: [UInt8]) -> PeerFailure {
        if head.status == .ok, let flaw = flaw(of: head) { return flaw }
        let text = String(decoding: text, as: UTF8.self).prefix { $0 != "\n" }
        return .status(Int(head.status.code), String(text))
    }

    /// One connection of the stream.
    private final class Connection: ResponseReceiver {
        private let attempt: Int
        private let reader: StreamReader
        private let host: String
        private var channel: (any Channel)?
        private weak var inlet: StreamInlet?
        private var head: HTTPResponseHead?
        private var isAccepted = false
        private var refusalText: [UInt8] = []
        private var buffer = ByteBuffer()
        private var decoder: Decoder
        private var isHungUp = false
        private var failure: (any Error)?

        private enum Decoder {
            case append(AppendFrameDecoder)
            case message(MessageFrameDecoder)
        }

        /// What is kept of a refusal's text.
        private static let refusalBytes = 256
        /// A buffer that has grown beyond this is given back when it has been read.
        private static let retainedBytes = 1 << 20

        init(_ attempt: Int, _ reader: StreamReader, host: String) {
            self.attempt = attempt
            self.reader = reader
            self.host = host
            switch reader.kind {
            case .append:
                decoder = .append(AppendFrameDecoder(from: reader.record.value.id, to: reader.core.identity.localID))
            case .message: decoder = .message(MessageFrameDecoder())
            }
        }

        /// What takes the stream's frames past HTTP's handlers.
        func makeInlet() -> StreamInlet {
            let inlet = StreamInlet(self)
            self.inlet = inlet
            return inlet
        }

        func request(_ channel: any Channel) {
            if isHungUp { return channel.close(promise: nil) }
            self.channel = channel
            let identity = reader.core.identity
            var headers = identity.headers(host: host)
            headers.add(name: PeerHeader.to, value: reader.record.value.id.description)
            let head = HTTPRequestHead(
                version: .http1_1, method: .GET, uri: "/raft/stream/\(reader.kind.rawValue)/\(identity.localID)",
                headers: headers)
            channel.write(HTTPClientRequestPart.head(head), promise: nil)
            channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        }

        func hangUp() {
            isHungUp = true
            channel?.close(promise: nil)
        }

        func received(_ head: HTTPResponseHead) {
            guard !isHungUp else { return }
            self.head = head
            isAccepted = reader.accept(head, attempt)
            if isAccepted && head.isChunked { inlet?.divert() }
        }

        func received(_ body: inout ByteBuffer) {
            guard isAccepted else {
                if refusalText.count < Self.refusalBytes { refusalText.append(contentsOf: body.readableBytesView) }
                return
            }
            guard !isHungUp, failure == nil else { return }
            reader.record.value.receivedBytes += UInt64(body.readableBytes)
            if buffer.readableBytes == 0 {
                swap(&buffer, &body)
            } else {
                buffer.writeBuffer(&body)
            }
            do throws(StreamError) { try decode() } catch {
                reader.record.value.receiveFailures += 1
                failure = error
                channel?.close(promise: nil)
            }
            if buffer.readableBytes == 0 {
                buffer = ByteBuffer()
            } else if buffer.readerIndex > Self.retainedBytes {
                buffer.discardReadBytes()
            }
        }

        private func decode() throws(StreamError) {
            let core = reader.core
            switch decoder {
            case .append(var append):
                defer { decoder = .append(append) }
                try append.decode(&buffer) { core.receive($0) }
            case .message(var message):
                defer { decoder = .message(message) }
                try message.decode(&buffer) { core.receive($0) }
            }
        }

        func completed() {
            if !isAccepted, let head, failure == nil { failure = reader.refusal(head, refusalText) }
            channel?.close(promise: nil)
        }

        func closed(_ error: (any Error)?) {
            guard !isHungUp else { return }
            isHungUp = true
            if !isAccepted, let head, failure == nil { failure = reader.refusal(head, refusalText) }
            reader.lost(attempt, failure ?? error ?? PeerFailure.closed)
        }
    }
}
