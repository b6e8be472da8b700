/// Moments in UTC as etcd's log writes them.
package enum LogTime {
    /// `2026-11-23T22:26:06.123456Z`, appended to `line`.
    package static func append(microseconds: Int64, to line: inout [UInt8]) {
        let day = microseconds.flooring(by: 86_400_000_000)
        let (year, month, dayOfMonth) = civil(day)
        let time = microseconds - day * 86_400_000_000
        append(year, digits: 4, to: &line)
        line.append(UInt8(ascii: "-"))
        append(month, digits: 2, to: &line)
        line.append(UInt8(ascii: "-"))
        append(dayOfMonth, digits: 2, to: &line)
        line.append(UInt8(ascii: "T"))
        append(time / 3_600_000_000, digits: 2, to: &line)
        line.append(UInt8(ascii: ":"))
        append(time / 60_000_000 % 60, digits: 2, to: &line)
        line.append(UInt8(ascii: ":"))
        append(time / 1_000_000 % 60, digits: 2, to: &line)
        line.append(UInt8(ascii: "."))
        append(time % 1_000_000, digits: 6, to: &line)
        line.append(UInt8(ascii: "Z"))
    }

    private static func append(_ value: Int64, digits: Int, to line: inout [UInt8]) {
        var scale: Int64 = 1
        for _ in 1..<digits { scale *= 10 }
        while scale > 0 {
            line.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / scale % 10))
            scale /= 10
        }
    }

    /// The Gregorian date of a day counted from 1970-01-01. Counted in years that begin in March, so that the leap day
    /// comes last, and in eras of 400 years, which all have 146,097 days.
    private static func civil(_ day: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let shifted = day + 719_468
        let era = shifted.flooring(by: 146_097)
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1_460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let dayOfMonth = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfMonth)
    }
}

extension Int64 {
    fileprivate func flooring(by divisor: Int64) -> Int64 {
        self >= 0 ? self / divisor : (self - divisor + 1) / divisor
    }
}
