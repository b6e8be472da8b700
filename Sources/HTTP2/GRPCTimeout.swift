package import NIOCore

/// The `grpc-timeout` header: one to eight digits and a unit.
package enum GRPCTimeout {
    package enum Malformed: Error, Equatable {
        case tooShort, tooLong, unknownUnit, notANumber
    }

    /// The units, largest first, in nanoseconds.
    private static let units: [(letter: UInt8, nanoseconds: Int64)] = [
        (UInt8(ascii: "H"), 3_600_000_000_000), (UInt8(ascii: "M"), 60_000_000_000), (UInt8(ascii: "S"), 1_000_000_000),
        (UInt8(ascii: "m"), 1_000_000), (UInt8(ascii: "u"), 1_000), (UInt8(ascii: "n"), 1),
    ]
    /// Longer ones are as good as none, and a deadline that far away does not overflow.
    package static let longest = TimeAmount.hours(24 * 365 * 100)

    package static func parse<Value: RandomAccessCollection<UInt8>>(_ value: Value) throws(Malformed) -> TimeAmount {
        guard value.count >= 2 else { throw .tooShort }
        guard value.count <= 9 else { throw .tooLong }
        guard let last = value.last, let unit = units.first(where: { $0.letter == last }) else { throw .unknownUnit }
        var number: Int64 = 0
        for byte in value.dropLast() {
            guard byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") else { throw .notANumber }
            number = number * 10 + Int64(byte - UInt8(ascii: "0"))
        }
        let (nanoseconds, overflow) = number.multipliedReportingOverflow(by: unit.nanoseconds)
        return overflow ? longest : min(.nanoseconds(nanoseconds), longest)
    }

    /// The finest unit in which eight digits suffice; never less than the amount, and zero for what has passed.
    package static func encode(_ amount: TimeAmount) -> String {
        let nanoseconds = max(0, amount.nanoseconds)
        for unit in units.reversed() {
            let count = nanoseconds / unit.nanoseconds + (nanoseconds % unit.nanoseconds == 0 ? 0 : 1)
            if count <= 99_999_999 { return "\(count)\(Character(Unicode.Scalar(unit.letter)))" }
        }
        return "99999999H"
    }

    /// The message of the status, in the words of grpc-go.
    package static func message<Value: RandomAccessCollection<UInt8>>(for error: Malformed, value: Value) -> String {
        let text = String(decoding: value, as: UTF8.self)
        let reason =
            switch error {
            case .tooShort: "transport: timeout string is too short: \"\(text)\""
            case .tooLong: "transport: timeout string is too long: \"\(text)\""
            case .unknownUnit: "transport: timeout unit is not recognized: \"\(text)\""
            case .notANumber: "strconv.ParseUint: parsing \"\(text.dropLast())\": invalid syntax"
            }
        return "malformed grpc-timeout: \(reason)"
    }
}
