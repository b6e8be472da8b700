/// The founding members as `--initial-cluster` lists them: `name=URL` pairs, where a name may repeat.
package enum InitialCluster {
    package struct Pair: Sendable, Equatable, CustomStringConvertible {
        package var name: String
        package var url: ServerURL

        package var description: String { "\(name)=\(url)" }
    }

    /// - Throws: what is wrong with the list.
    package static func parse(_ text: String) throws(ValueError) -> [Pair] {
        var pairs: [Pair] = []
        for part in text.split(separator: ",") {
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(halves[0]).trimmingSpaces
            guard halves.count == 2, !halves[1].isEmpty else { throw ValueError("empty URL given for \"\(name)\"") }
            pairs.append(Pair(name: name, url: try ServerURL(String(halves[1]))))
        }
        return pairs
    }
}
