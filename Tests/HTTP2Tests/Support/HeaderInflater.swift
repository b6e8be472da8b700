import CNGHTTP2

/// HPACK of one direction of a connection, by nghttp2.
final class HeaderInflater {
    // SAFETY: made in `init`, freed in `deinit`, used by one test.
    private let inflater: OpaquePointer?

    init() {
        // SAFETY: see above.
        var inflater: OpaquePointer?
        nghttp2_hd_inflate_new(&inflater)
        self.inflater = inflater
    }

    deinit { nghttp2_hd_inflate_del(inflater) }

    /// The fields of one complete header block.
    func fields(_ block: [UInt8]) -> [String: String] {
        var result: [String: String] = [:]
        var offset = 0
        while true {
            var field = nghttp2_nv()
            var flags: Int32 = 0
            // SAFETY: the inflater reads `block` during the call; the field's bytes stay until the next call.
            let read = block.withUnsafeBufferPointer {
                nghttp2_hd_inflate_hd2(
                    inflater, &field, &flags, $0.baseAddress.map { $0 + offset }, block.count - offset, 1)
            }
            guard read >= 0 else { return ["decoding": "failed"] }
            offset += read
            let emits = flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0
            if emits {
                // SAFETY: see above.
                let name = UnsafeBufferPointer(start: field.name, count: field.namelen)
                let value = UnsafeBufferPointer(start: field.value, count: field.valuelen)
                result[String(decoding: name, as: UTF8.self)] = String(decoding: value, as: UTF8.self)
            }
            if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 {
                nghttp2_hd_inflate_end_headers(inflater)
                return result
            }
            if read == 0 && !emits { return result }
        }
    }
}
