public import Base
public import EtcdProto

/// The backend holds something that cannot be, or could not be read or written. The member cannot go on.
public enum BackendError: Error, Equatable, Sendable, CustomStringConvertible {
    /// From the file below; the text names the file and the place.
    case file(String)
    /// Another process has the file at this path open.
    case locked(String)
    case malformedRow(bucket: String, key: [UInt8], reason: String)
    /// The index knows a revision that the backend has no row of.
    case missingRow(Revision)

    public var description: String {
        switch self {
        case .file(let text): text
        case .locked(let path): "backend: another process has \(path) open"
        case .malformedRow(let bucket, let key, let reason):
            "backend: bucket \(bucket), key \(hexadecimal(key)): \(reason)"
        case .missingRow(let revision): "backend: bucket key has no row of revision \(revision)"
        }
    }
}

/// Why the store did not carry out a request.
public enum StoreError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The answer to the client; the store is unchanged.
    case rejected(EtcdError)
    /// The request is no encoded message.
    case malformed(WireError)
    case backend(BackendError)

    public var description: String {
        switch self {
        case .rejected(let error): error.description
        case .malformed(let error): "malformed request: \(error)"
        case .backend(let error): error.description
        }
    }
}

func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { byte in
        let text = String(byte, radix: 16)
        return text.utf8.count == 1 ? "0" + text : text
    }.joined()
}
