/// What is wrong with the value of a flag, variable or key.
package struct ValueError: Error, Equatable, CustomStringConvertible {
    package var description: String
    package init(_ description: String) { self.description = description }
}

/// The kinds of value that flags take, with Go's notation for each.
package enum FlagKind: Sendable, Equatable {
    case bool
    case unsigned
    case unsigned32
    case signed
    case duration
    case text
    /// Comma separated.
    case list
    /// Comma separated; an empty text leaves what was there before, as in etcd.
    case urls
    /// Comma separated, or empty.
    case urlsOrNone
    case choice([String])
    /// Comma separated `Name=true|false` of known gates.
    case gates

    /// The name of the kind in help and errors.
    package var name: String {
        switch self {
        case .bool: "bool"
        case .unsigned: "uint"
        case .unsigned32: "uint32"
        case .signed: "int"
        case .duration: "duration"
        case .text: "string"
        case .list: "list"
        case .gates: "Name=bool list"
        case .urls, .urlsOrNone: "URL list"
        case .choice(let values): values.joined(separator: "|")
        }
    }

    package func parse(_ text: String) throws(ValueError) -> FlagValue {
        switch self {
        case .bool:
            switch text {
            case "1", "t", "T", "true", "TRUE", "True": return .bool(true)
            case "0", "f", "F", "false", "FALSE", "False": return .bool(false)
            default: throw ValueError("parse error")
            }
        case .unsigned:
            guard let value = Self.integer(text, as: UInt64.self) else { throw ValueError("parse error") }
            return .unsigned(value)
        case .unsigned32:
            guard let value = Self.integer(text, as: UInt32.self) else { throw ValueError("parse error") }
            return .unsigned(UInt64(value))
        case .signed:
            guard let value = Self.integer(text, as: Int64.self) else { throw ValueError("parse error") }
            return .signed(value)
        case .duration:
            guard let value = GoDuration.parse(text) else { throw ValueError("parse error") }
            return .duration(value)
        case .text:
            return .text(text)
        case .list:
            return .list(text.isEmpty ? [] : text.split(separator: ",").map { String($0).trimmingSpaces })
        case .gates:
            return .gates(try FeatureGates(text.isEmpty ? [] : text.split(separator: ",").map(String.init)))
        case .urls, .urlsOrNone:
            return .urls(text.isEmpty ? [] : try ServerURL.list(text))
        case .choice(let values):
            guard values.contains(text) else { throw ValueError("invalid value") }
            return .text(text)
        }
    }

    /// Decimal, or hexadecimal, octal or binary by prefix, as Go's base 0.
    private static func integer<I: FixedWidthInteger>(_ text: String, as type: I.Type) -> I? {
        var digits = Substring(text)
        let negative = digits.hasPrefix("-")
        if negative || digits.hasPrefix("+") { digits.removeFirst() }
        guard let first = digits.first, first.isASCII, first.isNumber else { return nil }
        let radix: Int
        switch digits.prefix(2).lowercased() {
        case "0x": (radix, digits) = (16, digits.dropFirst(2))
        case "0o": (radix, digits) = (8, digits.dropFirst(2))
        case "0b": (radix, digits) = (2, digits.dropFirst(2))
        case let prefix where prefix.count == 2 && prefix.first == "0": (radix, digits) = (8, digits.dropFirst(1))
        default: radix = 10
        }
        guard let head = digits.first, head != "-", head != "+" else { return nil }
        return I((negative ? "-" : "") + digits, radix: radix)
    }
}

/// A parsed value; the flag's kind says which one it is.
package enum FlagValue: Sendable, Equatable {
    case bool(Bool)
    case unsigned(UInt64)
    case signed(Int64)
    case duration(Duration)
    case text(String)
    case list([String])
    case urls([ServerURL])
    case gates(FeatureGates)
}
