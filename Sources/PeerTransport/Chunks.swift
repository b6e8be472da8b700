package import NIOCore

/// One chunk of HTTP/1.1's chunked coding (RFC 9112, 7.1), written into a buffer around its data.
package struct ChunkWriter {
    /// Eight hexadecimal digits count the 4 GiB that a `ByteBuffer` holds at most.
    private static let digits = 8
    private static let lineEnd: (UInt8, UInt8) = (0x0D, 0x0A)

    private let start: Int

    /// Leaves room for the size; the data is written to `out` next.
    /// - Parameter out: an empty buffer.
    package init(to out: inout ByteBuffer) {
        precondition(out.readableBytes == 0, "a chunk in the middle of a buffer")
        start = out.writerIndex
        out.writeRepeatingByte(0, count: Self.digits + 2)
    }

    /// Puts the size before the data, without leading zeros, and the line's end behind it.
    /// - Precondition: there is data; a chunk without any would end the body.
    /// - Returns: how many bytes of data there are.
    package consuming func finish(_ out: inout ByteBuffer) -> Int {
        let count = out.readableBytes - Self.digits - 2
        precondition(count > 0, "an empty chunk")
        var size = count
        var position = start + Self.digits
        out.setInteger(Self.lineEnd.0, at: position)
        out.setInteger(Self.lineEnd.1, at: position + 1)
        while size > 0 {
            position -= 1
            let digit = UInt8(size & 0xF)
            out.setInteger(digit < 10 ? 0x30 + digit : 0x57 + digit, at: position)
            size >>= 4
        }
        out.moveReaderIndex(to: position)
        out.writeInteger(Self.lineEnd.0)
        out.writeInteger(Self.lineEnd.1)
        return count
    }
}

/// Why a body in chunks cannot be read on.
package enum ChunkError: Error, Equatable, CustomStringConvertible {
    case invalidSize
    /// A chunk, or a line, does not end where it should.
    case missingLineEnd
    /// The extensions of a chunk's size, or the trailers, are longer than anybody's.
    case lineTooLong

    package var description: String {
        switch self {
        case .invalidSize: "invalid size of a chunk"
        case .missingLineEnd: "a chunk that does not end with a line's end"
        case .lineTooLong: "a line of more than \(ChunkReader.lineLimit) bytes between chunks"
        }
    }
}

/// Reads a body in HTTP/1.1's chunked coding (RFC 9112, 7.1), however it is cut into pieces. Extensions and trailers
/// are passed over. After an error it must not be used again.
package struct ChunkReader {
    private enum State: Equatable {
        /// In the digits of a size.
        case size(Int, digits: Int)
        /// In what follows the digits, up to the line's end.
        case restOfSize(Int, length: Int)
        case data(remaining: Int)
        case endOfData(isAfterReturn: Bool)
        case trailers(line: Int, total: Int)
        case complete
    }

    /// Bytes of extensions of one size, or of all trailers.
    package static let lineLimit = 4096
    /// As many as ``PeerLimits`` and a `ByteBuffer` have use for.
    private static let digitLimit = 8

    private var state = State.size(0, digits: 0)

    package init() {}

    /// The last chunk and the trailers have been read.
    package var isComplete: Bool { state == .complete }

    /// The next piece of data in `buffer`, which need not be a whole chunk; nil when `buffer` has been read, or the
    /// body is complete. O(1) but for extensions and trailers; the piece shares the buffer's memory.
    package mutating func next(_ buffer: inout ByteBuffer) throws(ChunkError) -> ByteBuffer? {
        while true {
            if case .data(let remaining) = state {
                guard buffer.readableBytes > 0 else { return nil }
                let count = min(remaining, buffer.readableBytes)
                state = count == remaining ? .endOfData(isAfterReturn: false) : .data(remaining: remaining - count)
                return buffer.readSlice(length: count)
            }
            if state == .complete { return nil }
            guard let byte = buffer.readInteger(as: UInt8.self) else { return nil }
            try take(byte)
        }
    }

    /// A byte outside of data.
    private mutating func take(_ byte: UInt8) throws(ChunkError) {
        let isReturn = byte == 0x0D
        let isLineFeed = byte == 0x0A
        switch state {
        case .size(let size, let digits):
            if let digit = Self.digit(byte) {
                guard digits < Self.digitLimit else { throw .invalidSize }
                state = .size(size << 4 | digit, digits: digits + 1)
            } else {
                guard digits > 0, isReturn || byte == 0x3B || byte == 0x20 || byte == 0x09 else { throw .invalidSize }
                state = .restOfSize(size, length: 0)
            }
        case .restOfSize(let size, let length):
            guard length < Self.lineLimit else { throw .lineTooLong }
            if !isLineFeed {
                state = .restOfSize(size, length: length + 1)
            } else {
                state = size == 0 ? .trailers(line: 0, total: 0) : .data(remaining: size)
            }
        case .endOfData(let isAfterReturn):
            guard isAfterReturn ? isLineFeed : isReturn else { throw .missingLineEnd }
            state = isAfterReturn ? .size(0, digits: 0) : .endOfData(isAfterReturn: true)
        case .trailers(let line, let total):
            guard total < Self.lineLimit else { throw .lineTooLong }
            if isLineFeed {
                state = line == 0 ? .complete : .trailers(line: 0, total: total + 1)
            } else {
                state = .trailers(line: isReturn ? line : line + 1, total: total + 1)
            }
        case .data, .complete: break
        }
    }

    private static func digit(_ byte: UInt8) -> Int? {
        switch byte {
        case 0x30...0x39: Int(byte) - 0x30
        case 0x41...0x46: Int(byte) - 0x41 + 10
        case 0x61...0x66: Int(byte) - 0x61 + 10
        default: nil
        }
    }
}
