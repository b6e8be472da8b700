internal import Base
internal import Logging
internal import MVCC
internal import Member
internal import NIOCore
internal import NIOHTTP1

/// A copy of another member's database on its way to this one's disk. Used on its event loop only.
final class DatabaseFetch: ResponseReceiver {
    private let core: TransportCore
    private let member: MemberID
    private var finish: ((Result<String, any Error>) -> Void)?
    private var channel: (any Channel)?
    private var status: Int?
    private var expected: Int64?
    private var received: Int64 = 0
    private var refusal: [UInt8] = []
    private var writer: DatabaseWriteBehind?
    private var isComplete = false

    /// What is kept of an answer that is no database.
    private static let refusalBytes = 512

    /// - Parameter finish: called once, on the event loop, with the path of the file, which is on the disk then.
    init(
        from member: MemberID, core: TransportCore, finish: @escaping (Result<String, any Error>) -> Void
    ) {
        self.core = core
        self.member = member
        self.finish = finish
    }

    func start(_ url: String) {
        guard let address = PeerAddress(url: url) else { return end(.failure(PeerFailure.noAddress(url))) }
        core.connector.connect(to: address, receiver: self, silence: PeerLimits.databaseSilence) { result in
            switch result {
            case .failure(let error): self.end(.failure(error))
            case .success(let channel):
                self.channel = channel
                guard self.finish != nil else { return channel.close(promise: nil) }
                channel.widenForDatabase()
                var headers = self.core.identity.headers(host: address.host)
                headers.replaceOrAdd(name: "Connection", value: "close")
                let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/martlet/database", headers: headers)
                channel.write(HTTPClientRequestPart.head(head), promise: nil)
                channel.writeAndFlush(HTTPClientRequestPart.end(nil), promise: nil)
            }
        }
    }

    func received(_ head: HTTPResponseHead) {
        status = Int(head.status.code)
        expected = head.headers.first(name: "Content-Length").flatMap { Int64($0) }
    }

    func received(_ body: inout ByteBuffer) {
        guard finish != nil else { return }
        guard status == 200 else {
            if refusal.count < Self.refusalBytes { refusal.append(contentsOf: body.readableBytesView) }
            return
        }
        if writer == nil {
            writer = core.writeBehind(pause: { [weak self] in self?.channel?.pauseReading($0) }) { [weak self] in
                self?.end(.failure($0))
            }
        }
        received += Int64(body.readableBytes)
        core.record(of: member).value.receivedBytes += UInt64(body.readableBytes)
        writer?.take(body)
    }

    func completed() {
        guard let status, finish != nil else { return }
        guard status == 200 else {
            return end(.failure(PeerFailure.status(status, String(decoding: refusal, as: UTF8.self))))
        }
        guard let writer, received == expected else {
            return end(.failure(PeerFailure.status(200, "\(received) of \(expected ?? 0) bytes")))
        }
        isComplete = true
        writer.finish({ storage, file in try storage.keep(file) }) { self.end($0.map(\.path)) }
    }

    func closed(_ error: (any Error)?) {
        channel = nil
        if !isComplete { end(.failure(error ?? PeerFailure.closed)) }
    }

    private func end(_ result: Result<String, any Error>) {
        guard let finish = self.finish.take() else { return }
        channel?.close(promise: nil)
        switch result {
        case .success(let path):
            core.logger.info(
                "fetched the database of another member",
                metadata: ["remote-peer-id": "\(member)", "path": "\(path)", "bytes": "\(received)"])
        case .failure(let error):
            writer?.discard()
            core.logger.warning(
                "cannot fetch the database of another member",
                metadata: ["remote-peer-id": "\(member)", "error": "\(error)"])
        }
        finish(result)
    }
}

extension TransportCore {
    /// Fetches the database of the first of these members that gives it.
    func fetchDatabase(from members: ArraySlice<MemberID>, reason: String = "no member to ask") {
        guard let member = members.first else {
            tell(.corruption(.databaseFetched(.failure(.init(description: reason)))))
            return
        }
        let fetch = DatabaseFetch(from: member, core: self) { [weak self] result in
            guard let self else { return }
            switch result {
            case .success(let path): tell(.corruption(.databaseFetched(.success(path))))
            case .failure(let error):
                peer(member)?.urls.moveOn()
                fetchDatabase(from: members.dropFirst(), reason: "\(member): \(error)")
            }
        }
        fetch.start(peer(member)?.urls.current ?? "")
    }
}
