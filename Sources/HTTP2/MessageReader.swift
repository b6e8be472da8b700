/// Collects the one message of a unary request or response from the pieces that DATA frames bring.
///
/// A gRPC message is a prefix of five bytes (compressed flag, length as 32-bit big-endian) and the bytes themselves;
/// see <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
package struct MessageReader {
    package static let prefixBytes = 5
    /// An announced length is no reason to reserve more than this before bytes have come.
    private static let maxReserve = 64 << 10

    private var prefix: UInt64 = 0
    private var prefixCount = 0
    private var length = 0
    /// The message as far as it has come.
    package private(set) var bytes: [UInt8] = []
    /// Bytes came after the end of the message.
    package private(set) var hasSurplus = false

    package init() {}

    /// 0: as is, 1: compressed; others do not exist.
    package var format: UInt8 { UInt8(truncatingIfNeeded: prefix >> 32) }
    /// Nothing came at all.
    package var isEmpty: Bool { prefixCount == 0 }
    package var isComplete: Bool { prefixCount == Self.prefixBytes && bytes.count == length }

    /// Takes the next bytes in.
    /// - Returns: the announced length when it is above `limit`; the message is not worth collecting then.
    package mutating func append<Chunk: RandomAccessCollection<UInt8>>(_ chunk: Chunk, limit: Int) -> Int?
    where Chunk.Index == Int {
        var index = chunk.startIndex
        if prefixCount < Self.prefixBytes {
            while index < chunk.endIndex && prefixCount < Self.prefixBytes {
                prefix = prefix << 8 | UInt64(chunk[index])
                prefixCount += 1
                index += 1
            }
            guard prefixCount == Self.prefixBytes else { return nil }
            length = Int(prefix & 0xffff_ffff)
            guard length <= limit else { return length }
            bytes.reserveCapacity(min(length, max(chunk.endIndex - index, Self.maxReserve)))
        }
        let count = min(length - bytes.count, chunk.endIndex - index)
        if count > 0 {
            bytes.append(contentsOf: chunk[index..<index + count])
            index += count
        }
        if index < chunk.endIndex { hasSurplus = true }
        return nil
    }

    /// The complete message, decompressed if need be.
    /// - Parameters:
    ///   - encoding: the `grpc-encoding` of the headers.
    ///   - limit: the most bytes that decompression may give.
    package consuming func message(encoding: MessageEncoding, limit: Int) throws(GRPCStatus) -> [UInt8] {
        switch format {
        case 0:
            return bytes
        case 1:
            guard encoding == .gzip else {
                throw GRPCStatus(
                    code: GRPCStatus.internal, message: "grpc: compressed flag set with identity or empty encoding")
            }
            do throws(Gzip.Failure) {
                return try Gzip.decompress(bytes, limit: limit)
            } catch {
                switch error {
                case .tooLarge(let size):
                    throw .messageTooLarge(size, limit: limit)
                case .corrupt(let reason):
                    throw GRPCStatus(
                        code: GRPCStatus.internal, message: "grpc: failed to decompress the received message: \(reason)"
                    )
                }
            }
        default:
            throw GRPCStatus(
                code: GRPCStatus.internal, message: "grpc: received unexpected payload format \(format)")
        }
    }
}

/// How messages whose compressed flag is set are compressed.
package enum MessageEncoding {
    case identity
    case gzip
}

extension GRPCStatus {
    static func messageTooLarge(_ size: Int, limit: Int) -> GRPCStatus {
        GRPCStatus(
            code: resourceExhausted, message: "grpc: received message larger than max (\(size) vs. \(limit))")
    }
}
