/// Where a peer listens: the part of its URL that a socket needs.
package enum PeerAddress: Equatable, Sendable {
    case tcp(host: String, port: Int)
    /// TLS over TCP.
    case tls(host: String, port: Int)
    case unix(path: String)

    /// Whether TLS is spoken there.
    var isSecure: Bool { if case .tls = self { true } else { false } }

    /// - Returns: nil for what is no peer URL.
    package init?(url: String) {
        guard let separator = url.firstRange(of: "://") else { return nil }
        let rest = url[separator.upperBound...]
        let scheme = url[..<separator.lowerBound].lowercased()
        switch scheme {
        case "unix": self = .unix(path: String(rest))
        case "http", "https":
            let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
            guard let colon = authority.lastIndex(of: ":"),
                let port = UInt16(authority[authority.index(after: colon)...])
            else { return nil }
            var host = authority[..<colon]
            if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
            self =
                scheme == "https"
                ? .tls(host: String(host), port: Int(port)) : .tcp(host: String(host), port: Int(port))
        default: return nil
        }
    }

    /// The value of the header `Host`.
    var host: String {
        switch self {
        case .tcp(let host, let port), .tls(let host, let port):
            host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix: "localhost"
        }
    }
}

/// The URLs of a peer, one of which is in use; the next one is tried after a failure.
package struct PeerURLs: Equatable {
    package private(set) var urls: [String]
    private var picked = 0

    package init(_ urls: [String]) { self.urls = urls }

    /// nil when there is none.
    package var current: String? { urls.isEmpty ? nil : urls[picked % urls.count] }

    package mutating func moveOn() { if !urls.isEmpty { picked = (picked + 1) % urls.count } }

    package mutating func replace(with urls: [String]) {
        guard urls != self.urls else { return }
        self.urls = urls
        picked = 0
    }
}
