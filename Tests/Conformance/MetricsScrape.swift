import TestSupport

/// A page of metrics as a server answers it, taken apart.
struct MetricsScrape {
    struct Family: Equatable {
        var type = ""
        /// The names of the labels of its samples, without `le`.
        var labels: Set<String> = []
        /// The bounds of a histogram's buckets, as they are written.
        var bounds: Set<String> = []
    }

    let text: String
    private(set) var families: [String: Family] = [:]
    /// The values of all samples, by what stands before them.
    private(set) var samples: [String: Double] = [:]

    init(of server: ServerProcess) async throws {
        text = try await RawHTTP.ask("GET", "/metrics", port: server.options.clientPort)?.body ?? ""
        for line in text.split(whereSeparator: \.isNewline) {
            if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ")
                if words.count == 4 { families[String(words[2]), default: Family()].type = String(words[3]) }
            } else if !line.hasPrefix("#"), let space = line.lastIndex(of: " ") {
                add(line[..<space], Double(line[line.index(after: space)...]) ?? .nan)
            }
        }
    }

    private mutating func add(_ sample: Substring, _ value: Double) {
        samples[String(sample)] = value
        let name = sample.prefix { $0 != "{" }
        let base =
            ["_bucket", "_sum", "_count"].compactMap { suffix -> String? in
                guard name.hasSuffix(suffix) else { return nil }
                let base = String(name.dropLast(suffix.count))
                return families[base]?.type == "histogram" ? base : nil
            }.first ?? String(name)
        for label in sample.dropFirst(name.count).dropFirst().dropLast().split(separator: ",") {
            let parts = label.split(separator: "=", maxSplits: 1)
            guard parts.count == 2 else { continue }
            if parts[0] == "le" {
                families[base]?.bounds.insert(String(parts[1]))
            } else {
                families[base]?.labels.insert(String(parts[0]))
            }
        }
    }
}
