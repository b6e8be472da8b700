internal import Base
internal import NIOCore
internal import NIOHTTP1

/// One request on a connection of its own, and its whole answer: `/members`, `/version`, promotions.
enum PeerQuestion {
    /// Asks. `finish` is called once, on the event loop.
    static func ask(
        _ url: String, _ method: HTTPMethod, _ path: String, headers: HTTPHeaders = [:], body: [UInt8] = [],
        through connector: PeerConnector, timeout: TimeAmount,
        finish: @escaping (Result<PeerAnswer, any Error>) -> Void
    ) {
        var headers = headers
        headers.replaceOrAdd(name: "Connection", value: "close")
        let request = PeerRequest(method: method, path: path, headers: headers, body: body, timeout: timeout)
        let connection = KeptConnection(connector)
        connection.send(request, to: url) { result in
            connection.close()
            finish(result)
        }
    }
}
