internal import NIOCore

/// One call on the client's side of a connection.
struct ClientCall {
    let promise: EventLoopPromise<[UInt8]>
    var stream: StreamID = 0
    var request: MessageWriter
    var response = MessageReader()
    /// Set when the call has ended for its caller while the stream is still being closed.
    var isAnswered = false
    var deadline: Scheduled<Void>?
    /// Counted as the server does; starts again with the trailers.
    var headerListBytes = 0

    private var httpStatus: UInt16?
    private var isGRPC = false
    private var encoding = MessageEncoding.identity
    private var unknownEncoding: String?
    private var statusCode: UInt8?
    private var statusMessage: [UInt8] = []

    init(promise: EventLoopPromise<[UInt8]>, message: [UInt8]) {
        self.promise = promise
        request = MessageWriter(message: message[...])
    }

    mutating func receiveHeader(name: some RandomAccessCollection<UInt8>, value: some RandomAccessCollection<UInt8>) {
        switch name.count {
        case 7 where name.elementsEqual(":status".utf8):
            httpStatus = UInt16(String(decoding: value, as: UTF8.self))
        case 12 where name.elementsEqual("content-type".utf8):
            isGRPC = value.starts(with: "application/grpc".utf8)
        case 11 where name.elementsEqual("grpc-status".utf8):
            // A code that is not one is "unknown", as in grpc-go.
            statusCode = UInt8(String(decoding: value, as: UTF8.self)) ?? GRPCStatus.unknown
        case 12 where name.elementsEqual("grpc-message".utf8):
            statusMessage = Array(value)
        case 13 where name.elementsEqual("grpc-encoding".utf8):
            if value.elementsEqual("gzip".utf8) {
                encoding = .gzip
            } else if !value.elementsEqual("identity".utf8) {
                unknownEncoding = String(decoding: value, as: UTF8.self)
            }
        default:
            break
        }
    }

    /// What the caller gets once the stream is closed.
    /// - Parameter error: the code of the reset, 0 for an orderly end.
    consuming func outcome(error: UInt32, limit: Int) -> Result<[UInt8], GRPCStatus> {
        guard let code = statusCode else { return .failure(statusOfFailedTransport(error)) }
        guard code == GRPCStatus.ok else {
            return .failure(GRPCStatus(code: code, message: PercentEncoding.decode(statusMessage)))
        }
        guard response.isComplete, !response.hasSurplus else {
            let text = "the server ended the call without exactly one message"
            return .failure(GRPCStatus(code: GRPCStatus.internal, message: text))
        }
        if let unknownEncoding, response.format != 0 {
            let text = "grpc: Decompressor is not installed for grpc-encoding \"\(unknownEncoding)\""
            return .failure(GRPCStatus(code: GRPCStatus.internal, message: text))
        }
        let encoding = encoding
        do throws(GRPCStatus) {
            return .success(try response.message(encoding: encoding, limit: limit))
        } catch {
            return .failure(error)
        }
    }

    /// The table of <https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md>, and that of reset codes
    /// in gRPC's description of HTTP/2.
    private func statusOfFailedTransport(_ error: UInt32) -> GRPCStatus {
        if let httpStatus, httpStatus != 200 || !isGRPC {
            let code =
                switch httpStatus {
                case 400: GRPCStatus.internal
                case 401: GRPCStatus.unauthenticated
                case 403: UInt8(7)
                case 404: GRPCStatus.unimplemented
                case 429, 502, 503, 504: GRPCStatus.unavailable
                default: GRPCStatus.unknown
                }
            return GRPCStatus(code: code, message: "unexpected HTTP status code received from server: \(httpStatus)")
        }
        let code =
            switch error {
            case ErrorCode.refusedStream: GRPCStatus.unavailable
            case ErrorCode.cancel: GRPCStatus.cancelled
            case ErrorCode.enhanceYourCalm: GRPCStatus.resourceExhausted
            default: GRPCStatus.internal
            }
        return GRPCStatus(code: code, message: "stream terminated by RST_STREAM with error code: \(error)")
    }
}
