import Base
import NIOCore
import PeerTransport
import RaftCore
import TestSupport
import Testing

/// Both forms of stream, against what real members send and against themselves.
@Suite struct FrameTests {
    private static let from = MemberID(0x66ac_2e60_7323_7f94)
    private static let to = MemberID(0x465a_c87a_dbd8_a573)

    private static func decodeAppends(
        _ bytes: [UInt8], piece: Int, from: MemberID = from, to: MemberID = to
    ) throws -> (messages: [Message], rest: Int) {
        var decoder = AppendFrameDecoder(from: from, to: to)
        var messages: [Message] = []
        var buffer = ByteBuffer()
        for start in stride(from: 0, to: bytes.count, by: piece) {
            buffer.writeBytes(bytes[start..<min(start + piece, bytes.count)])
            try decoder.decode(&buffer) { messages.append($0) }
        }
        return (messages, buffer.readableBytes)
    }

    private static func decodeMessages(_ bytes: [UInt8], piece: Int) throws -> (messages: [Message], rest: Int) {
        var decoder = MessageFrameDecoder()
        var messages: [Message] = []
        var buffer = ByteBuffer()
        for start in stride(from: 0, to: bytes.count, by: piece) {
            buffer.writeBytes(bytes[start..<min(start + piece, bytes.count)])
            try decoder.decode(&buffer) { messages.append($0) }
        }
        return (messages, buffer.readableBytes)
    }

