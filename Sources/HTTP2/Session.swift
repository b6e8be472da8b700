internal import CNGHTTP2
internal import NIOCore

/// The C boundary: one nghttp2 session, server or client. What it reports comes through the callbacks that it was made
/// with (`ServerCallbacks.swift`, `ClientCallbacks.swift`).
///
/// Owned by one connection, used on its event loop only. Nothing here may be called from within a callback except the
/// `submit…` and `slot` functions.
final class Session {
    enum Role {
        case server
        case client
    }

    // SAFETY: made in `init`, freed in `deinit`, used on the event loop of the one connection that owns the session.
    private let pointer: OpaquePointer
    /// Where ``fill(_:limit:)`` collects; the callback for bodies appends to it.
    var output = ByteBuffer()

    /// A session whose callbacks report to nobody until ``report(to:)``.
    /// - Throws: when nghttp2 finds no memory.
    init(role: Role) throws(HTTP2Error) {
        // SAFETY: what is made here is freed here, but for the session itself.
        var callbacks: OpaquePointer?
        try Self.check(nghttp2_session_callbacks_new(&callbacks))
        defer { nghttp2_session_callbacks_del(callbacks) }
        var option: OpaquePointer?
        try Self.check(nghttp2_option_new(&option))
        defer { nghttp2_option_del(option) }
        // Closed streams would be kept for the priority tree, as many as may be open: 2^32 − 1.
        nghttp2_option_set_no_closed_streams(option, 1)
        var session: OpaquePointer?
        let result: Int32
        switch role {
        case .server:
            // Resets are counted by the connection, which names the reason when it ends.
            nghttp2_option_set_stream_reset_rate_limit(option, 1 << 40, 1 << 30)
            registerServerCallbacks(callbacks)
            result = nghttp2_session_server_new2(&session, callbacks, nil, option)
        case .client:
            registerClientCallbacks(callbacks)
            result = nghttp2_session_client_new2(&session, callbacks, nil, option)
        }
        try Self.check(result)
        guard let session else { throw .nghttp2(code: result, reason: "no session") }
        pointer = session
    }

    deinit { nghttp2_session_del(pointer) }

    /// Which connection the callbacks report to: a `ServerConnection` or a `ClientConnection`, as the role says.
    func report(to connection: AnyObject) {
        // SAFETY: not retained: the connection owns the session, so it outlives it. Only the callbacks follow the
        // pointer, and they run inside calls of the connection.
        nghttp2_session_set_user_data(pointer, Unmanaged.passUnretained(connection).toOpaque())
    }

    // MARK: Bytes

    /// Takes in what the socket brought. The callbacks run inside.
    /// - Throws: when the connection cannot go on; mere protocol errors are answered with GOAWAY instead.
    func receive(_ buffer: ByteBuffer) throws(HTTP2Error) {
        // SAFETY: nghttp2 reads the bytes before it returns and keeps no pointer to them.
        let result = buffer.withUnsafeReadableBytes { bytes in
            nghttp2_session_mem_recv(pointer, bytes.bindMemory(to: UInt8.self).baseAddress, bytes.count)
        }
        if result < 0 { try Self.check(Int32(result)) }
    }

    /// Appends what is to be sent to `buffer`, until it holds `limit` bytes or a little more.
    /// - Returns: false when there is (for now) no more.
    /// - Throws: when the connection cannot go on.
    func fill(_ buffer: inout ByteBuffer, limit: Int) throws(HTTP2Error) -> Bool {
        swap(&output, &buffer)
        defer { swap(&output, &buffer) }
        while output.readableBytes < limit {
            var chunk: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(pointer, &chunk)
            if count < 0 { try Self.check(Int32(count)) }
            guard count > 0 else { return false }
            // SAFETY: `chunk` points at `count` bytes that stay until the next call into the session.
            output.writeBytes(UnsafeBufferPointer(start: chunk, count: count))
        }
        return true
    }

    /// Neither side has anything left to say: a GOAWAY was sent or came, and no stream is open.
    var isFinished: Bool { nghttp2_session_want_read(pointer) == 0 && nghttp2_session_want_write(pointer) == 0 }

