/// An address of a listener or of a member: `http://host:port`, or `unix://path`.
package struct ServerURL: Sendable, Hashable, CustomStringConvertible {
    package var scheme: String
    /// Without brackets for IPv6; for `unix` and `unixs` the socket's path.
    package var host: String
    package var port: Int
    /// As it was given.
    package var description: String

    package var isUnixSocket: Bool { scheme == "unix" || scheme == "unixs" }
    package var isSecure: Bool { scheme == "https" || scheme == "unixs" }

    /// - Throws: etcd's words for what is wrong with it.
    package init(_ text: String) throws(ValueError) {
        let trimmed = text.trimmingSpaces
        description = trimmed
        guard let separator = trimmed.firstRange(of: "://"), !trimmed[..<separator.lowerBound].isEmpty else {
            throw ValueError("URL scheme must be http, https, unix, or unixs: \(trimmed)")
        }
        scheme = trimmed[..<separator.lowerBound].lowercased()
        let rest = trimmed[separator.upperBound...]
        switch scheme {
        case "unix", "unixs":
            host = String(rest)
            port = 0
        case "http", "https":
            let address = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
            guard let (host, port) = Self.splitHostPort(address) else {
                throw ValueError("URL address does not have the form \"host:port\": \(trimmed)")
            }
            guard address.count == rest.count else {
                throw ValueError("URL must not contain a path: \(trimmed)")
            }
            self.host = host
            self.port = port
        default:
            throw ValueError("URL scheme must be http, https, unix, or unixs: \(trimmed)")
        }
    }

    /// A comma-separated list: sorted and each URL once, as etcd keeps them.
    package static func list(_ text: String) throws(ValueError) -> [ServerURL] {
        var urls: [ServerURL] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let url = try ServerURL(String(part))
            if !urls.contains(url) { urls.append(url) }
        }
        return urls.sorted { $0.description < $1.description }
    }

    private static func splitHostPort(_ address: Substring) -> (String, Int)? {
        guard let colon = address.lastIndex(of: ":") else { return nil }
        let portText = address[address.index(after: colon)...]
        guard let port = portText.isEmpty ? 0 : UInt16(portText) else { return nil }
        var host = address[..<colon]
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { return nil }
            host = host.dropFirst().dropLast()
        } else if host.contains(":") {
            return nil
        }
        return (String(host), Int(port))
    }

    /// `host:port` as log lines and errors write it; the path for a Unix socket.
    package var address: String {
        if isUnixSocket { return host }
        return host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
    }
}

extension String {
    package var trimmingSpaces: String {
        let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" || $0 == "\n" || $0 == "\r" }
        let head = drop(while: isSpace)
        guard let last = head.lastIndex(where: { !isSpace($0) }) else { return "" }
        return String(head[...last])
    }
}