    @Test(arguments: [1, 7, 64, 100_000]) func appendsOfRealMembers(piece: Int) throws {
        for bytes in [GoldenStreams.append351, GoldenStreams.append3423] {
            let (messages, rest) = try Self.decodeAppends(bytes, piece: piece)
            #expect(rest == 0)
            #expect(messages.count > 5)
            var last = messages[0].index
            for message in messages {
                #expect(message.type == .append && message.from == Self.from && message.to == Self.to)
                #expect(message.entries.allSatisfy { $0.term <= message.term })
                #expect(message.index >= last)
                last = message.index
            }
            let text = messages.flatMap(\.entries).map { String(decoding: $0.data, as: UTF8.self) }.joined()
            for key in ["key1", "value2", "key3"] { #expect(text.contains(key)) }
        }
    }

    @Test(arguments: [1, 7, 64, 100_000]) func messagesOfRealMembers(piece: Int) throws {
        for bytes in [GoldenStreams.message351, GoldenStreams.message3423] {
            let (messages, rest) = try Self.decodeMessages(bytes, piece: piece)
            #expect(rest == 0)
            #expect(messages.count > 3)
            #expect(messages.allSatisfy { $0.from == Self.from && $0.to == Self.to })
        }
    }

    /// What is decoded and encoded again are the same bytes: the encoder chooses the same frames as etcd's.
    @Test func theSameBytesComeOut() throws {
        for bytes in [GoldenStreams.append351, GoldenStreams.append3423] {
            var encoder = AppendFrameEncoder()
            var out = ByteBuffer()
            for message in try Self.decodeAppends(bytes, piece: bytes.count).messages {
                encoder.append(message, to: &out)
            }
            // The recording has heartbeats of the link in between, which are one zero byte each.
            let expected = try Self.withoutHeartbeats(bytes)
            #expect(Array(out.readableBytesView) == expected)
        }
        for bytes in [GoldenStreams.message351, GoldenStreams.message3423] {
            var encoder = MessageFrameEncoder()
            var out = ByteBuffer()
            for message in try Self.decodeMessages(bytes, piece: bytes.count).messages {
                encoder.append(message, to: &out)
            }
            let sent = Array(out.readableBytesView)
            #expect(sent.count > 100)
            #expect(Self.isSubsequence(sent, of: bytes))
        }
    }

    /// Cuts the frames of one byte 0 out of an append stream.
    private static func withoutHeartbeats(_ bytes: [UInt8]) throws -> [UInt8] {
        func number(at i: Int) -> Int { bytes[i..<i + 8].reduce(0) { $0 << 8 | Int($1) } }
        var out: [UInt8] = []
        var i = 0
        while i < bytes.count {
            var end = i + 1
            switch bytes[i] {
            case 0: break
            case 1:
                let count = number(at: end)
                end += 8
                for _ in 0..<count { end += 8 + number(at: end) }
                end += 8
            default: end += 8 + number(at: end)
            }
            if bytes[i] != 0 { out += bytes[i..<end] }
            i = end
        }
        return out
    }

    /// Whether `part` is left when frames are cut out of `whole`.
    private static func isSubsequence(_ part: [UInt8], of whole: [UInt8]) -> Bool {
        var i = 0
        for byte in whole where i < part.count && part[i] == byte { i += 1 }
        return i == part.count
    }

    // MARK: Ours

    private static func randomAppends(_ random: inout SeededGenerator) -> [Message] {
        var messages: [Message] = []
        var (term, index) = (Term(1), LogIndex(0))
        for _ in 0..<40 {
            switch random.next(below: 8) {
            case 0: term = term.next()
            case 1: index = LogIndex(UInt64(random.next(below: 100)))
            case 2:
                messages.append(.linkHeartbeat)
                continue
            default: break
            }
            let logTerm = random.next(below: 4) == 0 ? Term(max(1, term.rawValue - 1)) : term
            let count = random.next(below: 4)
            let entries = (0..<count).map { offset in
                Entry(
                    term: term, index: index + (offset + 1),
                    data: (0..<random.next(below: 50)).map { _ in UInt8(random.next(below: 256)) })
            }
            messages.append(
                Message(
                    type: .append, to: to, from: from, term: term, logTerm: logTerm, index: index, entries: entries,
                    commit: LogIndex(UInt64(random.next(below: 100)))))
            index = index + count
        }
        return messages
    }

    @Test(arguments: 1...20) func appendsSurviveTheStream(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let messages = Self.randomAppends(&random)
        var encoder = AppendFrameEncoder()
        var out = ByteBuffer()
        for message in messages { encoder.append(message, to: &out) }
        let bytes = Array(out.readableBytesView)
        let (read, rest) = try Self.decodeAppends(bytes, piece: 1 + random.next(below: 200))
        #expect(rest == 0)
        #expect(read == messages.filter { !$0.isLinkHeartbeat }, "seed \(seed)")
    }

    @Test func linkHeartbeatsAreSwallowed() throws {
        var encoder = MessageFrameEncoder()
        var out = ByteBuffer()
        encoder.append(.linkHeartbeat, to: &out)
        let expected = "000000000000001e 0808 1000 1800 2000 2800 3000 4000 4a0a12080a0228001000 1800 5000 5800"
        #expect(Array(out.readableBytesView) == Hex.bytes(expected))
        #expect(try Self.decodeMessages(Array(out.readableBytesView), piece: 5).messages.isEmpty)
    }

    // MARK: Damage

    @Test(arguments: [
        ("an unknown type", "07"),
        ("a message longer than allowed", "02 00000000ffffffff"),
        ("more entries than fit", "01 7fffffffffffffff"),
        ("an entry longer than allowed", "01 0000000000000001 7fffffffffffffff"),
        ("a message that is none", "02 0000000000000003 ffffff"),
        ("something else than an append", "02 0000000000000004 0805 2001"),
        ("an entry that does not follow", "01 0000000000000001 0000000000000004 10011809"),
        ("an index near the end of the numbers", "02 000000000000000d 0803 20ffff03 30ffffffffffffff7f"),
    ]) func damagedAppendStreams(what: String, hex: String) {
        #expect(throws: StreamError.self, "\(what)") {
            let bytes = Hex.bytes(hex) + [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            _ = try Self.decodeAppends(bytes, piece: bytes.count)
        }
    }

    /// Any damage is an error or another message, never a trap.
    @Test(arguments: 1...50) func randomDamage(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for golden in [GoldenStreams.append351, GoldenStreams.message351] {
            var bytes = golden
            for _ in 0..<4 { bytes[random.next(below: bytes.count)] = UInt8(random.next(below: 256)) }
            let piece = 1 + random.next(below: 300)
            _ = try? Self.decodeAppends(bytes, piece: piece)
            _ = try? Self.decodeMessages(bytes, piece: piece)
        }
    }
}
