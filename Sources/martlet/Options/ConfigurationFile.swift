internal import Platform
internal import PlatformLinux
internal import Yams

/// The entries of a configuration file in YAML, of which JSON is a part.
package enum ConfigurationFile {
    /// A leaf of the document; its key is the path to it, joined by points.
    package struct Entry {
        package var key: String
        fileprivate var node: Node

        /// The value in the notation of flags.
        /// - Throws: when the document's type does not fit the kind.
        package func text(for kind: FlagKind) throws(ValueError) -> String {
            switch node {
            case .scalar(let scalar):
                let type = node.tag.description
                let fits =
                    switch kind {
                    case .bool: type.hasSuffix(":bool")
                    case .unsigned, .unsigned32, .signed: type.hasSuffix(":int")
                    // A plain number is nanoseconds, which is how etcd's files write durations.
                    case .duration: type.hasSuffix(":int") || type.hasSuffix(":str")
                    case .text, .list, .gates, .urls, .urlsOrNone, .choice: true
                    }
                guard fits else {
                    throw ValueError("\"\(key)\" should be \(kind.name), found \(scalar.string.debugDescription)")
                }
                if type.hasSuffix(":null") { return "" }
                if kind == .bool { return scalar.string.lowercased() }
                return kind == .duration && type.hasSuffix(":int") ? scalar.string + "ns" : scalar.string
            case .sequence(let sequence):
                switch kind {
                case .list, .gates, .urls, .urlsOrNone, .text: break
                default: throw ValueError("\"\(key)\" should be \(kind.name), found a list")
                }
                return sequence.compactMap { $0.scalar?.string }.joined(separator: ",")
            default:
                throw ValueError("\"\(key)\" should be \(kind.name), found a mapping")
            }
        }
    }

    /// All leaves, in the order of the document. An empty document has none.
    package static func entries(of text: String) throws(ValueError) -> [Entry] {
        let root: Node?
        do {
            root = try Yams.compose(yaml: text)
        } catch {
            throw ValueError("error converting YAML to JSON: \(error)")
        }
        guard let root, !root.tag.description.hasSuffix(":null") else { return [] }
        guard let mapping = root.mapping else { throw ValueError("the configuration file is no mapping of keys") }
        var entries: [Entry] = []
        try collect(mapping, below: "", into: &entries)
        return entries
    }

    private static func collect(
        _ mapping: Node.Mapping, below prefix: String, into entries: inout [Entry]
    ) throws(ValueError) {
        for (key, value) in mapping {
            guard let name = key.scalar?.string else { throw ValueError("a key of the configuration file is no text") }
            let path = prefix + name
            if let inner = value.mapping {
                try collect(inner, below: path + ".", into: &entries)
            } else {
                entries.append(Entry(key: path, node: value))
            }
        }
    }
}

extension ConfigurationFile {
    /// Far more than any configuration has.
    private static let sizeLimit = 1 << 20

    /// The text of the file at `path`; errors in etcd's words.
    package static func read(_ path: String) throws(ValueError) -> String {
        let bytes: [UInt8]
        do throws(DiskError) {
            let file = try LinuxDisk().open(path, .read)
            bytes = try file.read(at: 0, count: sizeLimit + 1)
            try file.close()
        } catch {
            let reason =
                switch error.reason {
                case .notFound: "no such file or directory"
                case .permissionDenied: "permission denied"
                case .isADirectory: "is a directory"
                default: "\(error)"
                }
            throw ValueError("open \(path): \(reason)")
        }
        guard bytes.count <= sizeLimit else { throw ValueError("\(path): more than \(sizeLimit) bytes") }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw ValueError("\(path): not UTF-8 text") }
        return text
    }
}
