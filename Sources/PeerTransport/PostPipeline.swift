internal import Base
internal import Member
internal import NIOCore
internal import NIOHTTP1
internal import RaftCore
internal import RaftProto

/// Posts messages one by one to a peer that has no streams open yet, over one connection that is kept. Used on its
/// event loop only.
final class PostPipeline {
    private let core: TransportCore
    private let peer: MemberID
    private let connection: KeptConnection
    var urls: PeerURLs
    /// The first one is under way.
    private var queue: [Message] = []
    private var isStopped = false
    /// Tells the peer's record how a post went.
    var onOutcome: (Result<Void, any Error>) -> Void = { _ in }

    init(_ core: TransportCore, to peer: MemberID, urls: PeerURLs) {
        self.core = core
        self.peer = peer
        self.urls = urls
        connection = KeptConnection(core.connector)
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
        connection.close()
    }

    private func next() {
        guard !isStopped, !connection.isBusy, let message = queue.first else { return }
        connection.send(core.request(bringing: message), to: urls.current ?? "") { [weak self] in self?.posted($0) }
    }

    private func posted(_ result: Result<PeerAnswer, any Error>) {
        switch result {
        case .success(let answer) where (200...299).contains(answer.status):
            queue.removeFirst()
            onOutcome(.success(()))
            next()
        case .success(let answer) where answer.status == 403:
            queue.removeFirst()
            core.removed(toldBy: peer)
            next()
        case .success(let answer): failed(PeerFailure.status(answer.status, ""))
        case .failure(let error): failed(error)
        }
    }

    /// Everything that waits is lost: raft sends what matters again.
    private func failed(_ error: any Error) {
        queue.removeAll()
        connection.close()
        urls.moveOn()
        core.unreachable(peer)
        onOutcome(.failure(error))
    }
}

extension TransportCore {
    /// The request that brings a message, whose bytes are counted as sent.
    func request(bringing message: Message) -> PeerRequest {
        var body: [UInt8] = []
        message.encode(to: &body)
        record(of: message.to).value.sentBytes += UInt64(body.count)
        var headers = identity.headers
        headers.add(name: "Content-Type", value: "application/protobuf")
        return PeerRequest(
            method: .POST, path: "/raft", headers: headers, body: body, timeout: PeerLimits.postTimeout)
    }
}
