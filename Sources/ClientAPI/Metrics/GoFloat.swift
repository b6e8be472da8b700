/// Numbers as Go's `strconv.FormatFloat(v, 'g', -1, 64)` writes them. The label `le` of a bucket is compared as text by
/// recording rules and dashboards, so it has to be the text that etcd writes.
package func goFloat(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    if value == 0 { return "0" }
    // Swift's description has the same shortest digits, in another layout.
    var digits: [UInt8] = []
    var pointAt: Int?
    var exponent = 0
    let text = Array(value.magnitude.description.utf8)
    for (i, byte) in text.enumerated() {
        if byte == UInt8(ascii: "e") {
            exponent = Int(String(decoding: text[(i + 1)...], as: UTF8.self)) ?? 0
            break
        }
        if byte == UInt8(ascii: ".") { pointAt = digits.count } else { digits.append(byte) }
    }
    // value = 0.DIGITS × 10^point
    var point = (pointAt ?? digits.count) + exponent
    let leadingZeros = digits.prefix { $0 == UInt8(ascii: "0") }.count
    digits.removeFirst(leadingZeros)
    point -= leadingZeros
    while digits.last == UInt8(ascii: "0") { digits.removeLast() }

    var out: [UInt8] = value < 0 ? [UInt8(ascii: "-")] : []
    let power = point - 1
    if power < -4 || power >= 6 {
        appendScientific(digits, power, to: &out)
    } else if point <= 0 {
        out += Array("0.".utf8) + [UInt8](repeating: UInt8(ascii: "0"), count: -point) + digits
    } else if digits.count <= point {
        out += digits + [UInt8](repeating: UInt8(ascii: "0"), count: point - digits.count)
    } else {
        out += digits[..<point] + [UInt8(ascii: ".")] + digits[point...]
    }
    return String(decoding: out, as: UTF8.self)
}

private func appendScientific(_ digits: [UInt8], _ power: Int, to out: inout [UInt8]) {
    out.append(digits[0])
    if digits.count > 1 { out += [UInt8(ascii: ".")] + digits[1...] }
    out += Array(power < 0 ? "e-".utf8 : "e+".utf8)
    if abs(power) < 10 { out.append(UInt8(ascii: "0")) }
    out += Array(String(abs(power)).utf8)
}
