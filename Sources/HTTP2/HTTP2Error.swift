/// Why an HTTP/2 connection could not go on.
public enum HTTP2Error: Error, Equatable, Sendable, CustomStringConvertible {
    /// nghttp2 refused a call or what came in; its error code and what it says about it.
    case nghttp2(code: Int32, reason: String)
    /// The connection was closed, here or there.
    case connectionClosed

    public var description: String {
        switch self {
        case .nghttp2(let code, let reason): "nghttp2: \(reason) (\(code))"
        case .connectionClosed: "http2: the connection is closed"
        }
    }
}
