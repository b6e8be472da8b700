import NIOCore
import NIOEmbedded
import NIOHTTP1
import PeerTransport
import Testing

/// HTTP's chunked coding, as streams use it past HTTP's own handlers.
struct ChunkTests {
    private static func chunk(_ data: [UInt8]) -> ByteBuffer {
        var buffer = ByteBuffer()
        let writer = ChunkWriter(to: &buffer)
        buffer.writeBytes(data)
        #expect(writer.finish(&buffer) == data.count)
        return buffer
    }

    /// Everything that the reader makes of `bytes`, handed over in pieces of `size` bytes.
    private static func read(_ bytes: [UInt8], piece size: Int) throws -> (data: [UInt8], reader: ChunkReader) {
        var reader = ChunkReader()
        var data: [UInt8] = []
        for start in stride(from: 0, to: bytes.count, by: size) {
            var buffer = ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)])
            while let piece = try reader.next(&buffer) { data.append(contentsOf: piece.readableBytesView) }
        }
        return (data, reader)
    }

    @Test(arguments: [(1, "1"), (9, "9"), (10, "a"), (255, "ff"), (4096, "1000"), (70_000, "11170")])
    func aChunkIsItsSizeAndItsData(count: Int, size: String) {
        let data = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        let chunk = Self.chunk(data)
        #expect(Array(chunk.readableBytesView) == Array("\(size)\r\n".utf8) + data + Array("\r\n".utf8))
    }

    @Test(arguments: 1...40) func whatIsWrittenIsReadInPiecesOfAnySize(size: Int) throws {
        let parts = [1, 15, 16, 17, 300].map { count in (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7) } }
        let bytes = parts.flatMap { Array(Self.chunk($0).readableBytesView) }
        let (data, reader) = try Self.read(bytes, piece: size)
        #expect(data == parts.flatMap { $0 })
        #expect(!reader.isComplete)
        let end = try Self.read(bytes + Array("0\r\n\r\n".utf8), piece: size)
        #expect(end.data == data)
        #expect(end.reader.isComplete)
    }

    @Test(arguments: [
        "3\r\nabc\r\n0\r\n\r\n", "03;name=value\r\nabc\r\n00\r\n\r\n",
        "3 \r\nabc\r\n0\r\nTrailer: x\r\nOther: y\r\n\r\n",
        "1\r\na\r\n2;x\r\nbc\r\n0;y\r\n\r\n",
    ])
    func extensionsAndTrailersArePassedOver(text: String) throws {
        for size in 1...text.utf8.count {
            let (data, reader) = try Self.read(Array(text.utf8), piece: size)
            #expect(String(decoding: data, as: UTF8.self) == "abc")
            #expect(reader.isComplete)
        }
    }

    @Test(arguments: [
        ("x\r\n", ChunkError.invalidSize), ("\r\n", .invalidSize), ("-1\r\n", .invalidSize), ("3g\r\n", .invalidSize),
        ("123456789\r\n", .invalidSize), ("3\r\nabcd\r\n", .missingLineEnd), ("3\r\nabc\rx", .missingLineEnd),
        ("1;" + String(repeating: "x", count: ChunkReader.lineLimit + 1), .lineTooLong),
        ("0\r\n" + String(repeating: "x: y\r\n", count: ChunkReader.lineLimit), .lineTooLong),
    ])
    func whatIsNoChunkIsRefused(text: String, error: ChunkError) {
        for size in [1, 3, 1 << 16] {
            #expect(throws: error) { try Self.read(Array(text.utf8), piece: size) }
        }
    }

    // MARK: In the pipeline

    private final class Receiver: ResponseReceiver {
        weak var inlet: StreamInlet?
        var status: UInt?
        var data: [UInt8] = []
        var isComplete = false
        var isClosed = false

        func received(_ head: HTTPResponseHead) {
            status = head.status.code
            if head.isChunked { inlet?.divert() }
        }
        func received(_ body: inout ByteBuffer) { data.append(contentsOf: body.readableBytesView) }
        func completed() { isComplete = true }
        func closed(_ error: (any Error)?) { isClosed = true }
    }

    /// What stands behind HTTP's handlers, and tells the receiver what has come through them.
    private final class Tail: ChannelInboundHandler {
        typealias InboundIn = HTTPClientResponsePart
        let receiver: Receiver
        var bodies = 0
        var errors = 0
        init(_ receiver: Receiver) { self.receiver = receiver }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            switch unwrapInboundIn(data) {
            case .head(let head): receiver.received(head)
            case .body(var body):
                bodies += 1
                receiver.received(&body)
            case .end: receiver.completed()
            }
        }
        func errorCaught(context: ChannelHandlerContext, error: any Error) { errors += 1 }
    }

    private static func channel() throws -> (EmbeddedChannel, Receiver, Tail) {
        let receiver = Receiver()
        let inlet = StreamInlet(receiver)
        receiver.inlet = inlet
        let tail = Tail(receiver)
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandler(inlet)
        try channel.pipeline.syncOperations.addHTTPClientHandlers()
        try channel.pipeline.syncOperations.addHandler(tail)
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        let head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/", headers: ["Host": "x"])
        try channel.writeOutbound(HTTPClientRequestPart.head(head))
        try channel.writeOutbound(HTTPClientRequestPart.end(nil))
        return (channel, receiver, tail)
    }

    private static let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    @Test func aStreamGoesPastHTTPHoweverItIsCut() throws {
        let bytes = Array((Self.chunked + "3\r\nabc\r\n5\r\ndefgh\r\n").utf8)
        for size in 1...bytes.count {
            let (channel, receiver, tail) = try Self.channel()
            for start in stride(from: 0, to: bytes.count, by: size) {
                try channel.writeInbound(ByteBuffer(bytes: bytes[start..<min(start + size, bytes.count)]))
            }
            #expect(receiver.status == 200)
            #expect(String(decoding: receiver.data, as: UTF8.self) == "abcdefgh")
            #expect(tail.bodies == 0)
            try channel.writeInbound(ByteBuffer(string: "0\r\n\r\n"))
            #expect(receiver.isComplete)
            _ = try channel.finish(acceptAlreadyClosed: true)
        }
    }

    @Test func aResponseOfAnotherFormStaysWithHTTP() throws {
        let (channel, receiver, tail) = try Self.channel()
        try channel.writeInbound(ByteBuffer(string: "HTTP/1.1 410 Gone\r\nContent-Length: 4\r\n\r\ngone"))
        #expect(receiver.status == 410)
        #expect(String(decoding: receiver.data, as: UTF8.self) == "gone")
        #expect(tail.bodies == 1)
        #expect(receiver.isComplete)
        _ = try channel.finish(acceptAlreadyClosed: true)
    }

    @Test func aBrokenChunkIsAnErrorAndNothingAfterItIsTaken() throws {
        let (channel, receiver, tail) = try Self.channel()
        try channel.writeInbound(ByteBuffer(string: Self.chunked + "3\r\nabcX\r\n3\r\ndef\r\n"))
        try channel.writeInbound(ByteBuffer(string: "3\r\nghi\r\n"))
        #expect(String(decoding: receiver.data, as: UTF8.self) == "abc")
        #expect(tail.errors == 1)
        #expect(!receiver.isComplete)
        _ = try? channel.finish(acceptAlreadyClosed: true)
    }

    @Test func chunksLeavePastTheHandlersBehindTheOutlet() throws {
        let outlet = StreamOutlet()
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandler(outlet)
        try channel.pipeline.syncOperations.configureHTTPServerPipeline()
        outlet.write(Self.chunk([1, 2, 3]))
        let written = try #require(try channel.readOutbound(as: ByteBuffer.self))
        #expect(Array(written.readableBytesView) == Array("3\r\n".utf8) + [1, 2, 3] + Array("\r\n".utf8))
        _ = try channel.finish()
        outlet.write(Self.chunk([4]))
        #expect(try channel.readOutbound(as: ByteBuffer.self) == nil)
    }
}
