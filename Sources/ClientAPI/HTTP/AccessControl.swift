/// Who may call over plain HTTP: the names under which the server may be called, against DNS rebinding, and the origins
/// of pages whose scripts may call, against foreign pages.
package struct AccessControl: Sendable {
    private let hosts: Set<String>
    private let origins: Set<String>

    /// Empty lists, and `*` in a list, allow all.
    package init(hosts: [String], origins: [String]) {
        self.hosts = hosts.isEmpty || hosts.contains("*") ? [] : Set(hosts)
        self.origins = origins.isEmpty || origins.contains("*") ? [] : Set(origins)
    }

    /// The answer to a request that goes no further: a foreign host name, or `OPTIONS`.
    package func intercept(_ request: PlainRequest) -> PlainResponse? {
        let name = Self.hostName(request.host ?? "")
        guard request.isSecure || hosts.isEmpty || hosts.contains(name) else {
            return .text(
                421,
                """
                This server is not known under the name "\(name)" that the Host header gives.

                Either call it by a name on its list, or add this one to the list:
                  --host-whitelist \(name)
                Requests over TLS need no such entry. The check stops web pages that point a name of
                their own at this server (DNS rebinding, CVE-2018-5702).
                """)
        }
        guard request.method == "OPTIONS" else { return nil }
        return mark(PlainResponse(200, [], ""), request)
    }

    /// Adds the headers that let a page of an allowed origin read the answer.
    package func mark(_ response: PlainResponse, _ request: PlainRequest) -> PlainResponse {
        let origin: String
        if origins.isEmpty {
            origin = "*"
        } else if let own = request.origin, origins.contains(own) {
            origin = own
        } else {
            return response
        }
        var response = response
        response.headers += [
            .init(name: "Access-Control-Allow-Methods", value: "POST, GET, OPTIONS, PUT, DELETE"),
            .init(name: "Access-Control-Allow-Origin", value: origin),
            .init(name: "Access-Control-Allow-Headers", value: "accept, content-type, authorization"),
        ]
        return response
    }

    /// Without the port; an IPv6 address without its brackets.
    private static func hostName(_ host: String) -> String {
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            return String(host[host.index(after: host.startIndex)..<end])
        }
        guard let colon = host.lastIndex(of: ":"), host.firstIndex(of: ":") == colon else { return host }
        return String(host[..<colon])
    }
}
