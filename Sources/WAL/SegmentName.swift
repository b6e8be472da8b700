package import Base

/// The name of a segment: its place in the sequence of segments and the first entry that it may hold, as
/// `%016x-%016x.wal`.
package struct SegmentName: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var sequence: UInt64
    package var index: LogIndex

    package static func < (a: SegmentName, b: SegmentName) -> Bool {
        a.sequence != b.sequence ? a.sequence < b.sequence : a.index < b.index
    }

    package init(sequence: UInt64, index: LogIndex) {
        self.sequence = sequence
        self.index = index
    }

    /// Nil for any other name.
    package init?(_ name: String) {
        let text = Array(name.utf8)
        guard text.count == 37, text[16] == UInt8(ascii: "-"), text[33...].elementsEqual(".wal".utf8),
            let sequence = SegmentName.hexadecimal(text[0..<16]), let index = SegmentName.hexadecimal(text[17..<33])
        else { return nil }
        self.init(sequence: sequence, index: LogIndex(index))
    }

    package var description: String {
        "\(SegmentName.hexadecimal(sequence))-\(SegmentName.hexadecimal(index.rawValue)).wal"
    }

    private static func hexadecimal(_ digits: ArraySlice<UInt8>) -> UInt64? {
        var value: UInt64 = 0
        for digit in digits {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }

    private static func hexadecimal(_ value: UInt64) -> String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// `directory` and a name in it.
func join(_ directory: String, _ name: String) -> String { directory + "/" + name }
