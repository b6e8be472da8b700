/// Writes HTTP/2 frames byte by byte, right or wrong.
enum Frame {
    static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    static let emptySettings = raw(type: 4, flags: 0, stream: 0, [])
    /// What a client starts with.
    static let hello = preface + emptySettings

    static func raw(type: UInt8, flags: UInt8, stream: UInt32, _ payload: [UInt8], length: Int? = nil) -> [UInt8] {
        let count = length ?? payload.count
        var frame: [UInt8] = [UInt8(count >> 16 & 255), UInt8(count >> 8 & 255), UInt8(count & 255), type, flags]
        frame += bytes(stream)
        return frame + payload
    }

    static func data(_ stream: UInt32, _ payload: [UInt8], end: Bool = false) -> [UInt8] {
        raw(type: 0, flags: end ? 1 : 0, stream: stream, payload)
    }

    static func headers(
        _ stream: UInt32, _ fields: [(String, String)], end: Bool = false, endHeaders: Bool = true
    ) -> [UInt8] {
        raw(type: 1, flags: (end ? 1 : 0) | (endHeaders ? 4 : 0), stream: stream, block(fields))
    }

    static func continuation(_ stream: UInt32, _ fields: [(String, String)], endHeaders: Bool) -> [UInt8] {
        raw(type: 9, flags: endHeaders ? 4 : 0, stream: stream, block(fields))
    }

    static func priority(_ stream: UInt32) -> [UInt8] { raw(type: 2, flags: 0, stream: stream, [0, 0, 0, 0, 16]) }

    static func reset(_ stream: UInt32, _ error: UInt32 = 8) -> [UInt8] {
        raw(type: 3, flags: 0, stream: stream, bytes(error))
    }

    static func settings(_ pairs: [(UInt16, UInt32)]) -> [UInt8] {
        raw(type: 4, flags: 0, stream: 0, pairs.flatMap { [UInt8($0.0 >> 8), UInt8($0.0 & 255)] + bytes($0.1) })
    }

    static let settingsAck = raw(type: 4, flags: 1, stream: 0, [])

    static func ping(_ payload: [UInt8] = Array(0..<8), ack: Bool = false) -> [UInt8] {
        raw(type: 6, flags: ack ? 1 : 0, stream: 0, payload)
    }

    static func goAway(_ error: UInt32 = 0) -> [UInt8] { raw(type: 7, flags: 0, stream: 0, bytes(0) + bytes(error)) }

    static func windowUpdate(_ stream: UInt32, _ increment: UInt32) -> [UInt8] {
        raw(type: 8, flags: 0, stream: stream, bytes(increment))
    }

    /// Literal fields that are not indexed and not Huffman-coded (RFC 7541 section 6.2.2).
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        fields.flatMap { [0] + string($0.0) + string($0.1) }
    }

    static func bytes(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(value >> $0 & 255) } }

    private static func string(_ text: String) -> [UInt8] {
        let utf8 = Array(text.utf8)
        if utf8.count < 127 { return [UInt8(utf8.count)] + utf8 }
        var rest = utf8.count - 127
        var prefix: [UInt8] = [127]
        while rest >= 128 {
            prefix.append(UInt8(rest & 127 | 128))
            rest >>= 7
        }
        return prefix + [UInt8(rest)] + utf8
    }
}

/// A gRPC call in frames.
enum Call {
    static func fields(_ path: String, _ more: [(String, String)] = []) -> [(String, String)] {
        var fields = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "test"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]
        for (name, value) in more {
            if let index = fields.firstIndex(where: { $0.0 == name }) { fields.remove(at: index) }
            // An empty value leaves the field out.
            if value.isEmpty { continue }
            fields.insert((name, value), at: name.hasPrefix(":") ? 0 : fields.count)
        }
        return fields
    }

    static func message(_ bytes: [UInt8], compressed: UInt8 = 0, length: UInt32? = nil) -> [UInt8] {
        [compressed] + Frame.bytes(length ?? UInt32(bytes.count)) + bytes
    }

    static func unary(
        _ stream: UInt32, _ path: String, _ body: [UInt8], _ more: [(String, String)] = []
    ) -> [UInt8] {
        Frame.headers(stream, fields(path, more)) + Frame.data(stream, message(body), end: true)
    }
}

/// What a server sent, in order.
struct ReceivedFrame: Equatable, CustomStringConvertible {
    var type: UInt8
    var flags: UInt8
    var stream: UInt32
    var payload: [UInt8]
    var fields: [String: String] = [:]

    var endsStream: Bool { flags & 1 != 0 }
    var description: String {
        "type \(type) flags \(flags) stream \(stream) \(payload.count) bytes "
            + fields.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
    }
}

/// Splits what a server sends into frames and decodes its headers.
final class FrameDecoder {
    private let inflater = HeaderInflater()
    private var pending: [UInt8] = []

    func decode(_ bytes: [UInt8]) -> [ReceivedFrame] {
        pending += bytes
        var frames: [ReceivedFrame] = []
        while pending.count >= 9 {
            let count = Int(pending[0]) << 16 | Int(pending[1]) << 8 | Int(pending[2])
            guard pending.count >= 9 + count else { break }
            let stream = pending[5..<9].reduce(0) { $0 << 8 | UInt32($1) }
            var frame = ReceivedFrame(
                type: pending[3], flags: pending[4], stream: stream, payload: Array(pending[9..<9 + count]))
            if frame.type == 1 { frame.fields = inflater.fields(frame.payload) }
            frames.append(frame)
            pending.removeFirst(9 + count)
        }
        return frames
    }
}