    // MARK: Streams

    /// The number that ``setSlot(_:of:)`` gave the stream; nil when the stream is closed or never got one.
    func slot(of stream: StreamID) -> Int? {
        // SAFETY: the number itself, plus one, stands in the pointer; it is never followed.
        guard let mark = nghttp2_session_get_stream_user_data(pointer, stream) else { return nil }
        return Int(bitPattern: mark) - 1
    }

    func setSlot(_ slot: Int, of stream: StreamID) {
        // SAFETY: see `slot(of:)`.
        nghttp2_session_set_stream_user_data(pointer, stream, UnsafeMutableRawPointer(bitPattern: slot + 1))
    }

    /// The highest stream that a callback has reported.
    var lastProcessedStream: StreamID { nghttp2_session_get_last_proc_stream_id(pointer) }

    /// The headers of a successful answer, then the body in `slot`, then the trailers.
    func submitResponse(_ stream: StreamID, slot: Int) -> Bool {
        var provider = nghttp2_data_provider()
        provider.source.fd = Int32(truncatingIfNeeded: slot)
        provider.read_callback = readServerBody
        var headers = (
            Self.field(":status", "200"), Self.field("content-type", "application/grpc")
        )
        // SAFETY: a tuple of two equal types is laid out like an array of two; nghttp2 copies the array, and the
        // names and values are static.
        return withUnsafePointer(to: &headers) { tuple in
            tuple.withMemoryRebound(to: nghttp2_nv.self, capacity: 2) {
                nghttp2_submit_response(pointer, stream, $0, 2, &provider)
            } == 0
        }
    }

    /// There is more of a body that had nothing to send when nghttp2 asked.
    func resumeBody(_ stream: StreamID) { nghttp2_session_resume_data(pointer, stream) }

    /// The status behind a body. Called while nghttp2 asks for the last piece of that body.
    static func submitTrailers(_ session: OpaquePointer?, _ stream: StreamID, _ status: GRPCStatus) -> Bool {
        // SAFETY: the session is the one that called back, so it is alive; nghttp2 copies the fields.
        if status.code == GRPCStatus.ok { return submitSuccessTrailers(session, stream) }
        var fields = [(Array("grpc-status".utf8), Array("\(status.code)".utf8))]
        if !status.message.isEmpty {
            fields.append((Array("grpc-message".utf8), PercentEncoding.encode(status.message)))
        }
        return withFields(fields) { nghttp2_submit_trailer(session, stream, $0, $1) } == 0
    }

    private static func submitSuccessTrailers(_ session: OpaquePointer?, _ stream: StreamID) -> Bool {
        // SAFETY: see `submitTrailers`.
        var trailer = field("grpc-status", "0")
        return nghttp2_submit_trailer(session, stream, &trailer, 1) == 0
    }

    /// An answer without a message: headers and trailers in one, which end the stream.
    func submitTrailersOnly(_ stream: StreamID, httpStatus: UInt16, status: GRPCStatus) -> Bool {
        var fields = [
            (Array(":status".utf8), Array("\(httpStatus)".utf8)),
            (Array("content-type".utf8), Array("application/grpc".utf8)),
            (Array("grpc-status".utf8), Array("\(status.code)".utf8)),
        ]
        if !status.message.isEmpty {
            fields.append((Array("grpc-message".utf8), PercentEncoding.encode(status.message)))
        }
        return Self.withFields(fields) { nghttp2_submit_response(pointer, stream, $0, $1, nil) } == 0
    }

    /// A request with its body in `slot`.
    /// - Returns: the stream, or nil when the connection takes no more.
    func submitRequest(_ fields: [([UInt8], [UInt8])], slot: Int) -> StreamID? {
        var provider = nghttp2_data_provider()
        provider.source.fd = Int32(truncatingIfNeeded: slot)
        provider.read_callback = readClientBody
        // SAFETY: see `slot(of:)`.
        let mark = UnsafeMutableRawPointer(bitPattern: slot + 1)
        let stream = Self.withFields(fields) { nghttp2_submit_request(pointer, nil, $0, $1, &provider, mark) }
        return stream > 0 ? stream : nil
    }

