internal import Base
internal import Logging
internal import MVCC
internal import Member
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Platform

/// A copy of another member's database on its way to this one's disk. Used on its event loop only; the disk is written
/// by a thread of the pool, one batch of chunks after the other.
final class DatabaseFetch: ResponseReceiver {
    private let core: TransportCore
    private let member: MemberID
    private let number: Int
    private var finish: ((Result<String, any Error>) -> Void)?
    private var channel: (any Channel)?
    private var status: Int?
    private var expected: Int64?
    private var refusal: [UInt8] = []
    private var file: (any DiskFile)?
    private var offset: Int64 = 0
    private var pending: [[UInt8]] = []
    private var pendingBytes = 0
    private var isWriting = false
    private var isComplete = false

    /// What is kept of an answer that is no database.
    private static let refusalBytes = 512

    /// - Parameter finish: called once, on the event loop, with the path of the file, which is on the disk then.
    init(
        from member: MemberID, core: TransportCore, number: Int,
        finish: @escaping (Result<String, any Error>) -> Void
    ) {
        self.core = core
        self.member = member
        self.number = number
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
        guard finish != nil, let bytes = body.readBytes(length: body.readableBytes) else { return }
        guard status == 200 else {
            if refusal.count < Self.refusalBytes { refusal.append(contentsOf: bytes) }
            return
        }
        pending.append(bytes)
        pendingBytes += bytes.count
        core.record(of: member).value.receivedBytes += UInt64(bytes.count)
        // The socket waits for the disk.
        if pendingBytes >= PeerLimits.snapshotBufferBytes { setReading(false) }
        writeOn()
    }

    private func setReading(_ reads: Bool) {
        channel?.setOption(.autoRead, value: reads).whenFailure { _ in }
    }

    private func writeOn() {
        guard !isWriting, finish != nil else { return }
        guard !pending.isEmpty else {
            if isComplete { seal() }
            return
        }
        isWriting = true
        let chunks = pending
        pending = []
        let storage = core.storage
        let (known, start, number) = (file, offset, number)
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        core.diskThreads.runIfActive(eventLoop: core.eventLoop) {
            let file = try known ?? storage.create(number)
            var offset = start
            do {
                for chunk in chunks {
                    try file.write(chunk.span.bytes, at: offset)
                    offset += Int64(chunk.count)
                }
            } catch {
                // Nobody else knows the file yet.
                if known == nil { storage.discard(file) }
                throw error
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
            if finish == nil { return discard() }
            if pendingBytes < PeerLimits.snapshotBufferBytes { setReading(true) }
            writeOn()
        case .failure(let error): end(.failure(error))
        }
    }

    func completed() {
        guard let status else { return }
        guard status == 200 else {
            return end(.failure(PeerFailure.status(status, String(decoding: refusal, as: UTF8.self))))
        }
        isComplete = true
        writeOn()
    }

    func closed(_ error: (any Error)?) {
        channel = nil
        if !isComplete { end(.failure(error ?? PeerFailure.closed)) }
    }

    /// All has come in: it becomes durable.
    private func seal() {
        guard let file, offset == expected else {
            return end(.failure(PeerFailure.status(200, "\(offset) of \(expected ?? 0) bytes")))
        }
        isWriting = true
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        core.diskThreads.runIfActive(eventLoop: core.eventLoop) {
            try file.sync()
            try file.close()
            return file.path
        }.whenComplete { result in
            bound.value.isWriting = false
            if case .success = result { bound.value.file = nil }
            bound.value.end(result)
        }
    }

    private func discard() {
        guard let file = file.take() else { return }
        let storage = core.storage
        core.diskThreads.submit { _ in storage.discard(file) }
    }

    private func end(_ result: Result<String, any Error>) {
        guard let finish = self.finish.take() else { return }
        channel?.close(promise: nil)
        if !isWriting { discard() }
        switch result {
        case .success(let path):
            core.logger.info(
                "fetched the database of another member",
                metadata: ["remote-peer-id": "\(member)", "path": "\(path)", "bytes": "\(offset)"])
        case .failure(let error):
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
        let fetch = DatabaseFetch(from: member, core: self, number: nextIntakeNumber()) { [weak self] result in
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
