internal import CZlib

/// The gzip format (RFC 1952) by zlib.
package enum Gzip {
    package enum Failure: Error {
        /// The decompressed size as the trailer tells it, or one more than the limit when it tells less.
        case tooLarge(Int)
        case corrupt(String)
    }

    private static let chunkBytes = 16 << 10
    /// zlib's largest window; + 16 selects the gzip wrapper.
    private static let windowBits: Int32 = 15 + 16

    /// - Throws: ``Failure/tooLarge(_:)`` as soon as more than `limit` bytes come out.
    package static func decompress(_ input: [UInt8], limit: Int) throws(Failure) -> [UInt8] {
        var stream = z_stream()
        guard inflateInit2_(&stream, windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            throw .corrupt("zlib: out of memory")
        }
        defer { inflateEnd(&stream) }
        var output: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: chunkBytes)
        var consumed = 0
        while true {
            // SAFETY: both pointers are used only inside the closures, and zlib gets the counts of what they point at.
            let (result, produced, read) = input.withUnsafeBufferPointer { source in
                chunk.withUnsafeMutableBufferPointer { target in
                    stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress.map { $0 + consumed })
                    stream.avail_in = UInt32(source.count - consumed)
                    stream.next_out = target.baseAddress
                    stream.avail_out = UInt32(target.count)
                    let result = inflate(&stream, Z_NO_FLUSH)
                    let produced = target.count - Int(stream.avail_out)
                    return (result, produced, source.count - consumed - Int(stream.avail_in))
                }
            }
            consumed += read
            if output.count + produced > limit { throw .tooLarge(max(trailerSize(input), limit + 1)) }
            output.append(contentsOf: chunk[..<produced])
            switch result {
            case Z_OK:
                continue
            case Z_STREAM_END:
                if consumed == input.count { return output }
                // A gzip file may hold several members; the next one starts here.
                guard inflateReset(&stream) == Z_OK else { throw .corrupt("gzip: invalid header") }
            case Z_BUF_ERROR:
                throw .corrupt("unexpected EOF")
            default:
                throw .corrupt(output.isEmpty && consumed <= 10 ? "gzip: invalid header" : "gzip: corrupt input")
            }
        }
    }

    /// - Returns: one gzip member that holds `input`.
    package static func compress(_ input: [UInt8]) -> [UInt8] {
        var stream = z_stream()
        let started = deflateInit2_(
            &stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, windowBits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
            Int32(MemoryLayout<z_stream>.size))
        precondition(started == Z_OK, "zlib: out of memory")
        defer { deflateEnd(&stream) }
        var output = [UInt8](repeating: 0, count: Int(deflateBound(&stream, UInt(input.count))) + 18)
        // SAFETY: as in `decompress`; `deflateBound` makes room for everything in one call.
        let count = input.withUnsafeBufferPointer { source in
            output.withUnsafeMutableBufferPointer { target in
                stream.next_in = UnsafeMutablePointer(mutating: source.baseAddress)
                stream.avail_in = UInt32(source.count)
                stream.next_out = target.baseAddress
                stream.avail_out = UInt32(target.count)
                let result = deflate(&stream, Z_FINISH)
                precondition(result == Z_STREAM_END, "deflateBound was too small")
                return target.count - Int(stream.avail_out)
            }
        }
        output.removeLast(output.count - count)
        return output
    }

    /// ISIZE: the last four bytes, little-endian, of the last member.
    private static func trailerSize(_ input: [UInt8]) -> Int {
        guard input.count >= 18 else { return 0 }
        return input.suffix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
    }
}
