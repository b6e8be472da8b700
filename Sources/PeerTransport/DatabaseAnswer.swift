internal import Base
internal import MVCC
internal import Member
internal import NIOCore
internal import NIOHTTP1
internal import NIOPosix
internal import Platform

/// The database on its way to another member that asked for it: read from the file a piece ahead of the socket. Used on
/// its event loop only.
final class DatabaseAnswer {
    private let copy: BackendSnapshot
    private let core: TransportCore
    private let record: PeerFigures
    private let channel: any Channel
    private var offset: Int64 = 0
    /// Where it was when somebody last asked whether it gets on.
    private var seenOffset: Int64 = -1
    private var isReading = false
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
        readOn()
    }

    /// Reads the next piece unless one is being read or waited for, all is sent, or the socket is full.
    func readOn() {
        guard !isReading, !isOver, channel.isWritable else { return }
        guard offset < copy.copy.size else {
            close()
            return channel.writeAndFlush(HTTPServerResponsePart.end(nil), promise: nil)
        }
        isReading = true
        let count = Int(min(Int64(core.snapshotPace.pieceBytes), copy.copy.size - offset))
        let wait = core.snapshotPace.wait(for: count, at: core.now())
        if wait == .zero { return read(count) }
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        core.eventLoop.scheduleTask(in: TimeAmount(wait)) { bound.value.read(count) }
    }

    private func read(_ count: Int) {
        guard !isOver else { return }
        let database = copy.copy
        let start = offset
        let bound = NIOLoopBound(self, eventLoop: core.eventLoop)
        core.diskThreads.runIfActive(eventLoop: core.eventLoop) {
            try database.read(at: start, count: count)
        }.whenComplete { bound.value.take($0) }
    }

    private func take(_ piece: Result<[UInt8], any Error>) {
        isReading = false
        guard !isOver else { return }
        switch piece {
        case .failure:
            // The receiver notices that bytes are missing.
            close()
            channel.close(promise: nil)
        case .success(let bytes):
            offset += Int64(bytes.count)
            record.value.sentBytes += UInt64(bytes.count)
            channel.writeAndFlush(HTTPServerResponsePart.body(.byteBuffer(ByteBuffer(bytes: bytes))), promise: nil)
            readOn()
        }
    }

    /// Whether anything was sent since the last call: a receiver that takes nothing holds the copy.
    func getsOn() -> Bool {
        defer { seenOffset = offset }
        return offset > seenOffset
    }

    /// Lets go of the copy.
    func close() {
        guard !isOver else { return }
        isOver = true
        core.databasesGiven -= 1
        copy.copy.close()
    }
}