    /// `error` is a code of RFC 9113 section 7.
    func submitReset(_ stream: StreamID, error: UInt32) {
        nghttp2_submit_rst_stream(pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream, error)
    }

    // MARK: The connection

    /// `settings` are pairs of identifier and value; `window` is the connection's.
    func submitSettings(_ settings: [(UInt32, UInt32)], window: Int32) throws(HTTP2Error) {
        let entries = settings.map { nghttp2_settings_entry(settings_id: Int32($0.0), value: $0.1) }
        try Self.check(nghttp2_submit_settings(pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue), entries, entries.count))
        try Self.check(
            nghttp2_session_set_local_window_size(pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue), 0, window))
    }

    func submitPing(_ payload: UInt64) {
        let bytes = (0..<8).map { UInt8(truncatingIfNeeded: payload >> UInt64(56 - 8 * $0)) }
        nghttp2_submit_ping(pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue), bytes)
    }

    /// Announces that the connection will end: streams up to 2^31 − 1 are still taken.
    func submitShutdownNotice() { nghttp2_submit_shutdown_notice(pointer) }

    /// Streams above the last one reported are no longer taken.
    func submitGoAway(error: UInt32, debug: String) {
        let text = Array(debug.utf8)
        nghttp2_submit_goaway(
            pointer, UInt8(NGHTTP2_FLAG_NONE.rawValue), lastProcessedStream, error, text, text.count)
    }

    // MARK: Fields

    /// A header field whose bytes live as long as the program.
    private static func field(_ name: StaticString, _ value: StaticString) -> nghttp2_nv {
        // SAFETY: the bytes of a static string are immutable and never freed; nghttp2 only reads them.
        nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.utf8Start),
            value: UnsafeMutablePointer(mutating: value.utf8Start),
            namelen: name.utf8CodeUnitCount, valuelen: value.utf8CodeUnitCount,
            flags: UInt8(NGHTTP2_NV_FLAG_NO_COPY_NAME.rawValue | NGHTTP2_NV_FLAG_NO_COPY_VALUE.rawValue))
    }

    private static func withFields<R>(
        _ fields: [([UInt8], [UInt8])], _ body: (UnsafePointer<nghttp2_nv>?, Int) -> R
    ) -> R {
        // One buffer for all names and values, because nghttp2 wants them all at once.
        var bytes: [UInt8] = []
        for (name, value) in fields {
            bytes += name
            bytes += value
        }
        // SAFETY: the fields point into `bytes`, which stays in place during `body`; nghttp2 copies them (no NO_COPY
        // flag) and does not write to them.
        return bytes.withUnsafeMutableBufferPointer { storage in
            var list: [nghttp2_nv] = []
            var offset = 0
            for (name, value) in fields {
                list.append(
                    nghttp2_nv(
                        name: storage.baseAddress.map { $0 + offset },
                        value: storage.baseAddress.map { $0 + offset + name.count },
                        namelen: name.count, valuelen: value.count, flags: UInt8(NGHTTP2_NV_FLAG_NONE.rawValue)))
                offset += name.count + value.count
            }
            return list.withUnsafeBufferPointer { body($0.baseAddress, $0.count) }
        }
    }

    private static func check(_ result: Int32) throws(HTTP2Error) {
        // SAFETY: nghttp2_strerror returns a static, terminated string.
        guard result < 0 else { return }
        throw .nghttp2(code: result, reason: String(cString: nghttp2_strerror(result)))
    }
}

/// Error codes of RFC 9113 section 7 that we send.
enum ErrorCode {
    static let noError: UInt32 = 0
    static let refusedStream: UInt32 = 7
    static let cancel: UInt32 = 8
    static let enhanceYourCalm: UInt32 = 11
}

/// Identifiers of RFC 9113 section 6.5.2.
enum Setting {
    static let enablePush: UInt32 = 2
    static let maxConcurrentStreams: UInt32 = 3
    static let initialWindowSize: UInt32 = 4
    static let maxHeaderListSize: UInt32 = 6
}
