/// Bytes as people write them down: `08 01 10 00`.
public enum Hex {
    /// The bytes of a text of hex digits; spaces and line breaks between them do not count.
    /// Traps on anything else: the text is part of a test.
    public static func bytes(_ text: String) -> [UInt8] {
        let digits = text.utf8.filter { $0 != UInt8(ascii: " ") && $0 != UInt8(ascii: "\n") }.map(value)
        precondition(digits.count.isMultiple(of: 2), "an odd number of hex digits: \(text)")
        return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
    }

    /// Two lower-case digits for each byte, without separators.
    public static func text(_ bytes: some Sequence<UInt8>) -> String {
        var out = ""
        for byte in bytes {
            out += String(byte >> 4, radix: 16)
            out += String(byte & 15, radix: 16)
        }
        return out
    }

    private static func value(_ digit: UInt8) -> UInt8 {
        switch digit {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): digit - UInt8(ascii: "A") + 10
        default: preconditionFailure("not a hex digit: \(digit)")
        }
    }
}
