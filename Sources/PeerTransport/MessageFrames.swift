package import Base
package import EtcdProto
package import NIOCore
package import RaftCore
internal import RaftProto

/// Why a stream cannot be read on. The connection is closed, and dialled again.
package enum StreamError: Error, Equatable, CustomStringConvertible {
    case frameTooLarge(UInt64)
    case malformed(WireError)
    /// A type byte of the append stream that no version writes.
    case unknownFrame(UInt8)
    /// An entry of an append frame does not follow the one before.
    case entriesNotContiguous(expected: LogIndex, found: LogIndex)
    case indexOutOfRange(LogIndex)
    /// The append stream carries something else than an append.
    case unexpectedType(MessageType)

    package var description: String {
        switch self {
        case .frameTooLarge(let bytes): "a frame of \(bytes) bytes, at most \(PeerLimits.messageBytes) are allowed"
        case .malformed(let error): "not a raft message: \(error)"
        case .unknownFrame(let type): "unknown frame type \(type)"
        case .entriesNotContiguous(let expected, let found): "entry \(found) where \(expected) is expected"
        case .indexOutOfRange(let index): "index \(index) is out of range"
        case .unexpectedType(let type): "\(type) on the append stream"
        }
    }
}

extension Message {
    /// Keeps a quiet stream alive; it is swallowed by the receiver.
    package static var linkHeartbeat: Message { Message(type: .heartbeat) }
    package var isLinkHeartbeat: Bool { type == .heartbeat && from == .none && to == .none }
}

/// The general stream: each message as its length, 8 bytes big endian, and its protobuf form.
package struct MessageFrameEncoder {
    private var scratch: [UInt8] = []

    package init() {}

    package mutating func append(_ message: Message, to out: inout ByteBuffer) {
        scratch.removeAll(keepingCapacity: true)
        message.encode(to: &scratch)
        out.writeInteger(UInt64(scratch.count))
        out.writeBytes(scratch)
    }
}

/// Reads the general stream, however it is cut into pieces. After an error it must not be used again.
package struct MessageFrameDecoder {
    package init() {}

    /// Takes all complete messages out of `buffer`; link heartbeats are swallowed.
    package mutating func decode(_ buffer: inout ByteBuffer, _ take: (Message) -> Void) throws(StreamError) {
        while let count = buffer.getInteger(at: buffer.readerIndex, as: UInt64.self) {
            guard count <= UInt64(PeerLimits.messageBytes) else { throw .frameTooLarge(count) }
            let headerSize = MemoryLayout<UInt64>.size
            guard buffer.readableBytes >= headerSize + Int(count) else { return }
            buffer.moveReaderIndex(forwardBy: headerSize)
            let message = try Message(reading: Int(count), from: &buffer)
            if !message.isLinkHeartbeat { take(message) }
        }
    }
}

extension Message {
    /// Reads a message of `count` bytes that are there.
    init(reading count: Int, from buffer: inout ByteBuffer) throws(StreamError) {
        guard let bytes = buffer.readBytes(length: count) else {
            throw .malformed(.truncated(offset: buffer.readableBytes))
        }
        do { self = try Message(decoding: bytes) } catch { throw .malformed(error) }
    }
}
