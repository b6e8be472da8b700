internal import NIOCore

/// Where to listen.
public enum ListenAddress: Sendable, Equatable, CustomStringConvertible {
    case tcp(host: String, port: Int)
    case unix(path: String)

    /// `localhost` is looked up nowhere: it is the IPv4 loopback, as Go's listeners take it.
    static func numeric(_ host: String) -> String { host == "localhost" ? "127.0.0.1" : host }

    public var description: String {
        switch self {
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path): path
        }
    }
}

/// An address that cannot be listened at, in the words of Go's `net` package, which operators search for:
/// `listen tcp 127.0.0.1:2379: bind: address already in use`.
public struct ListenError: Error, Sendable, Equatable, CustomStringConvertible {
    public var address: ListenAddress
    public var description: String

    init(_ address: ListenAddress, _ error: any Error) {
        self.address = address
        let network: String
        let text: String
        switch address {
        case .tcp(let host, let port):
            network = "tcp"
            text = ListenAddress.tcp(host: ListenAddress.numeric(host), port: port).description
        case .unix(let path):
            network = "unix"
            text = path
        }
        let reason = (error as? IOError).map { SystemErrorText.text($0.errnoCode) } ?? "\(error)"
        description = "listen \(network) \(text): bind: \(reason)"
    }
}
