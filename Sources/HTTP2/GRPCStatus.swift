/// The outcome of a call that is not success: a gRPC status code and a message for people.
///
/// The codes are those of <https://grpc.github.io/grpc/core/md_doc_statuscodes.html>.
public struct GRPCStatus: Error, Equatable, Sendable, CustomStringConvertible {
    /// 0…16; other values are passed on as they are.
    public var code: UInt8
    public var message: String

    public init(code: UInt8, message: String) {
        self.code = code
        self.message = message
    }

    public static let ok: UInt8 = 0
    public static let cancelled: UInt8 = 1
    public static let unknown: UInt8 = 2
    public static let invalidArgument: UInt8 = 3
    public static let deadlineExceeded: UInt8 = 4
    public static let resourceExhausted: UInt8 = 8
    public static let unimplemented: UInt8 = 12
    public static let `internal`: UInt8 = 13
    public static let unavailable: UInt8 = 14
    public static let unauthenticated: UInt8 = 16

    static let success = GRPCStatus(code: ok, message: "")

    public var description: String { "grpc status \(code): \(message)" }
}

/// The value of `grpc-message`: UTF-8 with everything but printable ASCII, and `%` itself, percent-encoded.
package enum PercentEncoding {
    package static func encode(_ message: String) -> [UInt8] {
        let utf8 = message.utf8
        var result: [UInt8] = []
        result.reserveCapacity(utf8.count)
        for byte in utf8 {
            if byte >= 0x20 && byte <= 0x7e && byte != UInt8(ascii: "%") {
                result.append(byte)
            } else {
                result.append(UInt8(ascii: "%"))
                result.append(digit(byte >> 4))
                result.append(digit(byte & 15))
            }
        }
        return result
    }

    /// Lenient, as the gRPC specification asks: what is no escape stays as it is.
    package static func decode(_ bytes: [UInt8]) -> String {
        guard bytes.contains(UInt8(ascii: "%")) else { return String(decoding: bytes, as: UTF8.self) }
        var result: [UInt8] = []
        result.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count, let high = value(bytes[index + 1]),
                let low = value(bytes[index + 2])
            {
                result.append(high << 4 | low)
                index += 3
            } else {
                result.append(bytes[index])
                index += 1
            }
        }
        return String(decoding: result, as: UTF8.self)
    }

    private static func digit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "A") + nibble - 10
    }

    private static func value(_ digit: UInt8) -> UInt8? {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        default: nil
        }
    }
}
