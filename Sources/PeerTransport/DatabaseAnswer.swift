internal import Base
internal import MVCC
internal import Member
internal import NIOCore
internal import NIOHTTP1
internal import Platform

/// The database on its way to another member that asked for it. Used on its event loop only.
final class DatabaseAnswer: DatabaseOutlet {
    private let copy: BackendSnapshot
    private let core: TransportCore
    private let record: PeerFigures
    private let channel: any Channel
    private var database: DatabaseReadAhead?
    /// Where it was when somebody last asked whether it gets on.
    private var seenOffset: Int64 = -1
    private var isOver = false

    init(_ copy: BackendSnapshot, to member: MemberID, over channel: any Channel, core: TransportCore) {
        self.copy = copy
        self.channel = channel
        self.core = core
        record = core.record(of: member)
        core.databasesGiven += 1
    }

    func start() {
        let headers = HTTPHeaders([
            ("Content-Type", "application/octet-stream"), ("Content-Length", String(copy.copy.size)),
            (PeerHeader.clusterID, core.identity.clusterID.description),
        ])
        let head = HTTPResponseHead(version: .http1_1, status: .ok, headers: headers)
        channel.writeAndFlush(HTTPServerResponsePart.head(head), promise: nil)
        let database = core.readAhead(of: copy.copy, into: self)
        self.database = database
        database.readOn()
    }

    var isWritable: Bool { channel.isWritable }

    func writable() { database?.readOn() }

    func write(_ piece: ByteBuffer, done: EventLoopPromise<Void>) {
        record.value.sentBytes += UInt64(piece.readableBytes)
        channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(piece)), promise: done)
    }

    func wroteAll() {
        close()
        channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
    }

    func readingFailed(_ error: any Error) {
        // The receiver notices that bytes are missing.
        close()
        channel.close(promise: nil)
    }

    /// Whether anything was sent since the last call: a receiver that takes nothing holds the copy.
    func getsOn() -> Bool {
        guard let offset = database?.offset else { return true }
        defer { seenOffset = offset }
        return offset > seenOffset
    }

    /// Lets go of the copy.
    func close() {
        guard !isOver else { return }
        isOver = true
        database?.stop()
        core.databasesGiven -= 1
        copy.copy.close()
    }
}
