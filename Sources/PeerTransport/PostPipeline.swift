internal import Base
internal import Member
internal import NIOCore
internal import NIOHTTP1
internal import RaftCore
internal import RaftProto

/// Posts messages one by one to a peer that has no streams open yet, over one connection that is kept. Used on its
/// event loop only.
final class PostPipeline: ResponseReceiver {
    private let core: TransportCore
    private let peer: MemberID
    var urls: PeerURLs
    private var queue: [Message] = []
    private var state = State.closed
    private var isStopped = false
    private var status: Int?
    private var deadline: Scheduled<Void>?
    /// Tells the peer's record how a post went.
    var onOutcome: (Result<Void, any Error>) -> Void = { _ in }

    private enum State {
        case closed
        case connecting
        case idle(any Channel)
        /// The first message of the queue has been posted.
        case posting(any Channel)
    }

    init(_ core: TransportCore, to peer: MemberID, urls: PeerURLs) {
        self.core = core
        self.peer = peer
        self.urls = urls
    }

    /// - Returns: false when there are too many already.
    func post(_ message: Message) -> Bool {
        guard !isStopped, queue.count < PeerLimits.queuedPosts else { return false }
        queue.append(message)
        next()
        return true
    }

    func stop() {
        isStopped = true
        queue.removeAll()
        close()
    }

    private func next() {
        guard !queue.isEmpty else { return }
        switch state {
        case .connecting, .posting: break
        case .idle(let channel): write(queue[0], to: channel)
        case .closed: connect()
        }
    }

    private func connect() {
        guard let address = PeerAddress(url: urls.current ?? "") else {
            return failed(PeerFailure.noAddress(urls.current ?? ""))
        }
        state = .connecting
        core.connector.connect(to: address, receiver: self) { result in
            switch result {
            case .failure(let error):
                self.state = .closed
                self.failed(error)
            case .success(let channel):
                guard !self.isStopped else { return channel.close(promise: nil) }
                self.state = .idle(channel)
                self.next()
            }
        }
    }

    private func write(_ message: Message, to channel: any Channel) {
        state = .posting(channel)
        var body: [UInt8] = []
        message.encode(to: &body)
        core.record(of: peer).value.sentBytes += UInt64(body.count)
        var headers = core.identity.headers(host: PeerAddress(url: urls.current ?? "")?.host ?? "")
        headers.add(name: "Content-Type", value: "application/protobuf")
        headers.add(name: "Content-Length", value: String(body.count))
        let head = HTTPRequestHead(version: .http1_1, method: .POST, uri: "/raft", headers: headers)
        channel.write(HTTPClientRequestPart.head(head), promise: nil)
        channel.write(HTTPClientRequestPart.body(.byteBuffer(ByteBuffer(bytes: body))), promise: nil)
        channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        deadline = core.eventLoop.scheduleTask(in: PeerLimits.postTimeout) {
            bound.value.close()
            bound.value.failed(PeerFailure.timeout)
        }
    }

    private func close() {
        deadline?.cancel()
        deadline = nil
        switch state {
        case .idle(let channel), .posting(let channel): channel.close(promise: nil)
        case .closed, .connecting: break
        }
        state = .closed
    }

    /// Everything that waits is lost: raft sends what matters again.
    private func failed(_ error: any Error) {
        queue.removeAll()
        urls.moveOn()
        core.unreachable(peer)
        onOutcome(.failure(error))
    }

    // MARK: Answers

    func received(_ head: HTTPResponseHead) { status = Int(head.status.code) }

    func received(_ body: inout ByteBuffer) {}

    func completed() {
        guard case .posting(let channel) = state, let status else { return }
        deadline?.cancel()
        self.status = nil
        switch status {
        case 200...299:
            state = .idle(channel)
            queue.removeFirst()
            onOutcome(.success(()))
            next()
        case 403:
            close()
            core.removed(toldBy: peer)
        default:
            close()
            failed(PeerFailure.status(status, ""))
        }
    }

    func closed(_ error: (any Error)?) {
        switch state {
        case .posting:
            close()
            failed(error ?? PeerFailure.closed)
        case .idle: state = .closed
        case .closed, .connecting: break
        }
    }
}
