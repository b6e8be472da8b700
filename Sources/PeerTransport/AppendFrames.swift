package import Base
internal import EtcdProto
package import NIOCore
package import RaftCore
internal import RaftProto

/// The frames of the append stream ("msgAppV2"). A short frame leaves out what the one before it tells: sender,
/// receiver, term and previous index. Format: docs/formats/peer.md.
private enum AppendFrame {
    static let heartbeat: UInt8 = 0
    static let entries: UInt8 = 1
    static let message: UInt8 = 2
    /// The smallest encoded entry, with its length.
    static let smallestEntry = 8
}

/// What both ends of an append stream remember of the last frame.
private struct AppendPosition: Equatable {
    var term = Term.zero
    var index = LogIndex.zero

    /// Where the next append continues if it is an ordinary one.
    init(after message: Message) {
        term = message.term
        index = message.entries.last?.index ?? message.index
    }

    init() {}

    /// Whether a message carries nothing but what the position and its entries say.
    func isContinued(by message: Message) -> Bool {
        index == message.index && term == message.logTerm && message.logTerm == message.term
    }
}

/// Writes the append stream of one connection.
package struct AppendFrameEncoder {
    private var position = AppendPosition()
    private var scratch: [UInt8] = []

    package init() {}

    package mutating func append(_ message: Message, to out: inout ByteBuffer) {
        if message.isLinkHeartbeat {
            out.writeInteger(AppendFrame.heartbeat)
        } else if position.isContinued(by: message) {
            appendEntries(message, to: &out)
            position.index = position.index + message.entries.count
        } else {
            out.writeInteger(AppendFrame.message)
            scratch.removeAll(keepingCapacity: true)
            message.encode(to: &scratch)
            out.writeInteger(UInt64(scratch.count))
            out.writeBytes(scratch)
            position = AppendPosition(after: message)
        }
    }

    private mutating func appendEntries(_ message: Message, to out: inout ByteBuffer) {
        out.writeInteger(AppendFrame.entries)
        out.writeInteger(UInt64(message.entries.count))
        for entry in message.entries {
            out.writeInteger(UInt64(entry.wireSize))
            scratch.removeAll(keepingCapacity: true)
            entry.encodeHeader(to: &scratch)
            out.writeBytes(scratch)
            out.writeBytes(entry.data)
        }
        out.writeInteger(message.commit.rawValue)
    }
}

/// Reads the append stream of one connection, however it is cut into pieces. After an error it must not be used again.
package struct AppendFrameDecoder {
    private var position = AppendPosition()
    private let from: MemberID
    private let to: MemberID
    /// The short frame that is being read.
    private var partial: Partial?

    /// No log gets there; raft refuses such an index, too.
    private static let indexLimit = LogIndex(1 << 62)

    private struct Partial {
        var remaining: UInt64
        var entries: [Entry] = []
    }

    /// - Parameters:
    ///   - from: the peer that was dialled.
    ///   - to: this member.
    package init(from: MemberID, to: MemberID) {
        self.from = from
        self.to = to
    }

    /// Takes all complete messages out of `buffer`; link heartbeats are swallowed.
    package mutating func decode(_ buffer: inout ByteBuffer, _ take: (Message) -> Void) throws(StreamError) {
        while true {
            if partial != nil {
                guard let message = try continueEntries(&buffer) else { return }
                take(message)
                continue
            }
            guard let type = buffer.getInteger(at: buffer.readerIndex, as: UInt8.self) else { return }
            switch type {
            case AppendFrame.heartbeat: buffer.moveReaderIndex(forwardBy: 1)
            case AppendFrame.entries:
                guard let count = buffer.getInteger(at: buffer.readerIndex + 1, as: UInt64.self) else { return }
                guard count <= UInt64(PeerLimits.messageBytes / AppendFrame.smallestEntry) else {
                    throw .frameTooLarge(count)
                }
                buffer.moveReaderIndex(forwardBy: 9)
                partial = Partial(remaining: count)
            case AppendFrame.message:
                guard let message = try readMessage(&buffer) else { return }
                if !message.isLinkHeartbeat { take(message) }
            default: throw .unknownFrame(type)
            }
        }
    }

    /// A whole message, or nil when it is not all there.
    private mutating func readMessage(_ buffer: inout ByteBuffer) throws(StreamError) -> Message? {
        guard let count = buffer.getInteger(at: buffer.readerIndex + 1, as: UInt64.self) else { return nil }
        guard count <= UInt64(PeerLimits.messageBytes) else { throw .frameTooLarge(count) }
        guard buffer.readableBytes >= 9 + Int(count) else { return nil }
        buffer.moveReaderIndex(forwardBy: 9)
        let message = try Message(reading: Int(count), from: &buffer)
        guard message.type == .append || message.isLinkHeartbeat else { throw .unexpectedType(message.type) }
        position = AppendPosition(after: message)
        // Far from the end of the numbers, so that counting on cannot overflow.
        guard position.index < Self.indexLimit else { throw .indexOutOfRange(position.index) }
        return message
    }

    /// Reads on in a short frame; its entries are taken as they come, so that a large frame is not held twice.
    private mutating func continueEntries(_ buffer: inout ByteBuffer) throws(StreamError) -> Message? {
        guard var reading = partial else { return nil }
        partial = nil
        while reading.remaining > 0 {
            guard let count = buffer.getInteger(at: buffer.readerIndex, as: UInt64.self) else { break }
            guard count <= UInt64(PeerLimits.messageBytes) else { throw .frameTooLarge(count) }
            guard buffer.readableBytes >= 8 + Int(count) else { break }
            buffer.moveReaderIndex(forwardBy: 8)
            let entry: Entry
            do { entry = try Entry(reading: Int(count), from: &buffer) } catch { throw .malformed(error) }
            let expected = position.index + reading.entries.count + 1
            guard entry.index == expected else {
                throw .entriesNotContiguous(expected: expected, found: entry.index)
            }
            reading.entries.append(entry)
            reading.remaining -= 1
        }
        guard reading.remaining == 0, let commit = buffer.readInteger(as: UInt64.self) else {
            partial = reading
            return nil
        }
        let message = Message(
            type: .append, to: to, from: from, term: position.term, logTerm: position.term, index: position.index,
            entries: reading.entries, commit: LogIndex(commit))
        position.index = position.index + reading.entries.count
        return message
    }
}

extension Entry {
    /// Reads an entry of `count` bytes that are there; its data is copied once.
    init(reading count: Int, from buffer: inout ByteBuffer) throws(WireError) {
        self.init(term: .zero, index: .zero)
        let place = try readFields(count, of: buffer.readableBytesUInt8Span)
        if let place { data = buffer.getBytes(at: buffer.readerIndex + place.lowerBound, length: place.count) ?? [] }
        buffer.moveReaderIndex(forwardBy: count)
    }

    /// Reads all fields but the data.
    /// - Returns: where the data lies.
    private mutating func readFields(_ count: Int, of bytes: Span<UInt8>) throws(WireError) -> Range<Int>? {
        var cursor = WireCursor(0..<count)
        var place: Range<Int>?
        while let (field, value) = try cursor.next(in: bytes) {
            switch (field, value) {
            case (1, .varint(let raw)):
                guard raw <= 2, let known = EntryType(rawValue: UInt8(raw)) else { throw .outOfRange(field: field) }
                type = known
            case (2, .varint(let raw)): term = Term(raw)
            case (3, .varint(let raw)): index = LogIndex(raw)
            case (4, .bytes(let range)): place = range
            case (1...4, _): throw .unexpectedWireType(field: field)
            default: break
            }
        }
        return place
    }
}
