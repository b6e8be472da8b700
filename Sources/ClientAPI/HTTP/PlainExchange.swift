/// What the plain HTTP endpoints look at of a request.
package struct PlainRequest: Sendable {
    package var method: String
    /// Path and query.
    package var target: String
    package var host: String?
    package var origin: String?
    /// It came over TLS.
    package var isSecure: Bool

    package init(
        method: String, target: String, host: String? = nil, origin: String? = nil, isSecure: Bool = false
    ) {
        self.isSecure = isSecure
        self.method = method
        self.target = target
        self.host = host
        self.origin = origin
    }

    package var path: Substring { target.prefix { $0 != "?" } }

    /// The parameters behind `?`, percent escapes resolved; a key without `=` has an empty value.
    package var query: [(key: String, value: String)] {
        guard let mark = target.firstIndex(of: "?") else { return [] }
        return target[target.index(after: mark)...].split(separator: "&").map { part in
            let pair = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return (Self.unescape(pair[0]), pair.count > 1 ? Self.unescape(pair[1]) : "")
        }
    }

    package func values(of key: String) -> [String] { query.filter { $0.key == key }.map(\.value) }

    private static func unescape(_ text: Substring) -> String {
        var out: [UInt8] = []
        let bytes = Array(text.utf8)
        var i = 0
        while i < bytes.count {
            if bytes[i] == UInt8(ascii: "%"), i + 2 < bytes.count,
                let byte = UInt8(String(decoding: bytes[(i + 1)...(i + 2)], as: UTF8.self), radix: 16)
            {
                out.append(byte)
                i += 3
            } else {
                out.append(bytes[i] == UInt8(ascii: "+") ? UInt8(ascii: " ") : bytes[i])
                i += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

/// The answer to one.
package struct PlainResponse: Sendable, Equatable {
    package struct Header: Sendable, Equatable {
        package var name: String
        package var value: String
    }

    package var status: Int
    package var headers: [Header]
    package var body: String

    package init(_ status: Int, _ headers: [(String, String)], _ body: String) {
        self.status = status
        self.headers = headers.map { Header(name: $0.0, value: $0.1) }
        self.body = body
    }

    /// Plain text, closed by a newline, that no browser takes for anything else.
    static func text(_ status: Int, _ body: String, _ headers: [(String, String)] = []) -> PlainResponse {
        PlainResponse(
            status,
            headers + [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")],
            body + "\n")
    }

    static let notFound = PlainResponse.text(404, "404 page not found")
    static let methodNotAllowed = PlainResponse.text(405, "Method Not Allowed", [("Allow", "GET")])
}
