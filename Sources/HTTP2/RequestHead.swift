internal import NIOCore

/// What the headers of the request that is just being received have said so far. One for each connection: header
/// blocks do not interleave.
struct RequestHead {
    /// Why a call is answered without looking at its message.
    struct Refusal {
        var httpStatus: UInt16 = 200
        var status: GRPCStatus
    }

    /// The counted size of the header list.
    private var listBytes = 0
    /// Known from an earlier call, when ``path`` is not set.
    var method = -1
    var path: [UInt8] = []
    var encoding = MessageEncoding.identity
    var timeout: TimeAmount?
    /// The headers that make ``CallMetadata``: field number, length in four bytes, value; see ``MetadataField``.
    var metadata: [UInt8] = []

    private var isPost = false
    private var httpMethod = ""
    private var hasContentType = false
    private var contentType: String?
    private var timeoutError: String?
    private var unknownEncoding: String?

    mutating func reset() {
        listBytes = 0
        method = -1
        if !path.isEmpty { path = [] }
        encoding = .identity
        timeout = nil
        metadata.removeAll(keepingCapacity: true)
        isPost = false
        hasContentType = false
        contentType = nil
        timeoutError = nil
        unknownEncoding = nil
    }

    /// Takes one field in; unknown ones only count.
    /// - Returns: the size of the header list so far.
    mutating func receive(
        name: some RandomAccessCollection<UInt8>, value: some RandomAccessCollection<UInt8>, paths: PathTable
    ) -> Int {
        listBytes += name.count + value.count + 32
        switch name.count {
        case 5 where Self.matches(name, ":path"):
            if let known = paths.method(of: value) { method = known } else { path = Array(value) }
        case 5 where Self.matches(name, "token"):
            addMetadata(.token, value)
        case 7 where Self.matches(name, ":method"):
            setHTTPMethod(value)
        case 9 where Self.matches(name, "hasleader"):
            addMetadata(.hasLeader, value)
        case 12 where Self.matches(name, "content-type"):
            setContentType(value)
        case 12 where Self.matches(name, "grpc-timeout"):
            setTimeout(value)
        case 13 where Self.matches(name, "grpc-encoding"):
            setEncoding(value)
        case 13 where Self.matches(name, "authorization"):
            addMetadata(.authorization, value)
        case 18 where Self.matches(name, "client-api-version"):
            addMetadata(.clientAPIVersion, value)
        case 18 where Self.matches(name, "grpcgateway-accept"):
            addMetadata(.gatewayAccept, value)
        case 24 where Self.matches(name, "martlet-max-staleness-ms"):
            addMetadata(.maxStaleness, value)
        default:
            break
        }
        return listBytes
    }

    private static let grpc = Array("application/grpc".utf8)

    /// Byte by byte against the text in the program: comparing with a string's UTF-8 costs several times as much, and
    /// an array would be retained for each of the eight fields of a request.
    @inline(__always)
    private static func matches(_ bytes: some RandomAccessCollection<UInt8>, _ text: StaticString) -> Bool {
        guard bytes.count == text.utf8CodeUnitCount else { return false }
        // SAFETY: the text has as many bytes as `bytes`, and lives as long as the program.
        var next = text.utf8Start
        for byte in bytes {
            if byte != next.pointee { return false }
            next += 1
        }
        return true
    }

    private mutating func setHTTPMethod(_ value: some RandomAccessCollection<UInt8>) {
        isPost = Self.matches(value, "POST")
        if !isPost { httpMethod = String(decoding: value, as: UTF8.self) }
    }

    /// `application/grpc`, alone or followed by `+` or `;`; upper case counts as lower.
    private mutating func setContentType(_ value: some RandomAccessCollection<UInt8>) {
        if Self.matches(value, "application/grpc") {
            hasContentType = true
            return
        }
        var rest = value[...]
        let matches = Self.grpc.allSatisfy { byte in
            guard let next = rest.popFirst() else { return false }
            return next == byte || (next >= UInt8(ascii: "A") && next <= UInt8(ascii: "Z") && next | 0x20 == byte)
        }
        hasContentType =
            matches && (rest.isEmpty || rest.first == UInt8(ascii: "+") || rest.first == UInt8(ascii: ";"))
        if !hasContentType { contentType = String(decoding: value, as: UTF8.self) }
    }

