internal import Base

/// Moments in UTC as etcd's log writes them.
package enum LogTime {
    /// `2026-11-23T22:26:06.123456Z`, appended to `line`.
    package static func append(microseconds: Int64, to line: inout [UInt8]) {
        let day = microseconds.flooring(by: 86_400_000_000)
        let date = CivilDate(daysSince1970: day)
        let time = microseconds - day * 86_400_000_000
        append(date.year, digits: 4, to: &line)
        line.append(UInt8(ascii: "-"))
        append(date.month, digits: 2, to: &line)
        line.append(UInt8(ascii: "-"))
        append(date.day, digits: 2, to: &line)
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
}
