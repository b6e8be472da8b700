package import Base

/// Builds a page in the Prometheus text format, version 0.0.4: families by name, each with its type and its samples.
/// Format: https://prometheus.io/docs/instrumenting/exposition_formats/
package struct MetricsText: Sendable {
    package enum Kind: String, Sendable {
        case counter
        case gauge
        case histogram
    }

    private struct Family {
        var name: String
        var kind: Kind
        var help: String
        var samples: String
    }

    private var families: [Family] = []

    package init() {}

    /// - Parameter labels: name and value of each, in the order in which they are to stand.
    package mutating func gauge(_ name: String, _ help: String, _ value: Double, _ labels: [(String, String)] = []) {
        add(name, .gauge, help, "\(name)\(Self.format(labels)) \(goFloat(value))\n")
    }

    package mutating func counter(_ name: String, _ help: String, _ value: UInt64, _ labels: [(String, String)] = []) {
        add(name, .counter, help, "\(name)\(Self.format(labels)) \(goFloat(Double(value)))\n")
    }

    package mutating func counter(_ name: String, _ help: String, seconds: Double) {
        add(name, .counter, help, "\(name) \(goFloat(seconds))\n")
    }

    package mutating func histogram(
        _ name: String, _ help: String, _ histogram: Histogram, _ labels: [(String, String)] = []
    ) {
        var samples = ""
        var cumulative: UInt64 = 0
        for (i, count) in histogram.counts.enumerated() {
            cumulative += count
            let bound = i < histogram.bounds.count ? goFloat(histogram.bounds[i]) : "+Inf"
            samples += "\(name)_bucket\(Self.format(labels + [("le", bound)])) \(goFloat(Double(cumulative)))\n"
        }
        samples += "\(name)_sum\(Self.format(labels)) \(goFloat(histogram.sum))\n"
        samples += "\(name)_count\(Self.format(labels)) \(goFloat(Double(cumulative)))\n"
        add(name, .histogram, help, samples)
    }

    /// The page. Families stand in the order of their names, samples in that of their adding.
    package var page: String {
        var page = ""
        for family in families.sorted(by: { $0.name < $1.name }) {
            page += "# HELP \(family.name) \(family.help)\n# TYPE \(family.name) \(family.kind.rawValue)\n"
            page += family.samples
        }
        return page
    }

    /// Samples of one family are added one after the other.
    private mutating func add(_ name: String, _ kind: Kind, _ help: String, _ samples: String) {
        if families.last?.name == name {
            families[families.count - 1].samples += samples
        } else {
            families.append(Family(name: name, kind: kind, help: help, samples: samples))
        }
    }

    private static func format(_ labels: [(String, String)]) -> String {
        if labels.isEmpty { return "" }
        let parts = labels.map { name, value in
            let escaped = value.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
            return "\(name)=\"\(escaped)\""
        }
        return "{\(parts.joined(separator: ","))}"
    }
}