    private mutating func setTimeout(_ value: some RandomAccessCollection<UInt8>) {
        do throws(GRPCTimeout.Malformed) {
            timeout = try GRPCTimeout.parse(value)
        } catch {
            timeoutError = GRPCTimeout.message(for: error, value: value)
        }
    }

    private mutating func setEncoding(_ value: some RandomAccessCollection<UInt8>) {
        if value.elementsEqual("gzip".utf8) {
            encoding = .gzip
        } else if !value.isEmpty && !value.elementsEqual("identity".utf8) {
            unknownEncoding = String(decoding: value, as: UTF8.self)
        }
    }

    private mutating func addMetadata(_ field: MetadataField, _ value: some RandomAccessCollection<UInt8>) {
        metadata.append(field.rawValue)
        let count = UInt32(truncatingIfNeeded: value.count)
        for shift: UInt32 in [24, 16, 8, 0] { metadata.append(UInt8(truncatingIfNeeded: count >> shift)) }
        metadata.append(contentsOf: value)
    }

    /// What is wrong with the headers whatever the method, in grpc-go's order and words.
    var protocolRefusal: Refusal? {
        if !hasContentType {
            let message = "invalid gRPC request content-type \"\(contentType ?? "")\""
            return Refusal(httpStatus: 415, status: GRPCStatus(code: GRPCStatus.invalidArgument, message: message))
        }
        if let timeoutError {
            return Refusal(httpStatus: 400, status: GRPCStatus(code: GRPCStatus.internal, message: timeoutError))
        }
        if !isPost {
            let message = "Received a HEADERS frame with :method \"\(httpMethod)\" which should be POST"
            return Refusal(httpStatus: 405, status: GRPCStatus(code: GRPCStatus.internal, message: message))
        }
        return nil
    }

    /// An encoding that we cannot read; judged after the method.
    var encodingRefusal: Refusal? {
        guard let unknownEncoding else { return nil }
        return Refusal(
            status: GRPCStatus(
                code: GRPCStatus.unimplemented,
                message: "grpc: Decompressor is not installed for grpc-encoding \"\(unknownEncoding)\""))
    }
}

/// The headers that a service may ask for, numbered for ``RequestHead/metadata``.
enum MetadataField: UInt8 {
    case token = 1
    case authorization, hasLeader, clientAPIVersion, gatewayAccept, maxStaleness
}

extension CallMetadata {
    /// Reads what ``RequestHead/addMetadata(_:_:)`` wrote.
    convenience init(encoded: [UInt8]) {
        var token: String?
        var authorization: String?
        var requiresLeader: Bool?
        var clientAPIVersion: [UInt8]?
        var throughGateway = false
        var maxStaleness: [UInt8]?
        var rest = encoded[...]
        while let field = rest.popFirst() {
            let count = rest.prefix(4).reduce(0) { $0 << 8 | Int($1) }
            let value = rest.dropFirst(4).prefix(count)
            rest = rest.dropFirst(4 + count)
            switch MetadataField(rawValue: field) {
            case .token: token = token ?? String(decoding: value, as: UTF8.self)
            case .authorization: authorization = authorization ?? String(decoding: value, as: UTF8.self)
            case .hasLeader: requiresLeader = requiresLeader ?? value.elementsEqual("true".utf8)
            case .clientAPIVersion: clientAPIVersion = clientAPIVersion ?? Array(value)
            case .gatewayAccept: throughGateway = true
            case .maxStaleness: maxStaleness = maxStaleness ?? Array(value)
            case nil: preconditionFailure("unnumbered metadata field \(field)")
            }
        }
        self.init(
            token: token, authorization: authorization, requiresLeader: requiresLeader ?? false,
            clientAPIVersion: clientAPIVersion, throughGateway: throughGateway, maxStaleness: maxStaleness)
    }
}
